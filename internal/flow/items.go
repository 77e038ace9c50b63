package flow

import (
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/zclconf/go-cty/cty"
)

// items are what a node does: one thing, or one for each element of for_each.
type items struct {
	list    []item
	keys    []string    // of a map; nil for others
	values  cty.Value   // of a map or list
	set     []cty.Value // of a set
	kind    collection
	next    int // the first that has not started
	running int
	failed  int
	allowed int // how many may fail
}

type collection byte

const (
	single collection = iota
	ofMap
	ofSet
	ofList
)

// item is how one of them stands.
type item struct {
	result *itemResult
	code   byte // of its status: an index of itemStatuses
	undone bool // or its undoing has begun
}

var itemStatuses = [...]Status{"", Running, Succeeded, Failed, Caught, Skipped}

func (it *item) status() Status { return itemStatuses[it.code] }

func (it *item) is(s Status) {
	for code, known := range itemStatuses {
		if known == s {
			it.code = byte(code)
		}
	}
}

// itemResult is what an item left behind; nil where that is nothing.
type itemResult struct {
	outputs cty.Value // cty.NilVal for null
	err     *Error
	run     string
}

// window is how many items of a for_each are handed out at once where it does
// not say so itself: the memory of a run must not grow with what only waits.
const window = 4096

// expand finds the items of a node.
func (m *Machine) expand(n int32) *Error {
	s, step := &m.nodes[n], m.d.nodes[n].step
	if step.ForEach == nil {
		s.items = items{list: make([]item, 1)}
		return nil
	}
	v, err := m.evaluate(step.Name+" for_each", step.ForEach, s.scope)
	if err != nil {
		return err
	}
	if v.HasMark(sensitive) {
		return &Error{EvaluationError, at(step.ForEach) + "for_each must not be sensitive: its keys are names of steps."}
	}
	ty := v.Type()
	switch {
	case v.IsNull() || !v.IsKnown():
		return &Error{EvaluationError, at(step.ForEach) + "for_each must not be null."}
	case ty.IsMapType() || ty.IsObjectType():
		s.items.kind = ofMap
	case ty.IsSetType():
		s.items.kind = ofSet
		if ty.ElementType() != cty.String && v.LengthInt() > 0 {
			return &Error{EvaluationError, at(step.ForEach) + "A set for for_each must be of strings."}
		}
	case ty.IsListType() || ty.IsTupleType():
		s.items.kind = ofList
	default:
		return &Error{EvaluationError, at(step.ForEach) + "for_each must be a map, an object, a set of strings or a list, not " + ty.FriendlyName() + "."}
	}
	s.items.values, s.items.list = v, make([]item, v.LengthInt())
	s.marked = s.marked || v.HasMarkDeep(sensitive)
	for it := v.ElementIterator(); s.items.kind != ofList && it.Next(); {
		key, value := it.Element()
		if s.items.kind == ofMap {
			s.items.keys = append(s.items.keys, key.AsString())
		} else {
			if value.IsNull() {
				s.items = items{}
				return &Error{EvaluationError, at(step.ForEach) + "A set for for_each must not have null in it."}
			}
			s.items.set = append(s.items.set, value)
		}
	}
	s.items.allowed = step.Tolerated
	if step.ToleratedPercent > 0 {
		s.items.allowed = int(math.Floor(float64(len(s.items.list)) * step.ToleratedPercent / 100))
	}
	return nil
}

// key names an item in its node.
func (it *items) key(i int32) cty.Value {
	switch it.kind {
	case ofMap:
		return cty.StringVal(it.keys[i])
	case ofSet:
		return it.set[i]
	}
	return cty.NumberIntVal(int64(i))
}

// value is each.value of an item.
func (it *items) value(i int32) cty.Value {
	switch {
	case it.kind == ofSet:
		return it.set[i]
	case it.kind == ofMap && it.values.Type().IsObjectType():
		return it.values.GetAttr(it.keys[i])
	}
	return it.values.Index(it.key(i))
}

// Key names an item of a node: NAME, or NAME["key"].
func (m *Machine) keyOf(t target) string {
	name := m.d.nodes[t.node].step.Name
	switch it := &m.nodes[t.node].items; it.kind {
	case ofMap:
		return name + "[" + strconv.Quote(it.keys[t.item]) + "]"
	case ofSet:
		return name + "[" + strconv.Quote(it.set[t.item].AsString()) + "]"
	case ofList:
		return name + "[" + strconv.Itoa(int(t.item)) + "]"
	}
	return name
}

// itemScope is a node's scope with each.key and each.value.
func (m *Machine) itemScope(t target) *hcl.EvalContext {
	s := &m.nodes[t.node]
	if s.items.kind == single {
		return s.scope
	}
	inner := s.scope.NewChild()
	inner.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{
		"key": s.items.key(t.item), "value": s.items.value(t.item),
	})}
	return inner
}

// startItems hands out items while there is room, and ends the node when all
// are done.
func (m *Machine) startItems(n int32) {
	s, step := &m.nodes[n], m.d.nodes[n].step
	limit := window
	if step.Concurrency > 0 {
		limit = step.Concurrency
	}
	for s.items.next < len(s.items.list) && s.items.running < limit && s.items.failed <= s.items.allowed && !m.stopped() {
		i := int32(s.items.next)
		s.items.next++
		s.items.running++
		s.items.list[i].is(Running)
		m.first(target{n, i})
		// Items that ended at once made room.
	}
	if s.items.running > 0 || s.status != Running {
		return
	}
	switch {
	case s.items.failed > s.items.allowed:
		m.endNode(n, Failed)
	case s.items.next < len(s.items.list):
		m.endNode(n, Cancelled)
	default:
		s.err = nil // what was tolerated is told of the items
		m.endNode(n, s.items.end())
	}
}

