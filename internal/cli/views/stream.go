package views

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/states"
)

// StreamFormat is the version of the event stream.
const StreamFormat = "1.2"

// Stream writes what happens as JSON objects, one per line: the machine-readable
// interface of Terraform's commands.
type Stream struct {
	out io.Writer
	now func() time.Time

	stack     string      // that it is about; empty for none
	mu        *sync.Mutex // shared by the streams of all stacks
	reminders *reminders
}

// NewStream returns a stream that writes to out. now is the clock.
func NewStream(out io.Writer, now func() time.Time) *Stream {
	s := &Stream{out: out, now: now, mu: &sync.Mutex{}}
	s.reminders = newReminders(now, s.remind)
	return s
}

// ForStack returns a stream that writes to the same place and says in every
// message which stack it is about.
func (s *Stream) ForStack(name string) *Stream {
	out := &Stream{out: s.out, now: s.now, stack: name, mu: s.mu}
	out.reminders = newReminders(s.now, out.remind)
	return out
}

// Close ends the messages about what is still running. A stream in which
// everything begun has also ended needs no Close.
func (s *Stream) Close() { s.reminders.close() }

// message is what every line has; the rest depends on the type.
type message struct {
	Level      string           `json:"@level"`
	Message    string           `json:"@message"`
	Module     string           `json:"@module"`
	Timestamp  string           `json:"@timestamp"`
	Change     *streamChange    `json:"change,omitempty"`
	Changes    *streamTotals    `json:"changes,omitempty"`
	Cost       *streamCost      `json:"cost,omitempty"`
	Decision   *policy.Decision `json:"decision,omitempty"`
	Diagnostic *DiagnosticJSON  `json:"diagnostic,omitempty"`
	Hook       *streamHook      `json:"hook,omitempty"`
	Outputs    any              `json:"outputs,omitempty"`
	Stack      string           `json:"stack,omitempty"`
	ToStack    string           `json:"to_stack,omitempty"`
	Terraform  string           `json:"terraform,omitempty"`
	Tutti      string           `json:"tutti,omitempty"`
	Type       string           `json:"type"`
	UI         string           `json:"ui,omitempty"`
	testMessage
}

type streamResource struct {
	Addr            string `json:"addr"`
	Module          string `json:"module"`
	Resource        string `json:"resource"`
	ImpliedProvider string `json:"implied_provider"`
	Type            string `json:"resource_type"`
	Name            string `json:"resource_name"`
	Key             any    `json:"resource_key"`
}

type streamChange struct {
	Resource         streamResource   `json:"resource"`
	PreviousResource *streamResource  `json:"previous_resource,omitempty"`
	Action           string           `json:"action"`
	Reason           string           `json:"reason,omitempty"`
	Importing        *streamImporting `json:"importing,omitempty"`
	GeneratedConfig  string           `json:"generated_config,omitempty"`
}

type streamImporting struct {
	ID string `json:"id,omitempty"`
}

type streamTotals struct {
	Add       int    `json:"add"`
	Change    int    `json:"change"`
	Import    int    `json:"import"`
	Remove    int    `json:"remove"`
	Forget    int    `json:"forget"` // also where it is 0, as the recorded cases have it
	Operation string `json:"operation"`
}

type streamHook struct {
	Resource       streamResource `json:"resource"`
	Action         string         `json:"action,omitempty"`
	IDKey          string         `json:"id_key,omitempty"`
	IDValue        string         `json:"id_value,omitempty"`
	ElapsedSeconds *float64       `json:"elapsed_seconds,omitempty"`
	Provisioner    string         `json:"provisioner,omitempty"`
	Output         string         `json:"output,omitempty"`
}

func (s *Stream) write(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Level == "" {
		m.Level = "info"
	}
	m.Module = "terraform.ui" // what consumers of this format look for
	m.Stack = s.stack
	m.Timestamp = s.now().UTC().Format("2006-01-02T15:04:05.000000Z07:00")
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(m); err != nil {
		return // everything in it is text and numbers
	}
	_, _ = s.out.Write(line.Bytes())
}

// Version says which program writes: the Terraform version it behaves as, and
// its own.
func (s *Stream) Version(terraform, own string) {
	s.write(message{Message: "Tutti " + own, Type: "version", Terraform: terraform, Tutti: own, UI: StreamFormat})
}

// Log writes a line of text.
func (s *Stream) Log(text string) { s.write(message{Message: text, Type: "log"}) }

// Tell implements Watcher with a message of type log.
func (s *Stream) Tell(text string) { s.Log(text) }

