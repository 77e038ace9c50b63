package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/telemetry"
)

// Exit codes beyond 0 (done) and 1 (failed).
const (
	exitOK      = 0
	exitFailed  = 1
	exitChanges = 2   // plan -detailed-exitcode: succeeded, there are changes
	exitPanic   = 11  // a bug in this program
	exitUsage   = 127 // no command given
)

// App is one invocation of the program: its terminal, its session, and the commands
// there are.
type App struct {
	*terminal
	*project.Session

	root *command

	// remote is the server that the command runs against; nil where it works on files
	// here. far says so before the server was asked.
	remote *remote
	far    bool

	// busy says whether an interrupt has to wait for something; not set where the command
	// itself tells ([App.isBusy]).
	busy atomic.Pointer[func() bool]
}

func newApp(in io.Reader, out, problems io.Writer, root *command) *App {
	t := &terminal{In: in, Out: out, Err: problems}
	return &App{terminal: t, Session: &project.Session{Terminal: t}, root: root}
}

// Main runs the program with the arguments behind its name and returns the exit
// code. It is the only function that touches process-wide things: the working
// directory (-chdir), signals, and the default logger.
func Main(args []string) (code int) {
	app := newApp(os.Stdin, os.Stdout, os.Stderr, commands())
	defer func() {
		if p := recover(); p != nil {
			app.reportPanic(p, debug.Stack())
			code = exitPanic
		}
	}()
	if os.Getenv("GOGC") == "" {
		// A command lives shortly: less collecting is worth some memory.
		debug.SetGCPercent(200)
	}
	closeLog := setUpLog()
	defer closeLog()
	return app.run(args)
}

// run reads the global options and dispatches to a command.
func (a *App) run(args []string) int {
	if len(args) > 0 && args[0] == completeWord {
		return a.completions(args[1:])
	}
	args, global, err := globalOptions(args)
	if err != nil {
		return a.usageError(a.root, "", err)
	}
	if global.chdir != "" {
		if err := os.Chdir(global.chdir); err != nil {
			return a.fail(diag.Errorf("Cannot change to another directory", "%s (option -chdir).", files.Reason(err)))
		}
	}
	if global.completion != 0 {
		return a.installCompletion(global.completion > 0)
	}
	if global.version {
		args = append([]string{"version"}, args...)
	}
	if len(args) == 0 {
		a.rootHelp()
		if global.help {
			return exitOK
		}
		return exitUsage
	}
	cmd, name, rest := a.root.resolve(args)
	if global.help {
		return a.help(cmd, name, rest)
	}
	if cmd.setup == nil {
		return a.withoutCommand(cmd, name, rest)
	}
	rest, err = withEnvironmentArgs(name, rest)
	if err != nil {
		return a.usageError(cmd, name, err)
	}
	return a.runCommand(cmd, name, rest)
}

// runCommand parses the command's flags and runs its action.
func (a *App) runCommand(cmd *command, name string, args []string) (code int) {
	f := newFlagSet(name)
	do := cmd.setup(f)
	if f.set.Lookup("no-color") == nil {
		f.toggle(&a.noColor, "no-color", "")
	}
	cmd.registerScope(a, f)
	args, err := f.parse(args)
	if errors.Is(err, errHelp) {
		a.commandHelp(cmd, name)
		return exitOK
	}
	var unknown *unknownFlagError
	if errors.As(err, &unknown) {
		err = f.explainUnknown(unknown.name)
	}
	if err != nil {
		return a.usageError(cmd, name, err)
	}
	if err := checkArity(cmd, args); err != nil {
		return a.usageError(cmd, name, err)
	}
	a.far, a.Command = isRemote(name), name
	ctx, stop := a.watchInterrupts(context.Background(), name == "server")
	defer stop()
	ctx, told := a.traced(ctx, name)
	defer func() { told(code) }()
	if isRemote(name) {
		if diags := a.reach(ctx, name, f); diags.HasErrors() {
			return a.fail(diags)
		}
	} else if !anyone[strings.Fields(name)[0]] {
		if diags := a.Identify(ctx, name); diags.HasErrors() {
			return a.fail(diags)
		}
	}
	defer a.TellPending(context.WithoutCancel(ctx))
	return do(ctx, a, args)
}

// traced sends traces where the environment names a collector for them. What is
// returned is to be told how the command ended. Commands that drive runs until they are
// stopped are no span: each run is a trace then.
func (a *App) traced(ctx context.Context, name string) (context.Context, func(code int)) {
	if !telemetry.Wanted() {
		return ctx, func(int) {}
	}
	ctx, stop, err := telemetry.Export(ctx, project.ProgramVersion(), func(err error) {
		a.Show(diag.Warningf("Traces cannot be sent", "%s. Nothing else depends on them.", err))
	})
	if err != nil {
		a.Show(diag.Warningf("Traces cannot be sent", "%s. Nothing else depends on them.", err))
		return ctx, func(int) {}
	}
	if name == "server" || name == "runner" {
		return ctx, func(int) { stop() }
	}
	ctx, span := telemetry.BeginCommand(ctx, name)
	return ctx, func(code int) {
		span.End("exit code "+strconv.Itoa(code), code == exitFailed)
		stop()
	}
}

