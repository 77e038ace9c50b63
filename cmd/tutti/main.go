// Command tutti plans and applies infrastructure written for Terraform, as
// durable runs. See the README for what it does, and package cli for how.
package main

import (
	"os"

	"github.com/tutti-dev/tutti/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
