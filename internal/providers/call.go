package providers

import (
	"context"
	"fmt"
	"path"
	"sync"
	"sync/atomic"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers/internal/wire"
	"github.com/tutti-dev/tutti/internal/telemetry"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// introduction remembers that a process was asked for its schemas. Unless a
// provider says that this is optional, it must come before anything else, even
// if we know the schemas already.
type introduction struct {
	mu   sync.Mutex
	done atomic.Bool
}

// introduce asks a process for its schemas where it needs that.
func (c *client) introduce(ctx context.Context) diag.List {
	if c.introduction.done.Load() {
		return nil
	}
	s, diags := c.schemas(ctx)
	if diags.HasErrors() {
		return diags
	}
	c.introduction.mu.Lock()
	defer c.introduction.mu.Unlock()
	if !s.Capabilities.GetProviderSchemaOptional && !c.introduction.done.Load() {
		// The answer is known; an empty message spares us decoding it.
		if err := c.conn.Invoke(ctx, c.methods.schema, &wire.Empty{}, &wire.Empty{}); err != nil {
			return c.broken(ctx, c.methods.schema, err)
		}
	}
	c.introduction.done.Store(true)
	return nil
}

// invoke calls a method of a process that has been introduced. Diagnostics say
// that there is no answer.
func (c *client) invoke(ctx context.Context, method string, req, resp proto.Message) diag.List {
	if diags := c.introduce(ctx); diags.HasErrors() {
		return diags
	}
	return c.invokeFirst(ctx, method, req, resp)
}

// invokeFirst calls a method that needs no introduction.
func (c *client) invokeFirst(ctx context.Context, method string, req, resp proto.Message) diag.List {
	ctx, span := telemetry.BeginCall(ctx, c.addr.ForDisplay(), path.Base(method))
	err := c.conn.Invoke(ctx, method, req, resp)
	span.End(status.Code(err).String(), err != nil)
	if err == nil {
		return nil
	}
	return c.broken(ctx, method, err)
}

// broken words the failure of a call.
func (c *client) broken(ctx context.Context, method string, err error) diag.List {
	name := c.addr.ForDisplay()
	method = path.Base(method) // without the protocol's service
	code := status.Code(err)
	switch {
	case ctx.Err() != nil:
		return diag.Errorf("Provider call was cut off", "The call of provider %s was cut off before it answered: %s.", name, context.Cause(ctx))
	case code == codes.Unimplemented:
		return diag.Errorf("Unsupported by provider", "Provider %s does not support this (it has no %s).", name, method)
	case code == codes.Unavailable || code == codes.Canceled: // canceled: the pool has closed the connection
		detail := fmt.Sprintf("The process of provider %s ended, or its connection broke, while it was answering %s.", name, method)
		if words := c.lastWords(); words != "" {
			detail += " The last it said:\n\n" + words
		} else {
			detail += " The connection says: " + status.Convert(err).Message() + "."
		}
		return diag.Errorf("Plugin did not respond", "%s\n\nThis is a bug in the provider, which should be reported in the provider's own issue tracker.", detail)
	}
	return diag.Errorf("Provider failed", "Provider %s failed to answer %s: %s.", name, method, status.Convert(err).Message())
}

// malformed words an answer that cannot be understood.
func (c *client) malformed(what string, err error) diag.List {
	return diag.Errorf("Provider returned malformed data", "Provider %s returned %s that cannot be understood: %s.\n\nThis is a bug in the provider, which should be reported in the provider's own issue tracker.", c.addr.ForDisplay(), what, err)
}

// unsupported words a type the provider does not have.
func (c *client) unsupported(kind, name string) diag.List {
	return diag.Errorf("Unsupported type", "Provider %s has no %s %q.", c.addr.ForDisplay(), kind, name)
}
