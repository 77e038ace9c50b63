package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// gracePeriod is how long a command may take to end after it was asked to.
const gracePeriod = 10 * time.Second

// localExec runs a command on this machine, through the shell unless an
// interpreter is given. Standard output and error are shown line by line.
func localExec(ctx context.Context, r Request) error {
	command := text(r.Config, "command")
	if strings.TrimSpace(command) == "" {
		return errors.New("the command of a local-exec provisioner must not be empty")
	}
	args := texts(r.Config, "interpreter")
	if len(args) == 0 {
		args = []string{"/bin/sh", "-c"}
		if runtime.GOOS == "windows" {
			args = []string{"cmd", "/C"}
		}
	}
	args = append(args, command)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = workingDirectory(r.WorkDir, text(r.Config, "working_dir"))
	cmd.Env = os.Environ()
	if env := r.Config.GetAttr("environment"); !env.IsNull() {
		for it := env.ElementIterator(); it.Next(); {
			name, value := it.Element()
			if !value.IsNull() {
				cmd.Env = append(cmd.Env, name.AsString()+"="+value.AsString())
			}
		}
	}
	// A group of its own, so that what the command started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = gracePeriod
	lines := newLineWriter(r.Output)
	tail := &tailWriter{limit: 8 << 10}
	cmd.Stdout = io.MultiWriter(lines, tail)
	cmd.Stderr = cmd.Stdout
	if !flag(r.Config, "quiet", false) {
		r.Output(fmt.Sprintf("Executing: %q", args))
	}
	err := cmd.Run()
	lines.flush()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return fmt.Errorf("the command was stopped: %w", ctx.Err())
	}
	if r.Sensitive {
		return fmt.Errorf("error running a command (its text and output are sensitive): %w", err)
	}
	return fmt.Errorf("error running command %q: %w. Output: %s", command, err, tail.text())
}

// workingDirectory resolves a directory given in configuration.
func workingDirectory(base, dir string) string {
	if dir == "" || filepath.IsAbs(dir) {
		if dir == "" {
			return base
		}
		return dir
	}
	return filepath.Join(base, dir)
}

// lineWriter hands on what is written to it line by line.
type lineWriter struct {
	mu     sync.Mutex
	buffer bytes.Buffer
	output func(string)
}

// maxLine bounds how long a line may get before it is handed on anyway.
const maxLine = 64 << 10

func newLineWriter(output func(string)) *lineWriter { return &lineWriter{output: output} }

func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buffer.Write(p)
	for {
		data := w.buffer.Bytes()
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			if len(data) > maxLine {
				w.output(string(w.buffer.Next(len(data))))
			}
			return len(p), nil
		}
		line := strings.TrimRight(string(w.buffer.Next(end+1)), "\r\n")
		w.output(line)
	}
}

// flush hands on a last line without end.
func (w *lineWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buffer.Len() > 0 {
		w.output(w.buffer.String())
		w.buffer.Reset()
	}
}

// tailWriter keeps the last part of what is written to it.
type tailWriter struct {
	mu    sync.Mutex
	limit int
	data  []byte
}

func (w *tailWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.data = append(w.data, p...)
	if extra := len(w.data) - w.limit; extra > 0 {
		w.data = append(w.data[:0], w.data[extra:]...)
	}
	return len(p), nil
}

func (w *tailWriter) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.data)
}
