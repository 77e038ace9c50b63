package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/project"
)

// terminal is the streams of one invocation of the program, and how they are written.
type terminal struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer

	noColor bool
	// jsonOut says that standard output must hold JSON only; diagnostics are
	// then shown the way the command's JSON does.
	jsonOut         bool
	compactWarnings bool
	// prose says that standard output is for people, so that warnings may stand
	// there, in the order of what happens.
	prose     bool
	screen    *screen // see terminals
	screening sync.Once
}

var _ project.Terminal = (*terminal)(nil)

// screen is where people read: results on standard output, problems on
// standard error.
type screen struct {
	out, err *views.Terminal
}

func (t *terminal) terminals() *screen {
	t.screening.Do(func() {
		t.screen = &screen{out: views.Detect(t.Out, t.noColor), err: views.Detect(t.Err, t.noColor)}
	})
	return t.screen
}

// Plain implements [Terminal].
func (t *terminal) Plain() project.Terminal {
	return &terminal{In: strings.NewReader(""), Out: t.Out, Err: t.Err, noColor: t.noColor}
}

// Remarks implements [Terminal]: always on standard error.
func (t *terminal) Remarks(diags diag.List, sources map[string][]byte) {
	if !t.jsonOut {
		t.terminals().err.Diagnostics(diags.Sorted(), sources)
	}
}

// Diagnostics implements [Terminal]: as text for people, as JSON where the command's
// output is JSON.
func (t *terminal) Diagnostics(diags diag.List, sources map[string][]byte) {
	if len(diags) == 0 {
		return
	}
	if t.jsonOut {
		stream := views.NewStream(t.Out, time.Now)
		for _, d := range diags.Sorted() {
			stream.Diagnostic(d, sources)
		}
		return
	}
	terminal := t.terminals().err
	if t.prose && !diags.HasErrors() {
		terminal = t.terminals().out
	}
	terminal.CompactWarnings = t.compactWarnings
	terminal.Diagnostics(diags.Sorted(), sources)
}

// Decision implements [Terminal].
func (t *terminal) Decision(d *policy.Decision) { t.terminals().err.Decision(d) }

// Tell implements [Terminal]: on standard error, so that JSON on standard output stays
// JSON.
func (t *terminal) Tell(text string) { fmt.Fprint(t.Err, text) }

// Asker implements [Terminal].
func (t *terminal) Asker() func(context.Context, string, bool) (string, error) {
	if t.jsonOut {
		return nil
	}
	ask := t.prompter()
	return func(ctx context.Context, question string, secret bool) (string, error) {
		text, err := ask.ask(ctx, question, secret)
		if err == nil {
			fmt.Fprintln(t.Out)
		}
		return text, err
	}
}

// fail shows problems and returns the exit code for failure.
func (a *App) fail(diags diag.List) int {
	a.Show(diags)
	return exitFailed
}

// failf is fail for one problem.
func (a *App) failf(summary, detail string, args ...any) int {
	return a.fail(diag.Errorf(summary, detail, args...))
}
