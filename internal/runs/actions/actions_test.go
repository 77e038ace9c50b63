package actions

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// stage is where the actions of a test play.
type stage struct {
	t         *testing.T
	dir       string
	secrets   []string
	asked     chan struct{}
	mu        sync.Mutex
	logs      map[string]*bytes.Buffer
	beats     int
	artifacts map[string]string
}

// newStage also sees to it that nothing is left: no goroutine, no temporary file.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir(), asked: make(chan struct{}), logs: newLogs(), artifacts: map[string]string{}}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	// The threads that start processes stay.
	first := exec.Command("true")
	if err := start(first); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		if left, _ := os.ReadDir(temporary); len(left) > 0 {
			t.Errorf("temporary files are left: %v", left)
		}
		clientOf(nil).transport.CloseIdleConnections()
		// Goroutines that have nothing left to do may not have ended yet.
		for range 100_000 {
			if runtime.NumGoroutine() <= before {
				return
			}
			runtime.Gosched()
		}
		deadline := time.Now().Add(10 * time.Second)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
			}
			runtime.Gosched()
		}
	})
	return s
}

// call makes a call of an action of the table.
func (s *stage) call(kind string, arguments map[string]cty.Value) Call {
	s.t.Helper()
	all := map[string]cty.Value{}
	for name, a := range projects.Actions[kind].Arguments {
		all[name] = cty.NullVal(a.Type)
		if v, ok := arguments[name]; ok {
			converted, err := convert.Convert(v, a.Type)
			if err != nil {
				s.t.Fatalf("%s: %v", name, err)
			}
			all[name] = converted
		}
		delete(arguments, name)
	}
	for name := range arguments {
		s.t.Fatalf("%s has no argument %s", kind, name)
	}
	return Call{
		Arguments: cty.ObjectVal(all), Secrets: s.secrets, Key: "key-1", Dir: s.dir, Asked: s.asked,
		Logs: s.stream,
		Beat: func() { s.mu.Lock(); s.beats++; s.mu.Unlock() },
		Artifact: func(path string, data []byte) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.artifacts[path] = string(data)
			return nil
		},
	}
}

func newLogs() map[string]*bytes.Buffer { return map[string]*bytes.Buffer{} }

func (s *stage) stream(name string) io.Writer {
	return writer(func(p []byte) (int, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.logs[name] == nil {
			s.logs[name] = &bytes.Buffer{}
		}
		return s.logs[name].Write(p)
	})
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func (s *stage) log(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logs[name] == nil {
		return ""
	}
	return s.logs[name].String()
}

// do carries out an action and checks what comes out against the table.
func (s *stage) do(kind string, arguments map[string]cty.Value) (cty.Value, error) {
	s.t.Helper()
	out, err := Builtin()[kind](s.t.Context(), s.call(kind, arguments))
	if err == nil {
		if _, err := convert.Convert(out, projects.Actions[kind].Outputs); err != nil {
			s.t.Errorf("outputs %#v: %v", out, err)
		}
	}
	return out, err
}

// must carries out an action that succeeds.
func (s *stage) must(kind string, arguments map[string]cty.Value) cty.Value {
	s.t.Helper()
	out, err := s.do(kind, arguments)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// fails carries out an action that fails with an error of a name, and returns its
// cause.
func (s *stage) fails(name, kind string, arguments map[string]cty.Value) string {
	s.t.Helper()
	out, err := s.do(kind, arguments)
	return s.isError(name, out, err)
}

func (s *stage) isError(name string, out cty.Value, err error) string {
	s.t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Name != name {
		s.t.Fatalf("%v and %#v, want an error %s", err, out, name)
	}
	return e.Cause
}

func (s *stage) write(name, text string, mode os.FileMode) {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func has(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s: %q, want %q in it", what, text, part)
		}
	}
}

func command(argv ...string) cty.Value {
	return list(argv...)
}

func list(of ...string) cty.Value {
	var out []cty.Value
	for _, a := range of {
		out = append(out, cty.StringVal(a))
	}
	return cty.ListVal(out)
}

func shell(source string) map[string]cty.Value {
	return map[string]cty.Value{"command": command("sh", "-c", source)}
}

func with(a map[string]cty.Value, name string, v cty.Value) map[string]cty.Value {
	a[name] = v
	return a
}

func object(pairs ...string) cty.Value {
	out := map[string]cty.Value{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = cty.StringVal(pairs[i+1])
	}
	return cty.ObjectVal(out)
}

func attribute(v cty.Value, name string) string {
	a := v.GetAttr(name)
	switch {
	case a.IsNull():
		return "null"
	case a.Type() == cty.String:
		return a.AsString()
	case a.Type() == cty.Number:
		return a.AsBigFloat().Text('f', -1)
	}
	return a.GoString()
}