// Diagnostic writes a diagnostic.
func (s *Stream) Diagnostic(d diag.Diagnostic, sources map[string][]byte) {
	j := DiagnosticsJSON(diag.List{d}, sources)[0]
	m := message{Level: "error", Message: "Error: " + j.Summary, Type: "diagnostic", Diagnostic: &j}
	if d.Severity == diag.Warning {
		m.Level, m.Message = "warn", "Warning: "+j.Summary
	}
	s.write(m)
}

func streamResourceOf(addr addrs.ResourceInstance) streamResource {
	local := addr
	local.Module = ""
	r := streamResource{
		Addr: addr.String(), Module: string(addr.Module), Resource: local.String(), ImpliedProvider: addr.Resource.ImpliedProvider(),
		Type: addr.Resource.Type, Name: addr.Resource.Name,
	}
	switch addr.Key.Kind {
	case addrs.KeyInt:
		r.Key = addr.Key.Int
	case addrs.KeyString:
		r.Key = addr.Key.Name
	}
	return r
}

func actionWord(a plans.Action) string {
	switch a {
	case plans.Create:
		return "create"
	case plans.Read:
		return "read"
	case plans.Update:
		return "update"
	case plans.DeleteThenCreate, plans.CreateThenDelete, plans.ForgetThenCreate:
		return "replace"
	case plans.Delete:
		return "delete"
	case plans.Forget:
		return "remove"
	}
	return "noop"
}

// reasonWord is a reason in the words of the stream, which for replacements
// differ from those of plan JSON.
func reasonWord(r plans.Reason) string {
	switch r {
	case plans.ReasonReplaceBecauseTainted:
		return "tainted"
	case plans.ReasonReplaceByRequest:
		return "requested"
	case plans.ReasonReplaceByTriggers:
		return "replace_triggered_by"
	case plans.ReasonReplaceBecauseCannotUpdate:
		return "cannot_update"
	}
	return string(r)
}

func streamChangeOf(c *plans.Change) *streamChange {
	out := &streamChange{Resource: streamResourceOf(c.Object.Instance), Action: actionWord(c.Action), Reason: reasonWord(c.Reason), GeneratedConfig: c.GeneratedConfig}
	if c.Moved() {
		prev := streamResourceOf(c.PrevAddress)
		out.PreviousResource = &prev
		if c.Action == plans.NoOp {
			out.Action = "move"
		}
	}
	if c.Importing != nil {
		out.Importing = &streamImporting{ID: c.Importing.ID}
		if c.Action == plans.NoOp {
			out.Action = "import"
		}
	}
	return out
}

// Actions writes what a saved plan is going to do: neither drift nor totals,
// which were told when it was made.
func (s *Stream) Actions(p *plans.Plan) {
	s.changes(p, func(c *plans.Change) bool { return c.Action != plans.NoOp })
}

// changes writes the changes that wanted selects.
func (s *Stream) changes(p *plans.Plan, wanted func(*plans.Change) bool) {
	for _, c := range jsonplan.SortedChanges(p.Changes) {
		if !wanted(c) {
			continue
		}
		j := streamChangeOf(c)
		s.write(message{Message: c.Object.Instance.String() + ": Plan to " + j.Action, Type: "planned_change", Change: j})
	}
}

// Plan writes what a plan would do, with totals and outputs.
func (s *Stream) Plan(p *plans.Plan) {
	for _, c := range jsonplan.SortedChanges(p.Drift) {
		if c.Action == plans.NoOp && p.Mode != plans.RefreshOnly {
			continue // it only moved, which the planned changes tell
		}
		j := streamChangeOf(c)
		s.write(message{Message: c.Object.Instance.String() + ": Drift detected (" + j.Action + ")", Type: "resource_drift", Change: j})
	}
	s.changes(p, func(c *plans.Change) bool { return c.Action != plans.NoOp || c.Moved() || c.Importing != nil })
	n := p.Count()
	text := fmt.Sprintf("Plan: %d to add, %d to change, %d to destroy.", n.Add, n.Change, n.Destroy)
	if n.Import > 0 {
		text = fmt.Sprintf("Plan: %d to import, %d to add, %d to change, %d to destroy.", n.Import, n.Add, n.Change, n.Destroy)
	}
	s.write(message{Message: text, Type: "change_summary", Changes: &streamTotals{
		Add: n.Add, Change: n.Change, Import: n.Import, Remove: n.Destroy, Forget: n.Forget, Operation: "plan",
	}})
	if len(p.Outputs) == 0 {
		return
	}
	type outputChange struct {
		Sensitive bool   `json:"sensitive"`
		Action    string `json:"action"`
	}
	outputs := map[string]outputChange{}
	for _, o := range p.Outputs {
		outputs[o.Name] = outputChange{o.Sensitive || marks.Contains(o.After, marks.Sensitive), actionWord(o.Action)}
	}
	s.write(message{Message: fmt.Sprintf("Outputs: %d", len(outputs)), Type: "outputs", Outputs: outputs})
}

