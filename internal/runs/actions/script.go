package actions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// interpreter is a program that runs scripts.
type interpreter struct {
	program   string
	arguments []string // before the script
	suffix    string   // of the script's name: pwsh insists on it
	line      *regexp.Regexp
	help      string
}

func interpreterOf(name string) (interpreter, bool) {
	switch name {
	case "", "bash":
		return interpreter{
			program: "bash", arguments: []string{"-euo", "pipefail"},
			line: regexp.MustCompile(`(?m)^script: line (\d+):`),
			help: "Install it, or use the interpreter sh.",
		}, true
	case "sh":
		return interpreter{program: "sh", arguments: []string{"-eu"}, line: regexp.MustCompile(`(?m)^script: (?:line )?(\d+):`)}, true
	case "python", "python3":
		return interpreter{
			program: "python3", suffix: ".py",
			line: regexp.MustCompile(`(?m)^ *File "script\.py", line (\d+)`),
			help: "Install Python 3 on the machine that runs the workflow.",
		}, true
	case "pwsh":
		return interpreter{
			program: "pwsh", arguments: []string{"-NoProfile", "-NonInteractive", "-File"}, suffix: ".ps1",
			line: regexp.MustCompile(`(?m)script\.ps1:(\d+)`),
			help: "Install PowerShell 7 on the machine that runs the workflow: https://aka.ms/powershell.",
		}, true
	}
	return interpreter{}, false
}

// Script runs a script with bash, sh, python or pwsh, otherwise as [Exec]. bash
// and sh end at the first command that fails and at variables that are not set,
// bash also where a pipeline fails in the middle. The source lies in a private
// file, never on a command line.
func Script(ctx context.Context, c Call) (cty.Value, error) {
	in, ok := interpreterOf(text(c.Arguments, "interpreter"))
	if !ok {
		return cty.NilVal, invalid("The interpreter %q is none of bash, sh, python and pwsh.", text(c.Arguments, "interpreter"))
	}
	p, err := newProcess(&c)
	if err != nil {
		return cty.NilVal, err
	}
	defer p.close()
	if !p.has(in.program) {
		return cty.NilVal, Errorf(commandNotFound, "%s", strings.TrimSpace(fmt.Sprintf("The interpreter %s is not in the path. %s", in.program, in.help)))
	}
	file := filepath.Join(p.scratch, "script"+in.suffix)
	if err := os.WriteFile(file, []byte(text(c.Arguments, "source")), 0o600); err != nil {
		return cty.NilVal, err
	}
	p.argv = append(append([]string{in.program}, in.arguments...), file)
	p.argv = append(p.argv, texts(c.Arguments, "arguments")...)
	p.withEnvironment("PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1")
	out, err := p.do(ctx, &c)
	return out, in.explain(err, file)
}

// explain says in which line of the script an error arose, where the interpreter
// does, and not where the script lay.
func (in interpreter) explain(err error, file string) error {
	var e *Error
	if !errors.As(err, &e) || e.Name != commandFailed {
		return err
	}
	cause := strings.ReplaceAll(e.Cause, file, filepath.Base(file))
	if found := in.line.FindAllStringSubmatch(cause, -1); found != nil {
		cause = fmt.Sprintf("line %s: %s", found[len(found)-1][1], cause)
	}
	return &Error{e.Name, cause}
}
