package asl

import (
	"encoding/json"
	"math"
	"strings"
)

// spawn starts a branch inside this one's state.
func (t *thread) spawn(l *level, input any, h *history, last int64) *thread {
	b := &thread{
		m: t.m, history: h, level: l, execution: t.execution, item: t.item,
		variables: &variables{outer: t.variables, values: NewObject()}, last: last,
		outer: t, place: len(t.inner),
	}
	t.inner = append(t.inner, b)
	b.enter(l.startAt, input)
	return b
}

func (t *thread) parallel() error {
	input, err := t.innerInput()
	if err != nil {
		return err
	}
	if t.trial.mocked() {
		return t.mockedBranches()
	}
	started := t.history.tell(t.last, "ParallelStateStarted", "", nil)
	t.last = started
	results := make([]any, len(t.state.branches))
	left := len(results)
	for i, l := range t.state.branches {
		b := t.spawn(l, input, t.history, started)
		b.done = func(output any) {
			b.ended()
			results[i] = output
			if left--; left > 0 {
				return
			}
			t.last = b.last
			t.history.tell(t.last, "ParallelStateSucceeded", "", nil)
			t.check(t.finish(results))
		}
		b.failed = func(e *stateError) { t.innerFailed(e, b.last) }
	}
	return nil
}

// innerInput is what the branches of a Parallel get.
func (t *thread) innerInput() (any, error) {
	if !t.state.jsonata {
		return t.effective()
	}
	template, ok := t.state.fields.Get("Arguments")
	if !ok {
		return t.input, nil
	}
	return t.scope(t.input).query(template, "Arguments")
}

// innerFailed ends the state because a branch did.
func (t *thread) innerFailed(e *stateError, last int64) {
	t.last = last
	t.fails(e)
}

// mapping is a Map state under way.
type mapping struct {
	t           *thread
	items       []any
	input       any // effective, for ItemSelector
	results     []any
	done        []bool // which items succeeded
	next        int
	running     int
	failed      int
	tolerated   int
	tolerates   bool    // something was said about it
	share       float64 // of the items may fail, in percent; less than 0: nothing was said
	limit       int
	distributed bool
	started     int64
	reader      *reader // nil for none
	writer      *writer // likewise
	run, arn    string  // of the map run
}

func (t *thread) mapItems() error {
	g := &mapping{t: t, distributed: t.state.distributed(), share: -1}
	if err := g.prepare(); err != nil {
		return err
	}
	// What a reader reads is counted later.
	t.last = t.history.tell(t.last, "MapStateStarted", "mapStateStartedEventDetails", NewObject().Set("length", number(int64(len(g.items)))))
	if err := g.tolerance(); err != nil {
		return err
	}
	if g.distributed {
		s := t.scope(nil)
		label, ok := t.state.text("Label")
		if !ok {
			label = s.uuid()
		}
		g.run = s.uuid()
		g.arn = mapRunARN + label + ":" + g.run
		t.last = t.history.tell(t.last, "MapRunStarted", "mapRunStartedEventDetails", NewObject().Set("mapRunArn", g.arn))
	}
	if t.trial.mocked() {
		g.bound()
		return g.mocked()
	}
	g.started = t.last
	if g.reader != nil {
		g.read()
		return nil
	}
	return g.launch()
}

// launch starts as many items as may run at once.
func (g *mapping) launch() error {
	if g.reader != nil {
		if err := g.batch(); err != nil {
			return err
		}
	}
	g.bound()
	g.results, g.done = make([]any, len(g.items)), make([]bool, len(g.items))
	if len(g.items) == 0 {
		return g.end()
	}
	for g.running < g.limit && g.next < len(g.items) {
		if err := g.startNext(g.started); err != nil {
			return err
		}
	}
	return nil
}

