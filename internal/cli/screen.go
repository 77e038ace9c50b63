package cli

import (
	"maps"
	"runtime/debug"
	"time"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
)

// terraformVersion is the release of the language and of the JSON formats that
// this program behaves as. Providers, modules and tools compare it.
const terraformVersion = "1.15.0"

// programVersion is this program's own version, as the build recorded it.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "0.1.0-dev"
	}
	return info.Main.Version
}

// screen is where people read: results on standard output, problems on
// standard error.
type screen struct {
	out, err *views.Terminal
}

func (a *App) terminals() *screen {
	a.screening.Do(func() {
		a.screen = &screen{out: views.Detect(a.Out, a.noColor), err: views.Detect(a.Err, a.noColor)}
	})
	return a.screen
}

// fail shows problems and returns the exit code for failure.
func (a *App) fail(diags diag.List) int {
	a.show(diags)
	return exitFailed
}

// failf is fail for one problem.
func (a *App) failf(summary, detail string, args ...any) int {
	return a.fail(diag.Errorf(summary, detail, args...))
}

// quote lets diagnostics quote the files of a configuration, those included that
// are added to it later.
func (p *project) quote(files map[string][]byte) {
	if p.ensemble == nil {
		p.app.sources = files
		return
	}
	p.app.quoting.Lock()
	defer p.app.quoting.Unlock()
	if p.app.sources == nil {
		p.app.sources = map[string][]byte{}
	}
	maps.Copy(p.app.sources, files)
}

// show shows problems without quoting source lines other than those known.
func (a *App) show(diags diag.List) {
	if len(diags) > 0 {
		a.showWith(diags, a.quoted())
	}
}

// quoteToo adds text that diagnostics quote to what there is.
func (a *App) quoteToo(files map[string][]byte) {
	a.quoting.Lock()
	defer a.quoting.Unlock()
	sources := make(map[string][]byte, len(a.sources)+len(files))
	maps.Copy(sources, a.sources) // they may be those of a configuration
	maps.Copy(sources, files)
	a.sources = sources
}

// quoted is the text to quote as it is now: other stacks may be read meanwhile.
func (a *App) quoted() map[string][]byte {
	a.quoting.Lock()
	defer a.quoting.Unlock()
	return maps.Clone(a.sources)
}

// remark shows what people should know that does not belong to a command's
// result: always on standard error.
func (a *App) remark(diags diag.List) {
	if len(diags) > 0 && !a.jsonOut {
		a.terminals().err.Diagnostics(diags.Sorted(), a.sources)
	}
}

// showWith shows problems, quoting the source text given: as text for people,
// as JSON where the command's output is JSON.
func (a *App) showWith(diags diag.List, sources map[string][]byte) {
	if len(diags) == 0 {
		return
	}
	if a.jsonOut {
		stream := views.NewStream(a.Out, time.Now)
		for _, d := range diags.Sorted() {
			stream.Diagnostic(d, sources)
		}
		return
	}
	terminal := a.terminals().err
	if a.prose && !diags.HasErrors() {
		terminal = a.terminals().out
	}
	terminal.CompactWarnings = a.compactWarnings
	terminal.Diagnostics(diags.Sorted(), sources)
}
