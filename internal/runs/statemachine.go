package runs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// The resources that tasks of state machines can call. Their arguments are
// those of [command] and [call].
const (
	ExecResource = "tutti:exec"
	HTTPResource = "tutti:http"
)

// StateMachine does the steps of a machine in Amazon States Language.
type StateMachine struct {
	Machine *asl.Machine
	Dir     string // working directory of commands; empty means the current one
}

var _ Steps = (*StateMachine)(nil)

// Due implements [Steps].
func (s *StateMachine) Due(step int) time.Time { return s.Machine.Effect(step).Until }

// Repeatable implements [Steps]: what says so itself, and requests that only
// read.
func (s *StateMachine) Repeatable(step int) bool {
	effect := s.Machine.Effect(step)
	var arguments struct {
		Idempotent bool   `json:"idempotent"`
		Method     string `json:"method"`
	}
	if json.Unmarshal(effect.Input, &arguments) != nil {
		return false
	}
	reads := arguments.Method == "" || arguments.Method == http.MethodGet || arguments.Method == http.MethodHead
	return arguments.Idempotent || effect.Resource == HTTPResource && reads
}

// About implements [Steps].
func (s *StateMachine) About(step int) StepData {
	effect := s.Machine.Effect(step)
	return StepData{Operation: effect.Resource, Address: effect.State}
}

// Lost implements [Steps].
func (s *StateMachine) Lost(step int) json.RawMessage {
	return encode(asl.Outcome{
		Error: "Tutti.OutcomeUnknown",
		Cause: fmt.Sprintf("The process that ran this task (%s) died, and what became of it is not known. Set \"idempotent\": true in its arguments if it may be done again.", s.Machine.Effect(step).Resource),
	})
}

// Verdict implements [Steps].
func (s *StateMachine) Verdict() (Status, string) {
	result := s.Machine.Result()
	switch result.Status {
	case "SUCCEEDED":
		return Succeeded, ""
	case "ABORTED":
		return Cancelled, ""
	case "TIMED_OUT":
		return Failed, "States.Timeout"
	}
	return Failed, strings.TrimSuffix(result.Error+": "+result.Cause, ": ")
}

// Job implements [Steps].
func (s *StateMachine) Job(step int) Job {
	effect := s.Machine.Effect(step)
	return func(ctx context.Context, key string) (workflow.Kind, json.RawMessage) { return s.do(ctx, effect, key) }
}

func (s *StateMachine) do(ctx context.Context, effect asl.Effect, key string) (workflow.Kind, json.RawMessage) {
	if effect.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, effect.Timeout)
		defer cancel()
	}
	var output any
	var err error
	switch effect.Resource {
	case ExecResource:
		output, err = s.exec(ctx, effect.Input, key)
	case HTTPResource:
		output, err = s.http(ctx, effect.Input, key)
	default:
		err = taskError{"States.TaskFailed", fmt.Sprintf("Nothing is bound to the resource %q.", effect.Resource)}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = taskError{"States.Timeout", fmt.Sprintf("The task did not end within %s.", effect.Timeout)}
	}
	if err == nil {
		return workflow.StepSucceeded, encode(asl.Outcome{Output: encode(output)})
	}
	var failed taskError
	if !errors.As(err, &failed) {
		failed = taskError{"States.TaskFailed", err.Error()}
	}
	return workflow.StepFailed, encode(asl.Outcome{Error: failed.name, Cause: failed.cause})
}

// taskError is an error a state machine can retry or catch by name.
type taskError struct{ name, cause string }

func (e taskError) Error() string { return e.name + ": " + e.cause }

// maxOutput is how much of a task's output a state machine gets.
const maxOutput = 200 << 10

// command are the arguments of [ExecResource].
type command struct {
	Command     []string          `json:"command"` // program and arguments; no shell
	Dir         string            `json:"dir"`     // relative to the state machine's
	Environment map[string]string `json:"environment"`
	Stdin       string            `json:"stdin"`
	Idempotent  bool              `json:"idempotent"` // see [StateMachine.Repeatable]
}

