package actions

import (
	"context"

	"github.com/zclconf/go-cty/cty"
)

// Exec runs a program, without a shell. It finds the idempotency key in
// TUTTI_IDEMPOTENCY_KEY and may write a JSON value, its result, to the file named
// by TUTTI_RESULT. What it prints goes to the logs, its end to the outputs as
// well, which are not masked: secrets that a program prints are in them.
//
// The program leads a process group, which is asked to end (SIGTERM) when the run
// is being cancelled, and killed five seconds after the context ended. On Linux it
// dies with this process; programs that it started itself do not.
func Exec(ctx context.Context, c Call) (cty.Value, error) {
	argv := texts(c.Arguments, "command")
	if len(argv) == 0 {
		return cty.NilVal, invalid("A command is a list of a program and its arguments.")
	}
	p, err := newProcess(&c)
	if err != nil {
		return cty.NilVal, err
	}
	defer p.close()
	p.argv = argv
	return p.do(ctx, &c)
}