// Applied writes the totals of a run.
func (s *Stream) Applied(mode plans.Mode, n Totals) {
	operation, word := "apply", "Apply"
	if mode == plans.Destroy {
		operation, word = "destroy", "Destroy"
	}
	s.write(message{Message: fmt.Sprintf("%s complete! Resources: %s.", word, n.text(mode)), Type: "change_summary", Changes: &streamTotals{
		Add: n.Added, Change: n.Changed, Import: n.Imported, Remove: n.Destroyed, Forget: n.Forgotten, Operation: operation,
	}})
}

// Outputs writes output values; sensitive ones are left out.
func (s *Stream) Outputs(values map[string]*states.Output) {
	type output struct {
		Sensitive bool            `json:"sensitive"`
		Type      json.RawMessage `json:"type,omitempty"`
		Value     json.RawMessage `json:"value,omitempty"`
	}
	outputs := map[string]output{}
	for name, o := range values {
		j := output{Sensitive: o.Sensitive, Type: o.Type, Value: o.Value}
		if o.Sensitive {
			j.Value = nil
		}
		outputs[name] = j
	}
	s.write(message{Message: fmt.Sprintf("Outputs: %d", len(outputs)), Type: "outputs", Outputs: outputs})
}

// Progress writes something that happened while planning or applying.
func (s *Stream) Progress(p engine.Progress) {
	switch p.Kind {
	case engine.ApplyStart:
		s.reminders.start(p)
	case engine.ApplyComplete, engine.ApplyErrored:
		s.reminders.end(p)
	}
	if m, ok := hookMessage(p); ok {
		s.write(m)
	}
}

// remind says that something has been running for so long.
func (s *Stream) remind(p engine.Progress, elapsed time.Duration) {
	seconds := elapsed.Round(time.Second).Seconds()
	word := streamWords(p.Action).still
	s.write(message{
		Type:    "apply_progress",
		Message: p.Object.Instance.String() + ": " + word + "... [" + remindText(p, elapsed) + "]",
		Hook: &streamHook{
			Resource: streamResourceOf(p.Object.Instance), Action: actionWord(p.Action),
			IDKey: p.IDKey, IDValue: p.IDValue, ElapsedSeconds: &seconds,
		},
	})
}

// hookMessage makes the message about something that happened; false where the
// format has none.
func hookMessage(p engine.Progress) (message, bool) {
	hook := &streamHook{Resource: streamResourceOf(p.Object.Instance)}
	name := p.Object.Instance.String() + ": "
	id := func() string {
		hook.IDKey, hook.IDValue = p.IDKey, p.IDValue
		return idText(p)
	}
	elapsed := func() string {
		seconds := p.Elapsed.Round(time.Second).Seconds()
		hook.ElapsedSeconds = &seconds
		return " after " + duration(p.Elapsed)
	}
	text := ""
	switch p.Kind {
	case engine.ApplyStart, engine.ApplyComplete, engine.ApplyErrored:
		hook.Action = actionWord(p.Action)
		word := streamWords(p.Action)
		switch p.Kind {
		case engine.ApplyStart:
			text = word.doing + "..." + id()
		case engine.ApplyComplete:
			text = word.done + " complete" + elapsed() + id()
		default:
			text = word.done + " errored" + elapsed()
		}
	case engine.RefreshStart:
		text = "Refreshing state..." + id()
	case engine.RefreshComplete:
		text = "Refresh complete" + id()
	case engine.ProvisionStart:
		hook.Provisioner = p.Provisioner
		text = "Provisioning with '" + p.Provisioner + "'..."
	case engine.ProvisionProgress:
		hook.Provisioner, hook.Output = p.Provisioner, p.Text
		text = "(" + p.Provisioner + "): " + p.Text
	case engine.ProvisionComplete:
		hook.Provisioner = p.Provisioner
		text = "(" + p.Provisioner + ") Provisioning complete"
	case engine.ProvisionErrored:
		hook.Provisioner = p.Provisioner
		text = "(" + p.Provisioner + ") Provisioning errored"
	case engine.EphemeralOpStart:
		hook.Action = "open"
		text = "Opening..."
	case engine.EphemeralOpComplete:
		hook.Action = "open"
		text = "Opening complete" + elapsed()
	case engine.EphemeralOpErrored:
		hook.Action = "open"
		text = "Opening errored" + elapsed()
	default:
		return message{}, false
	}
	return message{Type: string(p.Kind), Hook: hook, Message: name + text}, true
}

// streamWords are the words of the stream, which calls a read a refresh.
func streamWords(a plans.Action) verbs {
	if a == plans.Read {
		return verbs{"Refreshing", "Still refreshing", "Refresh"}
	}
	return verbsFor(a)
}