// exec runs a command. It finds the idempotency key in TUTTI_IDEMPOTENCY_KEY.
func (s *StateMachine) exec(ctx context.Context, input json.RawMessage, key string) (any, error) {
	var c command
	if err := strict(input, &c); err != nil {
		return nil, err
	}
	if len(c.Command) == 0 {
		return nil, taskError{"States.Runtime", `The arguments of tutti:exec need "command", a list of the program and its arguments.`}
	}
	cmd := exec.CommandContext(ctx, c.Command[0], c.Command[1:]...)
	cmd.Dir = s.Dir
	if filepath.IsAbs(c.Dir) {
		cmd.Dir = c.Dir
	} else if c.Dir != "" {
		cmd.Dir = filepath.Join(s.Dir, c.Dir)
	}
	cmd.Env = append(os.Environ(), "TUTTI_IDEMPOTENCY_KEY="+key)
	for name, value := range c.Environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdin = strings.NewReader(c.Stdin)
	var stdout, stderr tail
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return nil, taskError{"Tutti.CommandFailed", fmt.Sprintf("%s: %s\n%s", c.Command[0], exit, strings.TrimSpace(stderr.String()))}
	case err != nil:
		return nil, taskError{"Tutti.CommandFailed", err.Error()}
	}
	return struct {
		ExitCode int    `json:"exit_code"`
		Stdout   string `json:"stdout"`
		Stderr   string `json:"stderr"`
	}{0, stdout.String(), stderr.String()}, nil
}

// tail keeps the end of what is written to it.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	n, err := t.Buffer.Write(p)
	if over := t.Len() - maxOutput; over > 0 {
		t.Next(over)
	}
	return n, err
}

// call are the arguments of [HTTPResource].
type call struct {
	URL        string            `json:"url"`
	Method     string            `json:"method"` // GET unless given
	Headers    map[string]string `json:"headers"`
	Body       json.RawMessage   `json:"body"`       // a string is sent as it is, anything else as JSON
	Idempotent bool              `json:"idempotent"` // see [StateMachine.Repeatable]
}

// http sends a request, with the idempotency key in the header Idempotency-Key.
func (s *StateMachine) http(ctx context.Context, input json.RawMessage, key string) (any, error) {
	var c call
	if err := strict(input, &c); err != nil {
		return nil, err
	}
	var body io.Reader
	var words string
	contentType := ""
	switch {
	case len(c.Body) == 0:
	case json.Unmarshal(c.Body, &words) == nil:
		body, contentType = strings.NewReader(words), "text/plain; charset=utf-8"
	default:
		body, contentType = bytes.NewReader(c.Body), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, c.URL, body)
	if err != nil {
		return nil, taskError{"States.Runtime", "The arguments of tutti:http are no request: " + err.Error()}
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Idempotency-Key", key)
	for name, value := range c.Headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, taskError{"Tutti.RequestFailed", err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxOutput+1))
	switch {
	case err != nil:
		return nil, taskError{"Tutti.RequestFailed", err.Error()}
	case len(data) > maxOutput:
		return nil, taskError{"States.DataLimitExceeded", fmt.Sprintf("%s answered with more than %d KiB.", c.URL, maxOutput>>10)}
	}
	if resp.StatusCode >= 400 {
		return nil, taskError{fmt.Sprintf("Tutti.StatusCode.%d", resp.StatusCode), fmt.Sprintf("%s answered %s: %s", c.URL, resp.Status, data)}
	}
	var answer any = string(data)
	if v, err := asl.Decode(data); err == nil {
		answer = v
	}
	return asl.NewObject().Set("status", resp.StatusCode).Set("body", answer), nil
}

// strict decodes arguments and refuses those that mean nothing.
func strict(input json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(input))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return taskError{"States.Runtime", "The arguments of the task are wrong: " + strings.TrimPrefix(err.Error(), "json: ") + "."}
	}
	return nil
}
