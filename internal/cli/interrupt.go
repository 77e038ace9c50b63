package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/tutti-dev/tutti/internal/operations"
)

// watchInterrupts turns signals into cancellation. The first interrupt cancels
// the context returned: whoever works under it finishes the operations that are
// running and records them. The second cancels the context of [operations.Hard]:
// operations are given up, the journal stays resumable. A third ends the
// process on the spot, which the journal survives as well.
//
// A terminal that is closed (SIGHUP, which may come several times) is a first interrupt,
// unless nohup has it ignored, or the command is one that lives on without a terminal.
func (a *App) watchInterrupts(parent context.Context, livesOn bool) (context.Context, func()) {
	hard, cancelHard := context.WithCancel(parent)
	soft, cancelSoft := context.WithCancel(operations.WithHard(hard, hard))
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
