package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// hardKey is the context key of the second interrupt.
type hardKey struct{}

// watchInterrupts turns signals into cancellation. The first interrupt cancels
// the context returned: whoever works under it finishes the operations that are
// running and records them. The second cancels the context of [hardContext]:
// operations are given up, the journal stays resumable. A third ends the
// process on the spot, which the journal survives as well.
//
// A terminal that is closed (SIGHUP, which may come several times) is a first interrupt,
// unless nohup has it ignored, or the command is one that lives on without a terminal.
func (a *App) watchInterrupts(parent context.Context, livesOn bool) (context.Context, func()) {
	hard, cancelHard := context.WithCancel(parent)
	soft, cancelSoft := context.WithCancel(context.WithValue(hard, hardKey{}, hard))
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !livesOn && !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	done := make(chan struct{})
	go func() {
		for count := 1; ; count++ {
			select {
			case <-done:
				return
			case s := <-signals:
				if s == syscall.SIGHUP && count > 1 {
					count--
					continue
				}
			}
			switch count {
			case 1:
				if a.far { // whoever follows a run there says what becomes of it
					cancelSoft()
					continue
				}
				a.Tell(a.interrupted())
				cancelSoft()
			case 2:
				if !a.far && a.isBusy() {
					a.Tell("\nSecond interrupt received. Giving up running operations.\n")
				}
				cancelHard()
			default:
				os.Exit(exitFailed)
			}
		}
	}()
	return soft, func() {
		signal.Stop(signals)
		close(done)
		cancelSoft()
		cancelHard()
	}
}

// waiting are the commands that carry out nothing themselves which an interrupt would
// have to wait for.
var waiting = map[string]bool{"asl get-activity-task": true, "console": true, "login": true, "logs": true, "runs watch": true}

// isBusy reports whether something runs that has to end before the program can.
func (a *App) isBusy() bool {
	if busy := a.busy.Load(); busy != nil {
		return (*busy)()
	}
	return !waiting[a.Command]
}

// interrupted is what is told at the first interrupt.
func (a *App) interrupted() string {
	switch {
	case a.isBusy():
		return "\nInterrupt received. Finishing what is running; please wait. A second interrupt\ngives up running operations; \"tutti resume\" can then settle them.\n"
	case a.Command == "server" || a.Command == "runner":
		return "\nInterrupt received. Nothing is running: the " + a.Command + " stops.\n"
	}
	return "\nInterrupt received.\n"
}

// hardContext returns the context that only a second interrupt cancels.
func hardContext(ctx context.Context) context.Context {
	if hard, ok := ctx.Value(hardKey{}).(context.Context); ok {
		return hard
	}
	return ctx
}

// within returns a context whose [hardContext] ends by itself so long after the
// first interrupt; 0 for never. let is to be called when nothing needs it any more.
func within(ctx context.Context, limit time.Duration) (_ context.Context, let func()) {
	hard, end := context.WithCancel(hardContext(ctx))
	if limit > 0 {
		context.AfterFunc(ctx, func() {
			select {
			case <-time.After(limit):
				end()
			case <-hard.Done():
			}
		})
	}
	return context.WithValue(ctx, hardKey{}, hard), end
}