func checkArity(cmd *command, args []string) error {
	switch {
	case len(args) < cmd.minArgs:
		return fmt.Errorf("it needs %s: %s", diag.CountOf(cmd.minArgs, "argument"), cmd.args)
	case cmd.maxArgs >= 0 && len(args) > cmd.maxArgs:
		switch {
		case cmd.maxArgs == 0 && len(cmd.sub) > 0: // a group that does something without a word
			if near := cmd.suggest(args[0]); near != "" {
				return fmt.Errorf("it has no command named %q (did you mean %q?)", args[0], near)
			}
			return fmt.Errorf("it has no command named %q", args[0])
		case cmd.maxArgs == 0:
			return fmt.Errorf("it takes no arguments, but was given %q", args[0])
		}
		if cmd.minArgs == cmd.maxArgs {
			return fmt.Errorf("it takes %s (%s), but was given %d", diag.CountOf(cmd.maxArgs, "argument"), cmd.args, len(args))
		}
		return fmt.Errorf("it takes at most %s, but was given %d", diag.CountOf(cmd.maxArgs, "argument"), len(args))
	}
	return nil
}

// explainUnknown adds the nearest flag to the complaint about an unknown one.
func (f *flagSet) explainUnknown(name string) error {
	var names []string
	for _, d := range f.docs {
		if d.Text != "" {
			names = append(names, d.Name)
		}
	}
	if near := diag.Nearest(name, names); near != "" {
		return fmt.Errorf("there is no option -%s (did you mean -%s?)", name, near)
	}
	return &unknownFlagError{name: name}
}

// withoutCommand handles words that end at a group ("state") or at nothing.
func (a *App) withoutCommand(cmd *command, name string, rest []string) int {
	for _, w := range rest {
		if w == "-help" || w == "--help" || w == "-h" {
			a.commandHelp(cmd, name)
			return exitOK
		}
	}
	if len(rest) == 0 {
		a.commandHelp(cmd, name)
		return exitUsage
	}
	full := strings.TrimSpace("tutti " + name)
	msg := fmt.Sprintf("%s has no command named %q.", full, rest[0])
	if name == "" {
		msg = fmt.Sprintf("Tutti has no command named %q.", rest[0])
	}
	if near := cmd.suggest(rest[0]); near != "" {
		msg += fmt.Sprintf(" Did you mean %q?", near)
	}
	fmt.Fprintf(a.Err, "%s\n\nTo see all commands, run:\n  %s -help\n", msg, full)
	return exitFailed
}

// usageError tells what was wrong with a command line.
func (a *App) usageError(cmd *command, name string, err error) int {
	full := strings.TrimSpace("tutti " + name)
	code := a.fail(diag.Errorf("Invalid command line", "%s: %s.", full, strings.TrimSuffix(err.Error(), ".")))
	if !a.jsonOut {
		if name != "" {
			fmt.Fprintf(a.Err, "\nUsage: %s\n", usageLine(cmd, name))
		}
		fmt.Fprintf(a.Err, "For all options, run:\n  %s -help\n", full)
	}
	return code
}

// reportPanic tells about a bug in this program without leaving people alone
// with a stack trace.
func (a *App) reportPanic(p any, stack []byte) {
	fmt.Fprintf(a.Err, `
Tutti has crashed. This is a bug in Tutti, not in your configuration.

  %v

Nothing that was done is lost: what an apply had begun is in its journal, and
"tutti resume" goes on from there. Please report the text below together with
what you did and the output of "tutti version".

%s`, p, stack)
}

// globals are the options that stand before the command.
type globals struct {
	chdir         string
	help, version bool
	completion    int // 1: install, -1: remove
}

func globalOptions(args []string) ([]string, globals, error) {
	var g globals
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
		switch name {
		case "chdir":
			if !hasValue || value == "" {
				return nil, g, fmt.Errorf("the option -chdir needs a directory: -chdir=DIR")
			}
			g.chdir = value
		case "help", "h":
			g.help = true
		case "version", "v":
			g.version = true
		case "install-autocomplete":
			g.completion = 1
		case "uninstall-autocomplete":
			g.completion = -1
		default:
			return nil, g, fmt.Errorf("there is no global option %s; options of a command follow its name", args[0])
		}
		args = args[1:]
	}
	return args, g, nil
}

// withEnvironmentArgs puts the arguments from TF_CLI_ARGS_<command> and
// TF_CLI_ARGS in front, so that the command line has the last word.
func withEnvironmentArgs(name string, args []string) ([]string, error) {
	var out []string
	suffix := strings.NewReplacer(" ", "_", "-", "_").Replace(name)
	for _, key := range []string{"TF_CLI_ARGS_" + suffix, "TF_CLI_ARGS"} {
		words, err := splitWords(os.Getenv(key))
		if err != nil {
			return nil, fmt.Errorf("cannot read the environment variable %s: %w", key, err)
		}
		out = append(out, words...)
	}
	return append(out, args...), nil
}

// setUpLog directs the program's own log: nowhere, unless TF_LOG or TF_LOG_CORE
// asks for it; then to standard error or the file TF_LOG_PATH names.
func setUpLog() (closeLog func()) {
	level := os.Getenv("TF_LOG_CORE")
	if level == "" {
		level = os.Getenv("TF_LOG")
	}
	if level == "" || strings.EqualFold(level, "off") {
		slog.SetDefault(slog.New(slog.DiscardHandler))
		return func() {}
	}
	var w io.Writer = os.Stderr
	closeLog = func() {}
	if path := os.Getenv("TF_LOG_PATH"); path != "" {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			fmt.Fprintf(os.Stderr, "Cannot open the log file named by TF_LOG_PATH: %s\n", err)
		} else {
			w, closeLog = f, func() { _ = f.Close() }
		}
	}
	opts := &slog.HandlerOptions{Level: logLevel(level)}
	if strings.EqualFold(level, "json") {
		slog.SetDefault(slog.New(slog.NewJSONHandler(w, opts)))
	} else {
		slog.SetDefault(slog.New(slog.NewTextHandler(w, opts)))
	}
	return closeLog
}

func logLevel(name string) slog.Level {
	switch strings.ToLower(name) {
	case "error":
		return slog.LevelError
	case "warn":
		return slog.LevelWarn
	case "info":
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
