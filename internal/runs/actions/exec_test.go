package actions

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// TestMain lets the test binary play another tutti, in a role.
func TestMain(m *testing.M) {
	role, ok := roles[os.Getenv("TUTTI_TEST_ROLE")]
	if !ok {
		os.Exit(m.Run())
	}
	if err := role(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// play starts the test binary in a role.
func play(t *testing.T, role string, environment ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "TUTTI_TEST_ROLE="+role), environment...)
	cmd.Stderr = os.Stderr
	return cmd
}

var roles = map[string]func() error{
	// killed runs a command that never ends.
	"killed": func() error {
		s := &stage{t: &testing.T{}, dir: os.Getenv("TUTTI_TEST_DIR"), logs: newLogs()}
		_, err := Exec(context.Background(), s.call("exec", shell(`exec 3>alive; echo ready >&3; exec tail -f /dev/null`)))
		return err
	},
	// proxied sends a request and prints the answer.
	"proxied": func() error {
		s := &stage{t: &testing.T{}, logs: newLogs()}
		out, err := HTTP(context.Background(), s.call("http", map[string]cty.Value{"url": cty.StringVal("http://tutti.invalid/path")}))
		if err == nil {
			_, err = fmt.Print(attribute(out, "body"))
		}
		return err
	},
}

// lifeline is a pipe that processes of a test write to and hold open: it tells
// that they are ready, and that all of them have died.
type lifeline struct {
	t    *testing.T
	path string
	file *os.File
	read *bufio.Reader
}