// end is the status of a node whose items have all ended well enough.
func (it *items) end() Status {
	if it.kind == single {
		return it.list[0].status()
	}
	return Succeeded
}

// first begins an item: unless its condition says no or an earlier run has done
// it, with its first attempt.
func (m *Machine) first(t target) {
	if m.d.nodes[t.node].whenEach {
		yes, err := m.condition(t.node, m.keyOf(t), m.itemScope(t))
		if err != nil {
			m.itemFails(t, 1, err)
			return
		}
		if !yes {
			m.itemIs(t, Skipped, nil)
			return
		}
	}
	if len(m.start.Reuse) > 0 {
		if out, ok := m.start.Reuse[m.keyOf(t)]; ok {
			m.itemSucceeds(t, out)
			return
		}
	}
	m.attempt(t, 1)
}

// attempt makes an attempt at an item.
func (m *Machine) attempt(t target, attempt int32) {
	switch step := m.d.nodes[t.node].step; step.Action.Kind {
	case "wait":
		m.wait(t, attempt)
	case "approval":
		m.askApproval(t, attempt)
	default:
		if err := m.approved(t); err != nil {
			m.itemFails(t, attempt, err)
			return
		}
		m.add(effect{kind: taskEffect, target: t, attempt: attempt})
	}
}

// itemEnds takes the end of an attempt.
func (m *Machine) itemEnds(p effect, out Outcome, failure *Error) {
	if failure == nil {
		m.itemSucceeds(p.target, out)
	} else {
		if out.Run != "" {
			m.nodes[p.node].items.list[p.item].result = &itemResult{run: out.Run}
		}
		m.itemFails(p.target, p.attempt, failure)
	}
	if m.nodes[p.node].status == Running {
		m.startItems(p.node)
	}
}

func (m *Machine) itemSucceeds(t target, out Outcome) {
	v, err := out.value()
	if err != nil {
		m.itemFails(t, math.MaxInt32, &Error{EvaluationError, err.Error()})
		return
	}
	var result *itemResult
	if v != cty.NilVal || out.Run != "" {
		result = &itemResult{outputs: v, run: out.Run}
	}
	m.itemIs(t, Succeeded, result)
	if m.d.nodes[t.node].step.Undo != nil {
		m.undo = append(m.undo, t)
	}
}

func (m *Machine) itemIs(t target, status Status, result *itemResult) {
	s := &m.nodes[t.node]
	it := &s.items.list[t.item]
	it.is(status)
	if result != nil || it.result == nil {
		it.result = result
	}
	s.items.running--
}

// itemFails takes a failed attempt: it is made again, caught, or the item's end.
func (m *Machine) itemFails(t target, attempt int32, failure *Error) {
	s, step := &m.nodes[t.node], m.d.nodes[t.node].step
	if r := step.Retry; r != nil && int(attempt) < r.Attempts && retryable(r, failure) && !m.stopped() {
		if delay := m.delay(t, r, int(attempt)); delay > 0 {
			m.add(effect{kind: backoffEffect, target: t, attempt: attempt, until: m.now.Add(delay).UnixNano()})
		} else {
			m.attempt(t, attempt+1)
		}
		return
	}
	result := &itemResult{err: failure}
	if old := s.items.list[t.item].result; old != nil {
		result.run = old.run
	}
	for _, c := range step.Catch {
		if !matches(c.Errors, failure.Name) {
			continue
		}
		outputs, err := m.caught(t, c, failure)
		if err != nil {
			result.err = err
			break
		}
		result.outputs = outputs
		m.itemIs(t, Caught, result)
		return
	}
	m.itemIs(t, Failed, result)
	if s.items.failed++; s.err == nil {
		s.err = result.err
		if s.items.kind != single {
			s.err = &Error{result.err.Name, m.keyOf(t) + ": " + result.err.Cause}
		}
	}
}

// retryable reports whether an error is worth another attempt. What must not be
// repeated blindly is repeated only where it is named.
func retryable(r *projects.Retry, failure *Error) bool {
	if len(r.On) > 0 {
		return matches(r.On, failure.Name)
	}
	switch failure.Name {
	case UnknownOutcome, EvaluationError, RejectedError, NotApprovedError, "Tutti.Cancelled", "Tutti.Forbidden", "Tutti.Denied":
		return false
	}
	return true
}

// matches reports whether a list names an error; an empty one, and "*", name
// all. A trailing * stands for anything: "Tutti.StatusCode.5*".
func matches(list []string, name string) bool {
	if len(list) == 0 {
		return true
	}
	for _, one := range list {
		if n := len(one) - 1; n >= 0 && one[n] == '*' && len(name) >= n && name[:n] == one[:n] || one == name {
			return true
		}
	}
	return false
}

// delay is how long to wait before the next attempt: backoff · factor^(n-1),
// bounded; with jitter anything up to that, the same whenever it is asked.
func (m *Machine) delay(t target, r *projects.Retry, attempt int) time.Duration {
	d := float64(r.Backoff) * math.Pow(r.Factor, float64(attempt-1))
	if r.MaxBackoff > 0 {
		d = math.Min(d, float64(r.MaxBackoff))
	}
	d = math.Min(d, float64(10*365*24*time.Hour))
	if r.Jitter {
		h := fnv.New64a()
		_, _ = fmt.Fprintf(h, "%s %s %d", m.start.Run, m.keyOf(t), attempt) // a hash takes everything
		d *= float64(mix(h.Sum64())>>11) / (1 << 53)
	}
	return time.Duration(d)
}

// mix spreads the bits of a hash (the finaliser of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
