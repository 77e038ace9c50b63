package actions

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// maxEvent bounds one line of events: the plugin cuts what it tells.
const maxEvent = 1 << 20

// playbook follows a playbook by the events that the callback plugin writes to
// standard output, and turns them into lines to read.
type playbook struct {
	log     *MaskedWriter
	rest    []byte // of a line that has not ended
	long    bool   // it is too long to be an event
	failed  []event
	stats   map[string]counts
	changed bool
}

// event is what the plugin tells: a play, a task, an outcome on a host, the counts
// at the end.
type event struct {
	Kind     string            `json:"tutti"`
	Name     string            `json:"name"`
	Handler  bool              `json:"handler"`
	Status   string            `json:"status"`
	Host     string            `json:"host"`
	Delegate string            `json:"delegate"`
	Task     string            `json:"task"`
	Item     *string           `json:"item"`
	Msg      string            `json:"msg"`
	Diff     string            `json:"diff"`
	Ignored  bool              `json:"ignored"`
	Left     int               `json:"left"`
	Hosts    map[string]counts `json:"hosts"`
}

// counts are how the tasks of one host ended.
type counts struct {
	OK          int64 `json:"ok"`
	Changed     int64 `json:"changed"`
	Failures    int64 `json:"failures"`
	Unreachable int64 `json:"unreachable"`
	Skipped     int64 `json:"skipped"`
	Rescued     int64 `json:"rescued"`
	Ignored     int64 `json:"ignored"`
}

// Write takes standard output.
func (b *playbook) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			b.rest = append(b.rest, p...)
			if b.long || len(b.rest) > maxEvent {
				b.say("%s", b.rest)
				b.rest, b.long = b.rest[:0], true
			}
			break
		}
		b.line(append(b.rest, p[:end]...))
		b.rest, p = b.rest[:0], p[end+1:]
	}
	return n, nil
}

// Flush takes what is left where the last line does not end.
func (b *playbook) Flush() error {
	if len(b.rest) > 0 {
		b.line(b.rest)
		b.rest = nil
	}
	return b.log.Flush()
}

func (b *playbook) say(format string, args ...any) { _, _ = fmt.Fprintf(b.log, format, args...) }

func (b *playbook) line(line []byte) {
	var e event
	// Others write to standard output as well: plugins, for example.
	if b.long || !bytes.HasPrefix(line, []byte(`{"tutti": "`)) || json.Unmarshal(line, &e) != nil {
		b.long = false
		b.say("%s\n", line)
		return
	}
	switch e.Kind {
	case "play":
		b.say("PLAY [%s]\n", e.Name)
	case "task":
		kind := "TASK"
		if e.Handler {
			kind = "HANDLER"
		}
		b.say("%s [%s]\n", kind, e.Name)
	case "note":
		b.say("%s\n", e.Msg)
	case "outcome":
		b.outcome(e)
	case "stats":
		b.stats = e.Hosts
		for _, host := range slices.Sorted(maps.Keys(b.stats)) {
			c := b.stats[host]
			b.changed = b.changed || c.Changed > 0
			b.say("%s: ok=%d changed=%d unreachable=%d failed=%d skipped=%d rescued=%d ignored=%d\n",
				host, c.OK, c.Changed, c.Unreachable, c.Failures, c.Skipped, c.Rescued, c.Ignored)
		}
	}
}

func (b *playbook) outcome(e event) {
	where := e.Host
	if e.Delegate != "" {
		where += " -> " + e.Delegate
	}
	line := fmt.Sprintf("%s: [%s]", e.Status, where)
	if e.Item != nil {
		line += fmt.Sprintf(" (item=%s)", *e.Item)
	}
	if e.Status == "retrying" {
		line += fmt.Sprintf(" (%d left)", e.Left)
	}
	if e.Msg != "" {
		// Several lines are shown below each other, not within one.
		line += ": " + strings.ReplaceAll(strings.TrimRight(e.Msg, "\n"), "\n", "\n    ")
	}
	if e.Ignored {
		line += " (ignored)"
	}
	b.say("%s\n", line)
	if e.Diff != "" {
		b.say("%s\n", strings.TrimRight(e.Diff, "\n"))
	}
	if e.Item == nil && !e.Ignored && (e.Status == "failed" || e.Status == "unreachable") {
		b.failed = append(b.failed, e)
	}
}

// failures are the outcomes that made the playbook fail. A host goes on after a
// failure only where it was rescued, so those that count come last: as many as the
// host's counts say. Where the playbook did not come to counting, all of them.
func (b *playbook) failures() []event {
	if b.stats == nil {
		return b.failed
	}
	left := map[string]int64{}
	for host, c := range b.stats {
		left[host] = c.Failures + c.Unreachable
	}
	var out []event
	for _, e := range slices.Backward(b.failed) {
		if left[e.Host] > 0 {
			left[e.Host]--
			out = append(out, e)
		}
	}
	slices.Reverse(out)
	return out
}

func (b *playbook) outputs() cty.Value {
	one := map[string]cty.Type{"ok": cty.Number, "changed": cty.Number, "failures": cty.Number, "unreachable": cty.Number, "skipped": cty.Number}
	hosts := map[string]cty.Value{}
	for host, c := range b.stats {
		hosts[host] = cty.ObjectVal(map[string]cty.Value{
			"ok": cty.NumberIntVal(c.OK), "changed": cty.NumberIntVal(c.Changed), "failures": cty.NumberIntVal(c.Failures),
			"unreachable": cty.NumberIntVal(c.Unreachable), "skipped": cty.NumberIntVal(c.Skipped),
		})
	}
	all := cty.MapValEmpty(cty.Object(one))
	if len(hosts) > 0 {
		all = cty.MapVal(hosts)
	}
	return cty.ObjectVal(map[string]cty.Value{"hosts": all, "changed": cty.BoolVal(b.changed)})
}