// prepare evaluates what the state says about its items.
func (g *mapping) prepare() error {
	t := g.t
	s, err := t.inputScope()
	if err != nil {
		return err
	}
	g.input = s.input
	if !t.state.jsonata {
		t.trial.inspect("afterInputPath", g.input)
	}
	if g.writer, err = g.newWriter(); err != nil {
		return err
	}
	if g.reader, err = g.newReader(); err != nil {
		return err
	}
	if g.reader == nil {
		if err := g.readItems(); err != nil {
			return err
		}
	}
	g.limit = math.MaxInt
	if !g.distributed {
		g.limit = maxInline
	}
	n, ok, err := t.numberOf("MaxConcurrency", g.input)
	if err != nil {
		return err
	}
	if !ok {
		n = number(0)
	}
	t.trial.inspect("maxConcurrency", n)
	if ok {
		i, whole := integer(n)
		if !whole || i < 0 {
			if template := t.state.fields.at("MaxConcurrency"); dynamic(template, t.state.jsonata) {
				return wrongType(template, "MaxConcurrency", "positive integer", n)
			}
			return runtimeError("MaxConcurrency must be a non-negative integer, not %s", text(n))
		}
		if i > 0 {
			g.limit = int(min(i, int64(g.limit)))
		}
	}
	if g.reader != nil {
		return nil
	}
	return g.batch()
}

// maxInline is how many iterations of an inline Map run at once.
const maxInline = 40

func (g *mapping) readItems() error {
	t := g.t
	if t.trial != nil && t.trial.items != nil {
		g.items = t.trial.items
		return nil
	}
	if t.state.jsonata {
		template, ok := t.state.fields.Get("Items")
		if !ok {
			return g.take(t.input)
		}
		v, err := t.scope(t.input).query(template, "Items")
		if err != nil {
			return err
		}
		list, ok := v.([]any)
		if !ok {
			if _, is := expressionOf(template); !is {
				return g.take(v)
			}
			return wrongType(template, "Items", "array", v)
		}
		g.items = list
		return nil
	}
	source, ok := t.state.text("ItemsPath")
	if !ok {
		return g.take(g.input)
	}
	p, err := t.m.parsed.path(source)
	if err != nil {
		return err
	}
	v, err := t.scope(g.input).follow(p)
	if err != nil {
		return runtimeError("Invalid path '%s': The path does not reference an array in the input", source)
	}
	list, ok := v.([]any)
	if !ok {
		e := runtimeError("Reference path \"%s\" must point to array.", "$"+strings.TrimLeft(source, "$"))
		if t.trial != nil {
			e.inside = false // TestState does not say in which state
		}
		return e
	}
	g.items = list
	t.trial.inspect("afterItemsPath", list)
	return nil
}

func (g *mapping) take(v any) error {
	list, ok := v.([]any)
	if !ok {
		e := runtimeError("Map state input must be an array but was: %s", text(v))
		if g.t.state.jsonata {
			e.name, e.query = "States.QueryEvaluationError", true
		}
		return e
	}
	g.items = list
	return nil
}

// numberOf evaluates a field that has a number, a path or an expression.
func (t *thread) numberOf(field string, input any) (any, bool, error) {
	if source, ok := t.state.text(field + "Path"); ok {
		v, err := t.reference(t.scope(input), source, field+"Path")
		return numeral(v), true, err
	}
	if !t.state.has(field) {
		return nil, false, nil
	}
	v, err := t.field(t.scope(t.input), field)
	return v, true, err
}

// numeral takes a number written as a string for the number, as the service
// does where a path leads to it.
func numeral(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	n, err := Decode([]byte(s))
	if _, ok := n.(json.Number); err != nil || !ok {
		return v
	}
	return n
}

