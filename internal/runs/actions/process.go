package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/tutti-dev/tutti/internal/secrets"
	"github.com/zclconf/go-cty/cty"
)

const (
	commandFailed   = "Tutti.CommandFailed"
	commandNotFound = "Tutti.CommandNotFound"

	keptOutput = 1 << 20  // of each stream, for the outputs
	keptErrors = 4 << 10  // of standard error, for the error
	keptLines  = 20       // the same in lines
	maxResult  = 10 << 20 // of the JSON value that a process leaves

	// grace is how long a process may take to end once it must.
	grace = 5 * time.Second
	// drain is how long the output of a process that has ended is waited for:
	// what it left running may hold on to it.
	drain = 5 * time.Second
)

// process is something to be run, with what all actions that run something have
// in common.
type process struct {
	argv        []string
	dir         string // absolute
	environment []string
	stdin       string
	artifacts   []string
	scratch     string // a private folder, removed with close

	grace, drain time.Duration

	mask   *Mask
	own    *Mask         // hides what is in the environment for this program alone
	stdout flusher       // takes standard output; nil for its log
	stderr *MaskedWriter // the log of standard error

	keptStdout, keptStderr, shownStderr tail
}

// flusher is a writer that is told when nothing follows.
type flusher interface {
	io.Writer
	Flush() error
}

// newProcess reads the arguments that all of them take.
func newProcess(c *Call) (*process, error) {
	a := c.Arguments
	dir := text(a, "dir")
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(c.Dir, dir)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, invalid("There is no directory %s to work in.", dir)
	}
	p := &process{
		dir: dir, stdin: text(a, "stdin"), artifacts: texts(a, "artifacts"), grace: grace, drain: drain, mask: NewMask(append(slices.Clone(c.Secrets), ownSecrets()...)), own: NewMask(ownSecrets()),
		keptStdout: tail{limit: keptOutput}, keptStderr: tail{limit: keptOutput}, shownStderr: tail{limit: keptErrors},
	}
	if err := checkPatterns(p.artifacts); err != nil {
		return nil, err
	}
	if p.scratch, err = scratch.take(); err != nil {
		return nil, err
	}
	p.environment = append(os.Environ(), "PWD="+dir)
	given := mapping(a, "environment")
	for name, value := range given {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			p.close()
			return nil, invalid("The environment variable %q has a name or a value that none can have.", name)
		}
		p.environment = append(p.environment, name+"="+value)
	}
	p.environment = append(p.environment, "TUTTI_IDEMPOTENCY_KEY="+c.Key, "TUTTI_RESULT="+p.resultFile())
	p.stderr = c.log("stderr", p.mask)
	return p, nil
}

// ownSecrets are what stands in the environment of this program for its own use: the
// keys of the store, and what it shows to Vault. Processes inherit the environment, and
// many a script prints all of it.
func ownSecrets() []string {
	var out []string
	for _, name := range []string{secrets.EnvKey, "VAULT_TOKEN", "BAO_TOKEN"} {
		out = append(out, strings.Fields(os.Getenv(name))...)
	}
	return out
}

func (p *process) close() { scratch.giveBack(p.scratch) }

func (p *process) resultFile() string { return filepath.Join(p.scratch, "result") }

// do runs the process, keeps its artifacts and returns the outputs.
func (p *process) do(ctx context.Context, c *Call) (cty.Value, error) {
	if err := p.runAndKeep(ctx, c); err != nil {
		return cty.NilVal, err
	}
	result, err := p.result()
	if err != nil {
		return cty.NilVal, err
	}
	return cty.ObjectVal(map[string]cty.Value{
		"exit_code": cty.NumberIntVal(0),
		"stdout":    value(p.own.Text(p.keptStdout.text())),
		"stderr":    value(p.own.Text(p.keptStderr.text())),
		"result":    result,
	}), nil
}

// runAndKeep runs the process and keeps its artifacts, whether it succeeds or not.
func (p *process) runAndKeep(ctx context.Context, c *Call) error {
	err := p.run(ctx, c)
	missing := p.keepArtifacts(c)
	if err == nil {
		return missing
	}
	// The step has failed already: what is wrong with the artifacts is told beside
	// it. That some are missing is no wonder then.
	if missing != nil && !isNamed(missing, artifactMissing) {
		_, _ = fmt.Fprintf(p.stderr, "%s\n", missing)
		_ = p.stderr.Flush()
	}
	return err
}

func isNamed(err error, name string) bool {
	var e *Error
	return errors.As(err, &e) && e.Name == name
}