func (s *stage) lifeline() *lifeline {
	s.t.Helper()
	l := &lifeline{t: s.t, path: filepath.Join(s.dir, "alive")}
	if err := syscall.Mkfifo(l.path, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return l
}

// line waits for something to be written.
func (l *lifeline) line() string {
	l.t.Helper()
	if l.file == nil {
		f, err := os.Open(l.path)
		if err != nil {
			l.t.Fatal(err)
		}
		l.t.Cleanup(func() { _ = f.Close() })
		l.file, l.read = f, bufio.NewReader(f)
	}
	text, err := l.read.ReadString('\n')
	if err != nil {
		l.t.Fatal(err)
	}
	return strings.TrimSpace(text)
}

// end waits until everybody who held it has died.
func (l *lifeline) end() {
	l.t.Helper()
	if rest, err := io.ReadAll(l.read); err != nil {
		l.t.Fatalf("%q, %v", rest, err)
	}
}

func TestExec(t *testing.T) {
	s := newStage(t)
	s.write("sub/hello", "from a file", 0o644)
	s.write("sub/tool", "#!/bin/sh\necho tool $1\n", 0o755)
	t.Setenv("FROM_OUTSIDE", "outside")
	for _, c := range []struct {
		name      string
		arguments map[string]cty.Value
		stdout    string
	}{
		{"no shell", map[string]cty.Value{"command": command("printf", "%s|", "a b", "$HOME", "*")}, "a b|$HOME|*|"},
		{"environment", with(shell(`echo $GIVEN $FROM_OUTSIDE`), "environment", object("GIVEN", "given")), "given outside\n"},
		{"environment over the process's", with(shell(`echo $FROM_OUTSIDE`), "environment", object("FROM_OUTSIDE", "inside")), "inside\n"},
		{"key", with(shell(`echo $TUTTI_IDEMPOTENCY_KEY`), "environment", object("TUTTI_IDEMPOTENCY_KEY", "mine")), "key-1\n"},
		{"stdin", with(map[string]cty.Value{"command": command("cat")}, "stdin", cty.StringVal("some words")), "some words"},
		{"no stdin", map[string]cty.Value{"command": command("cat")}, ""},
		{"stdin that nobody reads", with(map[string]cty.Value{"command": command("true")}, "stdin", cty.StringVal(strings.Repeat("x", 1<<20))), ""},
		{"dir", with(map[string]cty.Value{"command": command("cat", "hello")}, "dir", cty.StringVal("sub")), "from a file"},
		{"PWD", with(map[string]cty.Value{"command": command("printenv", "PWD")}, "dir", cty.StringVal("sub")), s.dir + "/sub\n"},
		{"program from dir", with(map[string]cty.Value{"command": command("./tool", "x")}, "dir", cty.StringVal("sub")), "tool x\n"},
		{"program from PATH", with(map[string]cty.Value{"command": command("tool", "y")}, "environment", object("PATH", s.dir+"/sub:/bin:/usr/bin")), "tool y\n"},
		{"bytes that are no text", map[string]cty.Value{"command": command("printf", `a\377b`)}, "a\uFFFDb"},
	} {
		s.logs = newLogs()
		out := s.must("exec", c.arguments)
		same(t, c.name, attribute(out, "stdout"), c.stdout)
		same(t, c.name+": exit code", attribute(out, "exit_code"), "0")
		same(t, c.name+": result", attribute(out, "result"), "null")
		same(t, c.name+": log", strings.ToValidUTF8(s.log("stdout"), "\uFFFD"), c.stdout)
	}
	out := s.must("exec", shell("echo out; echo err >&2"))
	same(t, "stderr", attribute(out, "stderr"), "err\n")
	has(t, "log", s.log("stderr"), "err\n")
	if s.beats == 0 {
		t.Error("no beats")
	}
}

func TestExecResult(t *testing.T) {
	s := newStage(t)
	for text, want := range map[string]cty.Value{
		"":         cty.NullVal(cty.DynamicPseudoType),
		"  \n":     cty.NullVal(cty.DynamicPseudoType),
		"null":     cty.NullVal(cty.DynamicPseudoType),
		"12\n":     cty.NumberIntVal(12),
		`"x"`:      cty.StringVal("x"),
		`[1,true]`: cty.TupleVal([]cty.Value{cty.NumberIntVal(1), cty.True}),
		`{"a": {"b": 12345678901234567890.5}}`: cty.ObjectVal(map[string]cty.Value{
			"a": cty.ObjectVal(map[string]cty.Value{"b": cty.MustParseNumberVal("12345678901234567890.5")}),
		}),
	} {
		out := s.must("exec", with(shell(`cat >"$TUTTI_RESULT"`), "stdin", cty.StringVal(text)))
		if got := out.GetAttr("result"); !got.RawEquals(want) {
			t.Errorf("%q: %#v, want %#v", text, got, want)
		}
	}
	for source, why := range map[string]string{
		`echo '{"a": ' >"$TUTTI_RESULT"`:                         "not a JSON value",
		`echo 1 2 >"$TUTTI_RESULT"`:                              "not a JSON value",
		`head -c 20000 /dev/zero | tr '\0' '[' >"$TUTTI_RESULT"`: "not a JSON value",
		`head -c 11000000 /dev/zero >"$TUTTI_RESULT"`:            "more than 10 MiB",
		`mkfifo "$TUTTI_RESULT"`:                                 "not a file",
	} {
		has(t, source, s.fails("Tutti.InvalidResult", "exec", shell(source)), why)
	}
	same(t, "garbage of a command that failed", s.fails("Tutti.CommandFailed", "exec", shell(`echo '{' >"$TUTTI_RESULT"; exit 3`)), "sh: exit status 3")
}

func TestExecFails(t *testing.T) {
	s := newStage(t)
	s.write("plain", "no program", 0o644)
	s.write("orphan", "#!/no/such/interpreter\n", 0o755)
	s.write("garbage", "\x00\x01\x02", 0o755)
	cause := s.fails("Tutti.CommandFailed", "exec", shell("seq 1000 >&2; echo bad things >&2; exit 7"))
	has(t, "cause", cause, "sh: exit status 7\n", "\n1000\nbad things")
	if lines := strings.Count(cause, "\n"); lines != keptLines {
		t.Errorf("%d lines", lines)
	}
	has(t, "signal", s.fails("Tutti.CommandFailed", "exec", shell("kill -9 $$")), "signal: killed")
	for program, why := range map[string]string{
		"no-such-program": `"no-such-program" is not in the path`,
		"./nothing":       "does not exist",
		"/nothing":        "does not exist",
		"./plain/x":       "does not exist",
		"./plain":         "is not executable",
		"./garbage":       "neither a program for this machine",
		"./orphan":        "needs an interpreter that does not exist",
	} {
		has(t, program, s.fails("Tutti.CommandNotFound", "exec", map[string]cty.Value{"command": command(program)}), why)
	}
	has(t, "not executable in the path", s.fails("Tutti.CommandNotFound", "exec", map[string]cty.Value{"command": command("plain"), "environment": object("PATH", s.dir)}), "is not executable")
	has(t, "dir", s.fails("Tutti.InvalidArgument", "exec", map[string]cty.Value{"command": command("true"), "dir": cty.StringVal("nowhere")}), "nowhere")
	s.fails("Tutti.InvalidArgument", "exec", map[string]cty.Value{"command": cty.ListValEmpty(cty.String)})
	s.fails("Tutti.InvalidArgument", "exec", map[string]cty.Value{"command": command("")})
	s.fails("Tutti.InvalidArgument", "exec", map[string]cty.Value{"command": command("true"), "environment": object("A=B", "c")})
}

func TestExecKeepsTheEndOfLongOutput(t *testing.T) {
	s := newStage(t)
	out := s.must("exec", shell(`yes äöü | head -c 4999995; printf end`))
	stdout := attribute(out, "stdout")
	if len(stdout) < keptOutput-8 || len(stdout) > keptOutput || !strings.HasSuffix(stdout, "end") || strings.Contains(stdout, "\uFFFD") {
		t.Errorf("%d bytes, from %q to %q", len(stdout), stdout[:8], stdout[len(stdout)-8:])
	}
	same(t, "log", len(s.log("stdout")), 4999998)
}

func TestExecHidesSecrets(t *testing.T) {
	s := newStage(t)
	s.secrets = []string{"hunter22", "first line\nsecond line"}
	out := s.must("exec", with(shell(`echo "password $P"; printf 'x hun' >&2; printf 'ter22\n' >&2; printf 'second line'`), "environment", object("P", "hunter22")))
	same(t, "stdout", s.log("stdout"), "password ***\n***")
	same(t, "stderr", s.log("stderr"), "x ***\n")
	has(t, "outputs, which are not masked", attribute(out, "stdout"), "hunter22")
	same(t, "error", s.fails("Tutti.CommandFailed", "exec", shell(`echo "hunter22: wrong password" >&2; exit 1`)), "sh: exit status 1\n***: wrong password")
	same(t, "program", s.fails("Tutti.CommandNotFound", "exec", map[string]cty.Value{"command": command("hunter22")}), `The program "***" is not in the path.`)
}

func TestArtifacts(t *testing.T) {
	s := newStage(t)
	s.write("out/a.txt", "A", 0o644)
	s.write("out/deep/b.txt", "B", 0o644)
	s.write("../outside.txt", "outside", 0o644)
	for link, to := range map[string]string{"away": "../outside.txt", "loop": ".", "in": "out/a.txt"} {
		if err := os.Symlink(to, filepath.Join(s.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	keep := func(source string, patterns ...string) map[string]cty.Value {
		s.artifacts = map[string]string{}
		return with(shell(source), "artifacts", list(patterns...))
	}
	s.must("exec", keep("echo C >c.txt", "out/**/*.txt", "./*.txt", "out/a.txt"))
	same(t, "kept", s.artifacts, map[string]string{"c.txt": "C\n", "out/a.txt": "A", "out/deep/b.txt": "B"})
	s.must("exec", keep("true", "in", "out/**"))
	same(t, "kept", s.artifacts, map[string]string{"in": "A", "out/a.txt": "A", "out/deep/b.txt": "B"})

	s.fails("Tutti.CommandFailed", "exec", keep("echo D >d.txt; exit 1", "d.txt", "nothing"))
	same(t, "kept after failure", s.artifacts, map[string]string{"d.txt": "D\n"})
	same(t, "log", s.log("stderr"), "")

	has(t, "missing", s.fails("Tutti.ArtifactMissing", "exec", keep("true", "nothing*", "d.txt")), `"nothing*"`)
	same(t, "the others", s.artifacts, map[string]string{"d.txt": "D\n"})
	has(t, "folder", s.fails("Tutti.ArtifactMissing", "exec", keep("true", "out")), `only directories`, `"out/**"`)

	for _, pattern := range []string{"../outside.txt", "/etc/passwd", "out/../../outside.txt", ".."} {
		has(t, pattern, s.fails("Tutti.ArtifactRefused", "exec", keep("touch ran", pattern)), "outside the directory")
	}
	s.fails("Tutti.InvalidArgument", "exec", keep("touch ran", "[a"))
	if _, err := os.Stat(filepath.Join(s.dir, "ran")); err == nil {
		t.Error("a command was run whose artifacts cannot be")
	}
	for _, pattern := range []string{"away", "awa*"} {
		has(t, pattern, s.fails("Tutti.ArtifactRefused", "exec", keep("true", pattern)), "escapes")
	}
	has(t, "pipe", s.fails("Tutti.ArtifactRefused", "exec", keep("mkfifo pipe", "pipe")), "not a regular file")
	has(t, "size", s.fails("Tutti.ArtifactRefused", "exec", keep("truncate -s 104857601 large", "large")), "more than 100 MiB")
	s.fails("Tutti.CommandFailed", "exec", keep("exit 1", "large"))
	has(t, "log", s.log("stderr"), "more than 100 MiB")
}

// background carries out an action and returns what comes out, once.
func (s *stage) background(ctx context.Context, arguments map[string]cty.Value, change func(*process)) func() error {
	s.t.Helper()
	c := s.call("exec", arguments)
	p, err := newProcess(&c)
	if err != nil {
		s.t.Fatal(err)
	}
	p.argv = texts(c.Arguments, "command")
	change(p)
	done := make(chan error, 1)
	go func() {
		err := p.run(ctx, &c)
		p.close()
		done <- err
	}()
	return func() error { return <-done }
}

// child is a shell of its own that says when it is there: a signal to a group
// misses those who are just being born.
const child = `sh -c 'echo ready >&3; exec tail -f /dev/null'`

func unhurried(p *process) { p.grace, p.drain = time.Hour, time.Hour }

func TestExecIsAskedToEnd(t *testing.T) {
	s := newStage(t)
	alive := s.lifeline()
	wait := s.background(t.Context(), shell(`trap 'echo cleaned up; exit 0' TERM; exec 3>alive; `+child+` & wait`), unhurried)
	alive.line()
	close(s.asked)
	if err := wait(); err != nil {
		t.Error(err)
	}
	alive.end()
	same(t, "log", s.log("stdout"), "cleaned up\n")

	s.asked = make(chan struct{})
	wait = s.background(t.Context(), shell(`exec 3>alive; echo ready >&3; exec tail -f /dev/null`), unhurried)
	alive.file = nil
	alive.line()
	close(s.asked)
	err := wait()
	has(t, "cause", s.isError("Tutti.CommandFailed", cty.NilVal, err), "signal: terminated", "cancelled")
}

// The rest of a group may end in peace, too, even when nothing of it holds the
// output.
func TestExecWaitsForTheRestOfItsGroup(t *testing.T) {
	s := newStage(t)
	alive := s.lifeline()
	wait := s.background(t.Context(), shell(`
		exec 3>alive
		sh -c 'trap "echo done >state; exit" TERM; sh -c "echo ready >&3; exec tail -f /dev/null" & wait' >/dev/null 2>&1 &
		wait`), unhurried)
	alive.line()
	close(s.asked)
	_ = wait()
	if data, err := os.ReadFile(filepath.Join(s.dir, "state")); string(data) != "done\n" {
		t.Errorf("%q, %v", data, err)
	}
	alive.end()
}

func TestExecIsKilled(t *testing.T) {
	s := newStage(t)
	alive := s.lifeline()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("time is up")
	wait := s.background(ctx, shell(`trap '' TERM; exec 3>alive; echo ready >&3; (tail -f /dev/null) & tail -f /dev/null; echo never`), func(p *process) { p.grace = time.Millisecond })
	alive.line()
	cancel(why)
	err := wait()
	if !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	alive.end()
	same(t, "log", s.log("stdout"), "")

	// A leader that obeys, with a child that does not.
	s.asked = make(chan struct{})
	alive.file = nil
	wait = s.background(t.Context(), shell(`exec 3>alive; (trap '' TERM; echo ready >&3; tail -f /dev/null) & wait`), func(p *process) { p.grace = time.Millisecond })
	alive.line()
	close(s.asked)
	err = wait()
	s.isError("Tutti.CommandFailed", cty.NilVal, err)
	alive.end()
}

func TestExecDoesNotStartTooLate(t *testing.T) {
	s := newStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Exec(ctx, s.call("exec", shell("touch ran")))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "ran")); err == nil {
		t.Error("it did run")
	}
}

// What a command leaves running neither keeps it from ending nor is killed.
func TestExecLeavesServicesAlone(t *testing.T) {
	s := newStage(t)
	alive := s.lifeline()
	wait := s.background(t.Context(), shell(`exec 3>alive; tail -f /dev/null & echo $! >&3`), func(p *process) { p.drain = time.Millisecond })
	pid, err := strconv.Atoi(alive.line())
	if err != nil {
		t.Fatal(err)
	}
	if err := wait(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("what was left running is gone: %v", err)
	}
	alive.end()
}

func TestExecDiesWithItsParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends the children of a process that was killed")
	}
	s := newStage(t)
	t.Setenv("TMPDIR", t.TempDir()) // where what was killed leaves its things
	alive := s.lifeline()
	cmd := play(t, "killed", "TUTTI_TEST_DIR="+s.dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	alive.line()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	alive.end()
}

// Many processes at once cost no thread each.
func TestExecManyAtOnce(t *testing.T) {
	s := newStage(t)
	const n = 200
	alive := s.lifeline()
	var group sync.WaitGroup
	failures := make(chan error, n)
	call := s.call("exec", shell(`trap 'exit 0' TERM; exec 3>alive; echo "{\"n\": $$}" >"$TUTTI_RESULT"; `+child+` & wait`))
	for range n {
		group.Go(func() {
			out, err := Exec(t.Context(), call)
			if err == nil && out.GetAttr("result").IsNull() {
				err = errors.New("no result")
			}
			failures <- err
		})
	}
	alive.line()
	for range n - 1 {
		alive.line()
	}
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			if number, ok := strings.CutPrefix(line, "Threads:"); ok {
				if threads, _ := strconv.Atoi(strings.TrimSpace(number)); threads > n/2 {
					t.Errorf("%d threads for %d processes", threads, n)
				}
			}
		}
	}
	close(s.asked)
	group.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	alive.end()
}
