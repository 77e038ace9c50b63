// Command tutti plans and applies infrastructure written for Terraform, as
// durable runs. See the README for what it does, and package cli for how.
package main

import (
	"os"

	"github.com/tutti-dev/tutti/internal/cli"
	"github.com/tutti-dev/tutti/internal/secrets"
)

func main() {
	secrets.NoCore()
	os.Exit(cli.Main(os.Args[1:]))
}
