package views

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
)

func objectAt(t *testing.T, address string) addrs.Object {
	t.Helper()
	instance, err := addrs.ParseResourceInstance(address)
	if err != nil {
		t.Fatal(err)
	}
	return addrs.Object{Instance: instance}
}

// sampleProgress is a run in which one thing takes 25 seconds.
func sampleProgress(t *testing.T) []timed {
	t.Helper()
	a, b, c := objectAt(t, "terraform_data.a"), objectAt(t, `module.m["x"].terraform_data.b[1]`), objectAt(t, "data.terraform_remote_state.c")
	old := b
	old.Deposed = "12345678"
	return []timed{
		{engine.Progress{Kind: engine.RefreshStart, Object: a, IDKey: "id", IDValue: "i-1"}, 0},
		{engine.Progress{Kind: engine.RefreshComplete, Object: a, IDKey: "id", IDValue: "i-1"}, time.Second},
		{engine.Progress{Kind: engine.ApplyStart, Object: b, Action: plans.Create}, 0},
		{engine.Progress{Kind: engine.ApplyStart, Object: a, Action: plans.Update, IDKey: "id", IDValue: "i-1"}, 5 * time.Second},
		{engine.Progress{Kind: engine.ProvisionStart, Object: b, Provisioner: "local-exec"}, 0},
		{engine.Progress{Kind: engine.ProvisionProgress, Object: b, Provisioner: "local-exec", Text: "\x1b[32mhello\x1b[0m"}, 0},
		{engine.Progress{Kind: engine.ProvisionComplete, Object: b, Provisioner: "local-exec"}, 0},
		{engine.Progress{Kind: engine.ApplyErrored, Object: a, Action: plans.Update, Elapsed: 2 * time.Second}, 2 * time.Second},
		{engine.Progress{Kind: engine.ApplyStart, Object: c, Action: plans.Read}, 0},
		{engine.Progress{Kind: engine.ApplyComplete, Object: c, Action: plans.Read, Elapsed: time.Second, IDKey: "id", IDValue: "r-1"}, time.Second},
		{engine.Progress{Kind: engine.ApplyComplete, Object: b, Action: plans.Create, Elapsed: 25 * time.Second, IDKey: "id", IDValue: "i-2"}, 17 * time.Second},
		{engine.Progress{Kind: engine.ApplyStart, Object: old, Action: plans.Delete, IDKey: "id", IDValue: "i-0"}, 0},
		{engine.Progress{Kind: engine.ApplyComplete, Object: old, Action: plans.Delete}, 0},
		{engine.Progress{Kind: engine.EphemeralOpStart, Object: a}, 0},
		{engine.Progress{Kind: engine.EphemeralOpComplete, Object: a}, 0},
		{engine.Progress{Kind: engine.ImportStart, Object: a, IDKey: "id", IDValue: "i-1"}, 0},
		{engine.Progress{Kind: engine.ImportComplete, Object: a, IDKey: "id", IDValue: "i-1"}, 0},
	}
}

func TestPlainProgressGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		w := (&Terminal{Out: &out, Width: 80}).Watch(0)
		for _, p := range sampleProgress(t) {
			time.Sleep(p.after)
			w.Progress(p.Progress)
		}
		w.Tell("Stopping: what is being done is finished and recorded, nothing more than that is begun.")
		w.Close()
		w.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		golden(t, "progress.txt", out.Bytes())
	})
}

func TestLiveProgressGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		w := (&Terminal{Out: &out, Width: 80, Live: true}).Watch(4)
		var seen strings.Builder
		for _, p := range sampleProgress(t) {
			time.Sleep(p.after)
			if p.Kind == engine.ApplyComplete && p.Action == plans.Create {
				synctest.Wait()
				seen.WriteString(strings.Join(replay(out.String()).lines, "\n") + "\n-- at the end --\n")
			}
			w.Progress(p.Progress)
		}
		w.Tell("Stopping: what is being done is finished and recorded, nothing more than that is begun.")
		w.Close()
		w.Close()
		screen := replay(out.String())
		seen.WriteString(strings.Join(screen.lines, "\n") + "\n")
		golden(t, "live.txt", []byte(seen.String()))
		if strings.Contains(strings.Join(screen.lines, "\n"), "█") {
			t.Error("the bar is still there after Close")
		}
	})
}

// TestLiveProgressIsBounded checks that many operations neither fill the screen
// nor are drawn more often than ten times a second.
func TestLiveProgressIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := &countingWriter{}
		w := (&Terminal{Out: counter, Width: 80, Live: true}).Watch(2000)
		for i := range 1000 {
			w.Progress(engine.Progress{Kind: engine.ApplyStart, Action: plans.Create, Object: objectAt(t, fmt.Sprintf("terraform_data.a[%d]", i))})
			time.Sleep(time.Millisecond)
		}
		for i := range 500 {
			w.Progress(engine.Progress{Kind: engine.ApplyComplete, Action: plans.Create, Object: objectAt(t, fmt.Sprintf("terraform_data.a[%d]", i))})
		}
		time.Sleep(time.Second)
		w.Close()
		if counter.writes > 21 {
			t.Errorf("%d writes in two seconds", counter.writes)
		}
		screen := replay(counter.String())
		if screen.deepest > maxDrawn+1 {
			t.Errorf("%d lines were drawn below", screen.deepest)
		}
		if len(screen.lines) != 500 {
			t.Errorf("%d lines above, not 500", len(screen.lines))
		}
	})
}

type countingWriter struct {
	bytes.Buffer
	writes int
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.writes++
	return w.Buffer.Write(p)
}

// screenReplay is what a terminal shows after the text was written to it.
type screenReplay struct {
	lines   []string
	deepest int // the highest cursor movement
}

// replay understands the two sequences that redraw: n lines up, and clear to
// the end.
func replay(text string) screenReplay {
	var s screenReplay
	for text != "" {
		var up int
		if n, _ := fmt.Sscanf(text, "\x1b[%dA\x1b[J", &up); n == 1 {
			s.deepest = max(s.deepest, up)
			s.lines = s.lines[:len(s.lines)-up]
			text = strings.TrimPrefix(text, fmt.Sprintf("\x1b[%dA\x1b[J", up))
			continue
		}
		line, rest, _ := strings.Cut(text, "\n")
		s.lines = append(s.lines, line)
		text = rest
	}
	return s
}
