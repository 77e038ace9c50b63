package install

import (
	"context"
)

// Token returns the credentials for a host, or "".
func (c *Config) Token(_ context.Context, host string) string {
	return c.Tokens[host]
}
