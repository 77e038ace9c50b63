package views

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/engine"
)

// frame is how often the lines below are drawn again at most.
const frame = 100 * time.Millisecond

// maxDrawn bounds the lines drawn below, without the bar.
const maxDrawn = 8

// live shows lines about what has happened and, below them, what is running.
// Everything is written frame by frame, each in one piece, so that neither
// thousands of events nor a slow terminal hold up the work or flicker.
type live struct {
	t     *Terminal
	total int

	mu      sync.Mutex
	lines   []string // to be written above with the next frame
	running []*liveRunning
	byKey   map[liveKey]*liveRunning
	ended   int
	drawn   int    // lines that stand below
	last    string // what they are

	stop  chan struct{}
	done  chan struct{}
	close sync.Once
}

type liveKey struct {
	stack  string
	object addrs.Object
	kind   engine.ProgressKind // the kind it began with
}

// String is the object as people know it.
func (k liveKey) String() string {
	return progressAddress(engine.Progress{Stack: k.stack, Object: k.object})
}

// liveRunning is something that has begun and not ended.
type liveRunning struct {
	key   liveKey
	since time.Time
	verb  string
	note  string // the last line a provisioner wrote
}

func newLive(t *Terminal, total int) *live {
	w := &live{t: t, total: total, byKey: map[liveKey]*liveRunning{}, stop: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *live) run() {
	defer close(w.done)
	ticker := time.NewTicker(frame)
	defer ticker.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-ticker.C:
			w.mu.Lock()
			w.draw(w.below())
			w.mu.Unlock()
		}
	}
}

// Close implements Watcher: what is drawn below goes, the lines stay.
func (w *live) Close() {
	w.close.Do(func() {
		close(w.stop)
		<-w.done
		w.mu.Lock()
		defer w.mu.Unlock()
		w.draw(nil)
	})
}

// Progress implements Watcher.
func (w *live) Progress(p engine.Progress) {
	line := w.line(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch p.Kind {
	case engine.RefreshStart, engine.ImportStart, engine.EphemeralOpStart, engine.ApplyStart:
		w.begin(p)
		line = "" // it stands below until it ends
	case engine.RefreshComplete:
		w.end(liveKey{p.Stack, p.Object, engine.RefreshStart})
	case engine.ImportComplete:
		w.end(liveKey{p.Stack, p.Object, engine.ImportStart})
	case engine.EphemeralOpComplete, engine.EphemeralOpErrored:
		w.end(liveKey{p.Stack, p.Object, engine.EphemeralOpStart})
	case engine.ApplyComplete, engine.ApplyErrored:
		w.end(liveKey{p.Stack, p.Object, engine.ApplyStart})
		w.ended++
	case engine.ProvisionProgress:
		if r := w.byKey[liveKey{p.Stack, p.Object, engine.ApplyStart}]; r != nil {
			r.note = oneLine(p.Text)
		}
	}
	if line != "" {
		w.lines = append(w.lines, line)
	}
}

// line says what happened. What does not fit beside a long address stands below
// it.
func (w *live) line(p engine.Progress) string {
	line, name := w.t.progressLine(p), w.t.progressName(p)
	if rest, ok := strings.CutPrefix(line, name+" "); ok && columns(line) > w.t.Width {
		return name + "\n    " + rest
	}
	return line
}

// Tell implements Watcher.
func (w *live) Tell(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, wrap(printable(text), w.t.Width))
}

func (w *live) begin(p engine.Progress) {
	verb := strings.ToLower(progressVerbs(p).doing)
	switch p.Kind {
	case engine.RefreshStart:
		verb = "refreshing"
	case engine.ImportStart:
		verb = "importing"
	}
	key := liveKey{p.Stack, p.Object, p.Kind}
	w.end(key)
	r := &liveRunning{key: key, since: w.t.now(), verb: verb}
	w.byKey[key] = r
	w.running = append(w.running, r) // the oldest stay first
}

func (w *live) end(key liveKey) {
	r := w.byKey[key]
	if r == nil {
		return
	}
	delete(w.byKey, key)
	for i := range w.running {
		if w.running[i] == r {
			w.running = append(w.running[:i], w.running[i+1:]...)
			return
		}
	}
}

// below are the lines about what is running.
func (w *live) below() []string {
	if len(w.running) == 0 {
		return nil
	}
	now := w.t.now()
	var out []string
	for i, r := range w.running {
		if i == maxDrawn-1 && len(w.running) > maxDrawn {
			out = append(out, fmt.Sprintf("  … and %d more", len(w.running)-i))
			break
		}
		text := fmt.Sprintf("  %6s  %s %s", duration(now.Sub(r.since)), r.verb, r.key)
		if r.note != "" {
			text += ": " + r.note
		}
		out = append(out, text)
	}
	if w.total > 0 {
		out = append(out, w.bar())
	}
	return out
}

// bar shows how much is done.
func (w *live) bar() string {
	width := max(10, min(40, w.t.Width-24))
	full := width * min(w.ended, w.total) / w.total
	return fmt.Sprintf("  %s%s  %d/%d", strings.Repeat("█", full), strings.Repeat("░", width-full), w.ended, w.total)
}

// draw replaces what stands below by the lines that have come up and what is to
// stand below now. Nothing is written where nothing has changed.
func (w *live) draw(below []string) {
	var tail strings.Builder
	for _, line := range below {
		tail.WriteString(w.t.paint(dim, cut(line, w.t.Width-1)) + "\n")
	}
	if len(w.lines) == 0 && tail.String() == w.last {
		return
	}
	var b strings.Builder
	if w.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", w.drawn)
	}
	for _, line := range w.lines {
		b.WriteString(line + "\n")
	}
	b.WriteString(tail.String())
	_, _ = io.WriteString(w.t.Out, b.String())
	w.lines, w.drawn, w.last = w.lines[:0], len(below), tail.String()
}

// lockedWriter writes whole lines from several goroutines.
type lockedWriter struct{ mu sync.Mutex }

func (w *lockedWriter) line(out io.Writer, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = io.WriteString(out, text+"\n")
}