// tolerance finds out how many items may fail.
func (g *mapping) tolerance() error {
	n, hasCount, err := g.t.numberOf("ToleratedFailureCount", g.input)
	if err != nil {
		return err
	}
	g.tolerates = hasCount
	if hasCount {
		i, ok := integer(n)
		if !ok {
			source, _ := g.t.state.text("ToleratedFailureCountPath")
			return runtimeError("The ToleratedFailureCountPath field refers to value \"%s\" which is not a valid integer: %s", plain(n), source)
		}
		if i < 0 {
			return runtimeError("ToleratedFailureCount cannot be negative.")
		}
		g.tolerated = int(i)
		g.t.trial.inspect("toleratedFailureCount", number(i))
	}
	p, hasShare, err := g.t.numberOf("ToleratedFailurePercentage", g.input)
	if err != nil || !hasShare {
		return err
	}
	share, ok := float(p)
	if !ok {
		source, _ := g.t.state.text("ToleratedFailurePercentagePath")
		return runtimeError("The ToleratedFailurePercentagePath field refers to value \"%s\" which is not a valid float: %s", plain(p), source)
	}
	g.tolerates = true
	g.t.trial.inspect("toleratedFailurePercentage", p)
	if share < 0 || share > 100 {
		return runtimeError("ToleratedFailurePercentage must be between 0 and 100.")
	}
	g.share = share
	if !hasCount {
		g.tolerated = math.MaxInt
	}
	return nil
}

// bound turns the share of items that may fail into a number of them.
func (g *mapping) bound() {
	if g.share >= 0 {
		g.tolerated = min(g.tolerated, int(g.share*float64(len(g.items))/100))
	}
}

// batch puts items together as ItemBatcher says.
func (g *mapping) batch() error {
	batcher, ok := g.t.state.fields.at("ItemBatcher").(*Object)
	if !ok {
		return nil
	}
	size, _, err := g.number(batcher, "MaxItemsPerBatch", "ItemBatcher")
	if err != nil {
		return err
	}
	bytes, _, err := g.number(batcher, "MaxInputBytesPerBatch", "ItemBatcher")
	if err != nil {
		return err
	}
	s := g.t.scope(g.input)
	var common any
	if template, ok := batcher.Get("BatchInput"); ok {
		if g.t.state.jsonata {
			common, err = g.t.scope(g.t.input).query(template, "ItemBatcher/BatchInput")
		} else {
			common, err = s.template(template)
		}
		if err != nil {
			return err
		}
	}
	// Every item is selected before it goes into a batch.
	selected := make([]any, len(g.items))
	for i, item := range g.items {
		v, err := g.selected(i, item)
		if err != nil {
			return err
		}
		selected[i] = v
	}
	g.items = nil
	for len(selected) > 0 {
		b := NewObject()
		if common != nil {
			b.Set("BatchInput", common)
		}
		n := batched(selected, int(size), int(bytes), len(text(b.clone().Set("Items", []any{}))))
		g.items = append(g.items, b.Set("Items", append([]any{}, selected[:n]...)))
		selected = selected[n:]
	}
	return nil
}

// batched is how many items fit into a batch: at least one. The numbers are
// limits, 0 for none; used is how many bytes the batch has without items.
func batched(items []any, size, bytes, used int) int {
	if size <= 0 || size > len(items) {
		size = len(items)
	}
	if bytes <= 0 {
		return size
	}
	for n := range size {
		if used += len(text(items[n])); n > 0 {
			used++ // a comma
		}
		if used > bytes {
			return max(n, 1)
		}
	}
	return size
}

// selected is the input of the iteration for an item.
func (g *mapping) selected(index int, item any) (any, error) {
	t := g.t
	fields := t.state.fields
	template, ok := fields.Get("ItemSelector")
	if !ok {
		if template, ok = fields.Get("Parameters"); !ok {
			return item, nil
		}
	}
	at := *t
	at.item = NewObject().Set("Index", number(int64(index))).Set("Value", item)
	if t.state.jsonata {
		return at.scope(t.input).query(template, "ItemSelector")
	}
	return at.scope(g.input).template(template)
}