// run runs the process to its end. The error of an exit code that is not 0 is
// [commandFailed]; that of a context that ended wraps its cause.
func (p *process) run(ctx context.Context, c *Call) error {
	name := p.argv[0]
	if ctx.Err() != nil {
		return fmt.Errorf("%s was not started: %w", p.mask.Text(name), context.Cause(ctx))
	}
	path, err := p.find(name)
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{Path: path, Args: p.argv, Dir: p.dir, Env: p.environment}
	streams, err := p.connect(cmd, c)
	if err != nil {
		return err
	}
	err = start(cmd)
	copied := streams.started(err == nil)
	if err != nil {
		<-copied
		return p.notStarted(name, err)
	}
	stopped := p.watch(ctx, c, cmd, copied)
	streams.close()
	<-copied
	state := cmd.ProcessState
	switch {
	case state == nil:
		return fmt.Errorf("cannot tell how %s ended", p.mask.Text(name))
	case ctx.Err() != nil && stopped:
		return fmt.Errorf("%s was stopped: %w", p.mask.Text(name), context.Cause(ctx))
	case state.Success():
		return nil
	}
	how := state.String()
	if stopped {
		how += ", as the run is being cancelled"
	}
	return p.failed(name, how)
}

// failed is the error of a process, with its last words.
func (p *process) failed(name, how string) error {
	cause := p.mask.Text(name) + ": " + how
	if words := lastLines(p.shownStderr.text()); words != "" {
		cause += "\n" + words
	}
	return Errorf(commandFailed, "%s", cause)
}

// watch waits until the process and its output have ended. It asks the whole
// group to end when the run is being cancelled, and sees to it when the context
// ends. It returns whether the process had not ended by itself before. What
// outlives a process that did is left alone.
func (p *process) watch(ctx context.Context, c *Call, cmd *exec.Cmd, copied <-chan struct{}) (stopped bool) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		awaitEnd(cmd)
	}()
	group := cmd.Process.Pid
	asked, done, output := c.Asked, ctx.Done(), copied
	var limit, patience <-chan time.Time
	clear, killed := false, false
	terminate := func() {
		clear, stopped = true, stopped || ended != nil
		_ = syscall.Kill(-group, syscall.SIGTERM)
	}
	for ended != nil || output != nil && !clear {
		select {
		case <-ended:
			ended = nil
			patience = time.After(p.drain)
		case <-output:
			output = nil
		case <-patience:
			output = nil
		case <-asked:
			asked = nil
			terminate()
		case <-done:
			done = nil
			limit = time.After(p.grace)
			terminate()
		case <-limit:
			killed = true
			_ = syscall.Kill(-group, syscall.SIGKILL)
		}
	}
	// From here on its number may be used again, once nobody is in its group.
	_ = cmd.Wait()
	if !clear {
		return stopped
	}
	if !killed {
		if limit == nil {
			limit = time.After(p.grace)
		}
		clearGroup(group, limit)
	}
	select {
	case <-copied:
	case <-time.After(p.drain):
	}
	return stopped
}

// clearGroup lets what is left of a group end in peace until the limit. It looks
// often: a group that has been seen a moment ago is the same, as numbers are given
// anew only after all others.
func clearGroup(group int, limit <-chan time.Time) {
	for wait := 5 * time.Millisecond; groupLives(group); wait = min(2*wait, 160*time.Millisecond) {
		select {
		case <-limit:
			_ = syscall.Kill(-group, syscall.SIGKILL)
			return
		case <-time.After(wait):
		}
	}
}

// find looks for a program as the process itself would: along its own PATH, and
// from its own directory.
func (p *process) find(name string) (string, error) {
	switch {
	case name == "":
		return "", invalid("The command has no program.")
	case filepath.IsAbs(name):
		return name, nil
	case strings.Contains(name, "/"):
		return filepath.Join(p.dir, name), nil
	}
	why := "is not in the path"
	for _, dir := range filepath.SplitList(p.variable("PATH")) {
		if !filepath.IsAbs(dir) {
			continue // what lies in the directory by chance is not meant
		}
		file := filepath.Join(dir, name)
		info, err := os.Stat(file)
		switch {
		case err != nil || info.IsDir():
		case info.Mode()&0o111 == 0:
			why = "is not executable: " + file
		default:
			return file, nil
		}
	}
	return "", Errorf(commandNotFound, "The program %q %s.", p.mask.Text(name), p.mask.Text(why))
}

