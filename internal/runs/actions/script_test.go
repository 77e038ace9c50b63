package actions

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

func script(interpreter, source string, arguments ...string) map[string]cty.Value {
	out := map[string]cty.Value{"source": cty.StringVal(source)}
	if interpreter != "" {
		out["interpreter"] = cty.StringVal(interpreter)
	}
	if arguments != nil {
		out["arguments"] = list(arguments...)
	}
	return out
}

func TestScript(t *testing.T) {
	s := newStage(t)
	for _, c := range []struct {
		name      string
		arguments map[string]cty.Value
		stdout    string
	}{
		{"bash", script("", "words=(a b)\necho ${words[1]} $# $1", "x y", "z"), "b 2 x y\n"},
		{"sh", script("sh", "echo $1", "x y"), "x y\n"},
		{"python", script("python", "import sys, os\nprint(sys.argv[1:], os.environ['A'])", "x y"), "['x y'] 1\n"},
		{"python3", script("python3", "print(input())"), "words\n"},
	} {
		with(with(c.arguments, "stdin", cty.StringVal("words\n")), "environment", object("A", "1"))
		same(t, c.name, attribute(s.must("script", c.arguments), "stdout"), c.stdout)
	}
	out := s.must("script", script("python", "import json, os\njson.dump({'a': [1]}, open(os.environ['TUTTI_RESULT'], 'w'))"))
	same(t, "result", out.GetAttr("result").GetAttr("a").Index(cty.NumberIntVal(0)).Equals(cty.NumberIntVal(1)).True(), true)
	with := with(script("", "echo x >x; [ -z \"$(find . -name 'script*')\" ]"), "artifacts", list("x"))
	s.must("script", with)
	same(t, "artifacts", s.artifacts, map[string]string{"x": "x\n"})
}

func TestScriptFails(t *testing.T) {
	s := newStage(t)
	s.secrets = []string{"hunter22"}
	for _, c := range []struct{ interpreter, source, cause string }{
		{"", "false\necho never", "exit status 1"},
		{"", "false | true\necho never", "exit status 1"},
		{"", "echo a\nno-such-command\n", "line 2: bash: exit status 127\nscript: line 2: no-such-command: command not found"},
		{"", "echo a\n\necho $MISSING", "line 3: bash: exit status 1\nscript: line 3: MISSING: unbound variable"},
		{"sh", "false\necho never", "exit status 1"},
		{"sh", "\necho $MISSING", "line 2: sh: exit status 2\nscript: 2: MISSING: parameter not set"},
		{"python", "x = 1\ndef f():\n  raise ValueError('hunter22')\nf()", `line 3: python3: exit status 1`},
		{"python", "x = 1\nx +", `line 2: python3: exit status 1`},
	} {
		cause := s.fails("Tutti.CommandFailed", "script", script(c.interpreter, c.source))
		has(t, c.source, cause, c.cause)
		if strings.Contains(cause, "/tutti-steps-") || strings.Contains(cause, "hunter22") {
			t.Errorf("%q: %s", c.source, cause)
		}
		if strings.Contains(s.log("stdout"), "never") {
			t.Errorf("%q went on", c.source)
		}
	}
	s.fails("Tutti.InvalidArgument", "script", script("perl", "1"))
	has(t, "no interpreter", s.fails("Tutti.CommandNotFound", "script", with(script("bash", "true"), "environment", object("PATH", s.dir))), "bash is not in the path", "interpreter sh")
}

func TestPowerShell(t *testing.T) {
	s := newStage(t)
	arguments := script("pwsh", "Write-Output \"hello $($args[0])\"", "world")
	if _, err := exec.LookPath("pwsh"); err != nil {
		has(t, "cause", s.fails("Tutti.CommandNotFound", "script", arguments), "https://aka.ms/powershell")
		return
	}
	same(t, "stdout", strings.TrimSpace(attribute(s.must("script", arguments), "stdout")), "hello world")
	s.fails("Tutti.CommandFailed", "script", script("pwsh", "exit 3"))
}