// startNext starts the next iteration; previous is the event it follows.
func (g *mapping) startNext(previous int64) error {
	t, index := g.t, g.next
	g.next++
	item := g.items[index]
	input := item
	if !t.state.has("ItemBatcher") {
		var err error
		if input, err = g.selected(index, item); err != nil {
			return err
		}
	}
	g.running++
	if g.distributed {
		g.startExecution(index, input)
		return nil
	}
	details := func() *Object {
		return NewObject().Set("index", number(int64(index))).Set("name", t.state.name)
	}
	id := t.history.tell(previous, "MapIterationStarted", "mapIterationStartedEventDetails", details())
	b := t.spawn(t.state.branches[0], input, t.history, id)
	b.item = NewObject().Set("Index", number(int64(index))).Set("Value", item)
	b.done = func(output any) {
		b.ended()
		g.results[index] = output
		g.running--
		ended := t.history.tell(b.last, "MapIterationSucceeded", "mapIterationSucceededEventDetails", details())
		if g.next < len(g.items) {
			t.check(g.startNext(b.last))
			return
		}
		if g.running == 0 {
			t.last = ended
			t.check(g.end())
		}
	}
	b.failed = func(e *stateError) {
		t.history.tell(b.last, "MapIterationFailed", "mapIterationFailedEventDetails", details())
		t.innerFailed(e, b.last)
	}
	return nil
}

// startExecution runs an item as an execution of its own: with its own history
// and no sight of outer variables.
func (g *mapping) startExecution(index int, input any) {
	t := g.t
	name := t.scope(nil).uuid()
	b := t.spawn(t.state.branches[0], input, &history{forgot: true}, 0) // nobody can ask for it
	b.last = b.history.tell(0, "ExecutionStarted", "executionStartedEventDetails", withValue(NewObject(), "input", input))
	b.variables.outer = nil
	b.execution, b.item = t.m.execution(executionARN+name, name, input), nil
	started := t.m.now
	ended := func(output any, e *stateError) {
		b.ended()
		switch {
		case g.writer != nil:
			g.results[index], g.done[index] = &item{name: name, input: input, output: output, failure: e, started: started, ended: t.m.now}, true
		case e == nil:
			g.results[index], g.done[index] = output, true
		}
		t.check(g.executionEnded())
	}
	b.done = func(output any) { ended(output, nil) }
	b.failed = func(e *stateError) {
		g.failed++
		ended(nil, e)
	}
}

func (g *mapping) executionEnded() error {
	g.running--
	if g.failed > g.tolerated {
		return g.end()
	}
	if g.next < len(g.items) {
		return g.startNext(g.started)
	}
	if g.running == 0 {
		return g.end()
	}
	return nil
}

// exceeded is the error of a distributed Map too many items of which failed.
func exceeded() *stateError {
	return failed("States.ExceedToleratedFailureThreshold", "The specified tolerated failure threshold was exceeded")
}

// end finishes the state with the results in the order of the items.
func (g *mapping) end() error {
	t := g.t
	t.stopInner()
	if g.distributed {
		if g.failed > g.tolerated {
			e := exceeded()
			t.last = t.history.tell(g.started, "MapRunFailed", "mapRunFailedEventDetails", failure(e))
			return e
		}
		kept := g.results[:0:0]
		for i, r := range g.results {
			if g.done[i] {
				kept = append(kept, r)
			}
		}
		g.results = kept
	}
	switch {
	case g.writer == nil:
	case g.writer.stores:
		g.write()
		return nil
	default:
		g.results = g.writer.results(g.results)
	}
	g.succeeded()
	results := g.results
	if results == nil {
		results = []any{}
	}
	return t.finish(results)
}

// succeeded tells that all items are done.
func (g *mapping) succeeded() {
	t := g.t
	if g.distributed {
		t.last = t.history.tell(g.started, "MapRunSucceeded", "", nil)
	}
	t.history.tell(t.last, "MapStateSucceeded", "", nil)
}