// variable is what the process will find in its environment: the last one counts.
func (p *process) variable(name string) string {
	for _, e := range slices.Backward(p.environment) {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// notStarted explains why there is no process.
func (p *process) notStarted(name string, err error) error {
	why := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		why = "does not exist"
		if path, lookErr := p.find(name); lookErr == nil {
			if _, lookErr := os.Stat(path); lookErr == nil {
				why = "needs an interpreter that does not exist (see its first line)"
			}
		}
	case errors.Is(err, fs.ErrPermission):
		why = "is not executable"
	case errors.Is(err, syscall.ENOEXEC):
		why = "is neither a program for this machine nor a script whose first line names its interpreter"
	case errors.Is(err, syscall.ENOTDIR):
		why = "does not exist"
	default:
		return Errorf(commandFailed, "Cannot start %s: %s.", p.mask.Text(name), p.mask.Text(err.Error()))
	}
	return Errorf(commandNotFound, "The program %q %s.", p.mask.Text(name), why)
}

// result reads the JSON value that the process may have written.
func (p *process) result() (cty.Value, error) {
	none := cty.NullVal(cty.DynamicPseudoType)
	bad := func(format string, args ...any) (cty.Value, error) {
		return none, Errorf("Tutti.InvalidResult", "What the command wrote to the file named by TUTTI_RESULT "+format, args...)
	}
	info, err := os.Lstat(p.resultFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return none, nil
	case err != nil:
		return none, err
	case !info.Mode().IsRegular():
		return bad("is not a file.")
	case info.Size() > maxResult:
		return bad("has more than %d MiB.", maxResult>>20)
	}
	data, err := os.ReadFile(p.resultFile())
	if err != nil {
		return none, err
	}
	if strings.TrimSpace(string(data)) == "" {
		return none, nil
	}
	v, err := decode(data)
	if err != nil {
		return bad("is not a JSON value: %s.", p.mask.Text(err.Error()))
	}
	return v, nil
}

// streams are the pipes between us and a process. They are our own, rather than
// those of package exec, so that waiting for the process and waiting for its
// output are two things.
type streams struct {
	child, ours []*os.File
	copies      []func()
}

func (p *process) connect(cmd *exec.Cmd, c *Call) (_ *streams, err error) {
	s := &streams{}
	defer func() {
		if err != nil {
			closeAll(s.child)
			closeAll(s.ours)
		}
	}()
	pipe := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err != nil {
			err = fmt.Errorf("cannot make a pipe: %w", err)
		}
		return r, w, err
	}
	if p.stdin != "" {
		r, w, err := pipe()
		if err != nil {
			return nil, err
		}
		cmd.Stdin = r
		s.child, s.ours = append(s.child, r), append(s.ours, w)
		s.copies = append(s.copies, func() {
			_, _ = io.WriteString(w, p.stdin) // a process need not read all of it
			_ = w.Close()
		})
	}
	output := func(to io.Writer, flush func()) (*os.File, error) {
		r, w, err := pipe()
		if err != nil {
			return nil, err
		}
		s.child, s.ours = append(s.child, w), append(s.ours, r)
		s.copies = append(s.copies, func() {
			pump(r, to, c.beat)
			flush()
		})
		return w, nil
	}
	if p.stdout == nil {
		p.stdout = c.log("stdout", p.mask)
	}
	w, err := output(tee(p.stdout, &p.keptStdout), func() { _ = p.stdout.Flush() })
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	shown := p.mask.Writer(&p.shownStderr)
	if w, err = output(tee(p.stderr, &p.keptStderr, shown), func() { _, _ = p.stderr.Flush(), shown.Flush() }); err != nil {
		return nil, err
	}
	cmd.Stderr = w
	return s, nil
}

// started closes the ends that belong to the process and begins to copy, or
// closes everything where there is no process. The channel is closed when all has
// been copied.
func (s *streams) started(ok bool) <-chan struct{} {
	closeAll(s.child)
	if !ok {
		closeAll(s.ours)
	}
	done, each := make(chan struct{}), make(chan struct{})
	for _, run := range s.copies {
		go func() {
			run()
			each <- struct{}{}
		}()
	}
	go func() {
		for range s.copies {
			<-each
		}
		close(done)
	}()
	return done
}

// close ends copying, whoever still holds the other ends.
func (s *streams) close() { closeAll(s.ours) }

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// pump copies until nothing comes any more.
func pump(from io.Reader, to io.Writer, beat func()) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			beat()
			_, _ = to.Write(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

// tee writes to all, whatever one of them says: a process must not be kept from
// writing because its log cannot be.
func tee(all ...io.Writer) io.Writer { return writers(all) }

type writers []io.Writer

func (w writers) Write(p []byte) (int, error) {
	for _, to := range w {
		_, _ = to.Write(p)
	}
	return len(p), nil
}

// tail keeps the end of what is written to it. It is for one goroutine at a time.
type tail struct {
	limit int
	data  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	p = p[max(0, n-t.limit):]
	if len(t.data)+len(p) > 2*t.limit {
		t.data = append(t.data[:0], t.data[max(0, len(t.data)-t.limit):]...)
	}
	t.data = append(t.data, p...)
	return n, nil
}

// text is what was kept, from the beginning of a character on.
func (t *tail) text() string {
	data := t.data
	if over := len(data) - t.limit; over > 0 {
		data = data[over:]
		for i := 0; i < utf8.UTFMax && len(data) > 0 && !utf8.RuneStart(data[0]); i++ {
			data = data[1:]
		}
	}
	return string(data)
}

// lastLines is the end of a text, for an error.
func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.ToValidUTF8(strings.Join(lines[max(0, len(lines)-keptLines):], "\n"), string(utf8.RuneError))
}

// has tells early whether a program is there.
func (p *process) has(program string) bool {
	_, err := p.find(program)
	return err == nil
}

// withEnvironment sets variables, unless they are set already.
func (p *process) withEnvironment(variables ...string) {
	p.environment = slices.Concat(variables, p.environment)
}
