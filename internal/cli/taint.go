package cli

import (
	"context"
	"fmt"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/states"
)

func taintCommand() *command {
	return &command{
		name: "taint", args: "ADDRESS", summary: "Have an object replaced by the next apply", minArgs: 1, maxArgs: 1, complete: completeAddresses,
		about: "Marks a resource instance as not fit for use, so that the next plan replaces it. To see the whole effect first, use \"tutti plan -replace=ADDRESS\" instead.",
		setup: func(f *flagSet) action {
			return retaintAction(f, states.Tainted, "Resource instance %s has been marked as tainted.\n", "taint")
		},
	}
}

func untaintCommand() *command {
	return &command{
		name: "untaint", args: "ADDRESS", summary: "Take a taint back", minArgs: 1, maxArgs: 1, complete: completeAddresses,
		about: "Marks a tainted resource instance as fit for use again, so that the next plan does not replace it.",
		setup: func(f *flagSet) action {
			return retaintAction(f, states.Ready, "Resource instance %s has been successfully untainted.\n", "untaint")
		},
	}
}

func retaintAction(f *flagSet, status states.Status, done, cause string) action {
	var o stateOptions
	var allowMissing bool
	o.registerChange(f)
	o.gate.register(f)
	f.toggle(&allowMissing, "allow-missing", "Succeed even if there is no such object.")
	return func(ctx context.Context, app *App, args []string) int {
		addr, err := addrs.ParseResourceInstance(args[0])
		if err != nil {
			return app.failf("Invalid address", "%s.", err)
		}
		if addr.Resource.Mode != addrs.Managed {
			return app.failf("Invalid address", "%s is not a managed resource, and only those can be tainted.", addr)
		}
		e, diags := app.openState(ctx, &o)
		if diags.HasErrors() {
			return app.fail(diags)
		}
		defer e.Close()
		changes, err := retaint(e.st, addr, status)
		if err != nil {
			if allowMissing {
				fmt.Fprintf(app.Out, "No such resource instance: %s. Nothing was done, as -allow-missing allows.\n", addr)
				return exitOK
			}
			return app.fail(diag.FromError(err))
		}
		if status == states.Ready && len(changes) == 0 {
			return app.failf("Not tainted", "The resource instance %s is not tainted.", addr)
		}
		if code := e.write(ctx, cause, changes); code != exitOK {
			return code
		}
		fmt.Fprintf(app.Out, done, addr)
		return exitOK
	}
}
