package views

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
)

// Watcher shows what happens while planning or applying. Progress may be called
// from several goroutines.
type Watcher interface {
	Progress(engine.Progress)
	Close()
}

// reminder is how often a running operation is mentioned again in plain lines.
const reminder = 10 * time.Second

// Watch returns a watcher for the terminal: one line per thing that happens, and
// below them, where lines can be redrawn, what is running. total is the number
// of operations to come, 0 where it is not known.
func (t *Terminal) Watch(total int) Watcher {
	w := &watcher{t: t, total: total, running: map[runningKey]*running{}, stop: make(chan struct{}), done: make(chan struct{})}
	interval := reminder
	if t.Live {
		interval = 100 * time.Millisecond
	}
	go w.tick(interval)
	return w
}

type runningKey struct {
	object addrs.Object
	kind   engine.ProgressKind
}

// running is an operation that has begun.
type running struct {
	since    time.Time
	reminded time.Time
	verb     string
}

type watcher struct {
	t     *Terminal
	total int

	mu      sync.Mutex
	running map[runningKey]*running
	ended   int
	drawn   int // lines drawn below that must go before the next line
	stop    chan struct{}
	done    chan struct{}
}

func (w *watcher) tick(interval time.Duration) {
	defer close(w.done)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-ticker.C:
			w.mu.Lock()
			if w.t.Live {
				w.erase()
				w.draw()
			} else {
				w.remind()
			}
			w.mu.Unlock()
		}
	}
}

// Close ends the drawing.
func (w *watcher) Close() {
	close(w.stop)
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	w.erase()
}

// words say what an action is called while it runs and afterwards.
func words(a plans.Action) (doing, still, done string) {
	switch a {
	case plans.Create:
		return "Creating...", "Still creating...", "Creation complete"
	case plans.Update:
		return "Modifying...", "Still modifying...", "Modifications complete"
	case plans.Delete:
		return "Destroying...", "Still destroying...", "Destruction complete"
	case plans.Read:
		return "Reading...", "Still reading...", "Read complete"
	}
	return "Working...", "Still working...", "Complete"
}

// Progress implements Watcher.
func (w *watcher) Progress(p engine.Progress) {
	line := ""
	now := w.t.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	name := w.t.paint(bold, p.Object.String()+":")
	doing, still, done := words(p.Action)
	switch p.Kind {
	case engine.RefreshStart:
		line = name + " Refreshing state..." + idText(p)
	case engine.ImportStart:
		line = name + " Preparing import..." + idText(p)
	case engine.ApplyStart:
		w.running[runningKey{p.Object, engine.ApplyStart}] = &running{since: now, reminded: now, verb: still}
		line = name + " " + doing + idText(p)
	case engine.ApplyComplete:
		delete(w.running, runningKey{p.Object, engine.ApplyStart})
		w.ended++
		line = name + " " + done + " after " + duration(p.Elapsed) + idText(p)
	case engine.ApplyErrored:
		delete(w.running, runningKey{p.Object, engine.ApplyStart})
		w.ended++
		line = name + " " + w.t.paint(red, "Failed") + " after " + duration(p.Elapsed)
	case engine.EphemeralOpStart:
		w.running[runningKey{p.Object, engine.EphemeralOpStart}] = &running{since: now, reminded: now, verb: "Still opening..."}
		line = name + " Opening..."
	case engine.EphemeralOpComplete, engine.EphemeralOpErrored:
		delete(w.running, runningKey{p.Object, engine.EphemeralOpStart})
		if p.Kind == engine.EphemeralOpComplete {
			line = name + " Opening complete after " + duration(p.Elapsed)
		}
	case engine.ProvisionStart:
		line = name + " Provisioning with '" + p.Provisioner + "'..."
	case engine.ProvisionProgress:
		line = name + " (" + p.Provisioner + "): " + printable(p.Text)
	}
	if line == "" {
		return
	}
	w.erase()
	w.t.printf("%s\n", line)
}

func idText(p engine.Progress) string {
	if p.IDKey == "" || p.IDValue == "" {
		return ""
	}
	return " [" + p.IDKey + "=" + printable(p.IDValue) + "]"
}

func duration(d time.Duration) string { return d.Round(time.Second).String() }

// remind mentions what has been running for long.
func (w *watcher) remind() {
	now := w.t.now()
	for _, key := range w.order() {
		r := w.running[key]
		if now.Sub(r.reminded) >= reminder {
			r.reminded = now
			w.t.printf("%s %s [%s elapsed]\n", w.t.paint(bold, key.object.String()+":"), r.verb, elapsedText(now.Sub(r.since)))
		}
	}
}

// order lists what runs, the oldest first.
func (w *watcher) order() []runningKey {
	keys := make([]runningKey, 0, len(w.running))
	for key := range w.running {
		keys = append(keys, key)
	}
	sort.Slice(keys, func(i, j int) bool {
		a, b := w.running[keys[i]], w.running[keys[j]]
		if !a.since.Equal(b.since) {
			return a.since.Before(b.since)
		}
		return keys[i].object.String() < keys[j].object.String()
	})
	return keys
}

func elapsedText(d time.Duration) string {
	d = d.Round(time.Second)
	return fmt.Sprintf("%02dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}

// maxDrawn bounds the lines drawn below.
const maxDrawn = 8

// draw shows what is running, and how much is done.
func (w *watcher) draw() {
	if len(w.running) == 0 {
		return
	}
	now := w.t.now()
	var lines []string
	keys := w.order()
	for i, key := range keys {
		if i == maxDrawn-1 && len(keys) > maxDrawn {
			lines = append(lines, fmt.Sprintf("  … and %d more", len(keys)-i))
			break
		}
		r := w.running[key]
		verb := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(r.verb, "Still "), "..."))
		lines = append(lines, fmt.Sprintf("  %s %s %s", duration(now.Sub(r.since)), verb, key.object))
	}
	if w.total > 0 {
		lines = append(lines, w.bar())
	}
	for _, line := range lines {
		w.t.printf("%s\n", w.t.paint(dim, cut(line, w.t.Width-1)))
	}
	w.drawn = len(lines)
}

// bar shows how much is done.
func (w *watcher) bar() string {
	width := min(40, w.t.Width-24)
	full := width * min(w.ended, w.total) / w.total
	return fmt.Sprintf("  %s%s %d/%d", strings.Repeat("█", full), strings.Repeat("░", width-full), w.ended, w.total)
}

// erase removes what draw drew.
func (w *watcher) erase() {
	if w.drawn > 0 {
		w.t.printf("\x1b[%dA\x1b[J", w.drawn)
		w.drawn = 0
	}
}
