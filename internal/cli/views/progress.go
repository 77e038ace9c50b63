package views

import (
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
)

// Watcher shows what happens while planning or applying. Progress may be called
// from several goroutines. After Close, which may be called again, nothing more
// is drawn.
type Watcher interface {
	Progress(engine.Progress)
	// Tell shows a line of text among the others. Whoever writes to the terminal
	// itself before Close disturbs what is drawn.
	Tell(text string)
	Close()
}

var (
	_ Watcher = (*plain)(nil)
	_ Watcher = (*live)(nil)
	_ Watcher = (*Stream)(nil)
)

// Watch returns a watcher for the terminal: one line per thing that happens, and
// below them, where lines can be redrawn, what is running. total is the number
// of operations to come, 0 where it is not known.
func (t *Terminal) Watch(total int) Watcher {
	if t.Live {
		return newLive(t, total)
	}
	p := &plain{t: t}
	p.reminders = newReminders(t.now, p.remind)
	return p
}

// plain writes one line for each thing, for logs.
type plain struct {
	t         *Terminal
	out       lockedWriter
	reminders *reminders
}

// Progress implements Watcher.
func (w *plain) Progress(p engine.Progress) {
	switch p.Kind {
	case engine.ApplyStart, engine.EphemeralOpStart:
		w.reminders.start(p)
	case engine.ApplyComplete, engine.ApplyErrored, engine.EphemeralOpComplete, engine.EphemeralOpErrored:
		w.reminders.end(p)
	}
	if line := w.t.progressLine(p); line != "" {
		w.out.line(w.t.Out, line)
	}
}

func (w *plain) remind(p engine.Progress, elapsed time.Duration) {
	w.out.line(w.t.Out, w.t.progressName(p)+" "+progressVerbs(p).still+"... ["+remindText(p, elapsed)+"]")
}

// Tell implements Watcher.
func (w *plain) Tell(text string) { w.out.line(w.t.Out, wrap(printable(text), w.t.Width)) }

// Close implements Watcher.
func (w *plain) Close() { w.reminders.close() }

// verbs say what an action is called while it runs, while it still runs, and
// when it has ended.
type verbs struct{ doing, still, done string }

func verbsFor(a plans.Action) verbs {
	switch a {
	case plans.Create:
		return verbs{"Creating", "Still creating", "Creation"}
	case plans.Update:
		return verbs{"Modifying", "Still modifying", "Modifications"}
	case plans.Delete:
		return verbs{"Destroying", "Still destroying", "Destruction"}
	case plans.Read:
		return verbs{"Reading", "Still reading", "Read"}
	}
	return verbs{"Working", "Still working", "Work"}
}

func progressVerbs(p engine.Progress) verbs {
	if p.Kind == engine.EphemeralOpStart {
		return verbs{"Opening", "Still opening", "Opening"}
	}
	return verbsFor(p.Action)
}

func (t *Terminal) progressName(p engine.Progress) string {
	return t.paint(bold, progressAddress(p)+":")
}

// progressAddress is the object with the stack it belongs to, where several are
// watched.
func progressAddress(p engine.Progress) string {
	if p.Stack != "" {
		return "stack." + p.Stack + "." + p.Object.String()
	}
	return p.Object.String()
}

// progressLine says what happened, in one line; empty where it is not worth
// telling.
func (t *Terminal) progressLine(p engine.Progress) string {
	text := ""
	word := verbsFor(p.Action)
	switch p.Kind {
	case engine.RefreshStart:
		text = "Refreshing state..." + idText(p)
	case engine.ImportStart:
		text = "Preparing import..." + idText(p)
	case engine.ApplyStart:
		text = word.doing + "..." + idText(p)
	case engine.ApplyComplete:
		text = word.done + " complete after " + duration(p.Elapsed) + idText(p)
	case engine.ApplyErrored:
		text = t.paint(red, word.done+" failed") + " after " + duration(p.Elapsed)
	case engine.EphemeralOpStart:
		text = "Opening..."
	case engine.EphemeralOpComplete:
		text = "Opening complete after " + duration(p.Elapsed)
	case engine.EphemeralOpErrored:
		text = t.paint(red, "Opening failed") + " after " + duration(p.Elapsed)
	case engine.ProvisionStart:
		text = "Provisioning with '" + p.Provisioner + "'..."
	case engine.ProvisionProgress:
		text = "(" + p.Provisioner + "): " + printable(p.Text)
	case engine.ProvisionErrored:
		text = t.paint(red, "("+p.Provisioner+") Provisioning failed")
	default:
		return ""
	}
	if p.Kind == engine.ProvisionProgress {
		return t.paint(bold, progressAddress(p)) + " " + text
	}
	return t.progressName(p) + " " + text
}

func idText(p engine.Progress) string {
	if p.IDKey == "" || p.IDValue == "" {
		return ""
	}
	return fmt.Sprintf(" [%s=%s]", p.IDKey, oneLine(p.IDValue))
}

func duration(d time.Duration) string { return d.Round(time.Second).String() }
