package policy

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// watcher notices what unknown attributes one evaluation asks for.
type watcher struct {
	ids    map[attribute]int
	names  []attribute
	groups [][]int // of attributes that are touched together; -1-i is the id of the i-th
	log    []int   // touched, in order, some several times
	seen   map[int]bool

	// note, where not nil, is told of every touch.
	note func(id int)
}

// attribute is a value that is not known yet.
type attribute struct{ address, path string }

func newWatcher() *watcher { return &watcher{ids: map[attribute]int{}, seen: map[int]bool{}} }

func (w *watcher) id(address, path string) int {
	a := attribute{address, path}
	if id, ok := w.ids[a]; ok {
		return id
	}
	w.ids[a] = len(w.names)
	w.names = append(w.names, a)
	return w.ids[a]
}

func (w *watcher) touch(id int) {
	w.seen[id] = true
	w.log = append(w.log, id)
	if w.note != nil {
		w.note(id)
	}
}

// group is an id for several: touching it is touching them.
func (w *watcher) group(ids []int) int {
	if len(ids) == 1 {
		return ids[0]
	}
	w.groups = append(w.groups, ids)
	return -len(w.groups)
}

// reset forgets what was touched, for the next evaluation.
func (w *watcher) reset() {
	w.log, w.seen, w.note = nil, map[int]bool{}, nil
}

// touched lists what was asked for.
func (w *watcher) touched() []attribute {
	single, done := make([]bool, len(w.names)), map[int]bool{}
	var add func(id int)
	add = func(id int) {
		if id >= 0 {
			single[id] = true
			return
		}
		if done[id] {
			return
		}
		done[id] = true
		for _, one := range w.groups[-1-id] {
			add(one)
		}
	}
	for id := range w.seen {
		add(id)
	}
	var out []attribute
	for id, a := range w.names {
		if single[id] {
			out = append(out, a)
		}
	}
	return out
}

// watchedObject is an object that lacks what is unknown, and notices when it is
// asked for that, or for all it has. Code of OPA that knows only its own objects
// panics or fails on this one; the evaluation then counts as having asked for
// everything (see [Policy.watch]).
type watchedObject struct {
	ast.Object
	w       *watcher
	missing map[string]int
}

func (o *watchedObject) all() {
	for _, id := range o.missing {
		o.w.touch(id)
	}
}

func (o *watchedObject) key(k *ast.Term) {
	name, ok := k.Value.(ast.String)
	if !ok {
		if _, isVar := k.Value.(ast.Var); isVar {
			o.all()
		}
		return
	}
	if id, ok := o.missing[string(name)]; ok {
		o.w.touch(id)
	}
}

// Get implements [ast.Object].
func (o *watchedObject) Get(k *ast.Term) *ast.Term {
	o.key(k)
	return o.Object.Get(k)
}

// Find implements [ast.Value].
func (o *watchedObject) Find(path ast.Ref) (ast.Value, error) {
	if len(path) == 0 {
		return o, nil
	}
	o.key(path[0])
	if v := o.Object.Get(path[0]); v != nil {
		return v.Value.Find(path[1:])
	}
	return o.Object.Find(path) // for its error
}

// Compare implements [ast.Value].
func (o *watchedObject) Compare(other ast.Value) int {
	o.all()
	if w, ok := other.(*watchedObject); ok {
		w.all()
		other = w.Object
	}
	return o.Object.Compare(other)
}

// String implements [ast.Value].
func (o *watchedObject) String() string { o.all(); return o.Object.String() }

// Len implements [ast.Object].
func (o *watchedObject) Len() int { o.all(); return o.Object.Len() }

// Copy implements [ast.Object].
func (o *watchedObject) Copy() ast.Object {
	return &watchedObject{Object: o.Object.Copy(), w: o.w, missing: o.missing}
}

// Iter implements [ast.Object].
func (o *watchedObject) Iter(f func(*ast.Term, *ast.Term) error) error {
	o.all()
	return o.Object.Iter(f)
}

// Until implements [ast.Object].
func (o *watchedObject) Until(f func(*ast.Term, *ast.Term) bool) bool {
	o.all()
	return o.Object.Until(f)
}

// Foreach implements [ast.Object].
func (o *watchedObject) Foreach(f func(*ast.Term, *ast.Term)) {
	o.all()
	o.Object.Foreach(f)
}

// Map implements [ast.Object].
func (o *watchedObject) Map(f func(*ast.Term, *ast.Term) (*ast.Term, *ast.Term, error)) (ast.Object, error) {
	o.all()
	return o.Object.Map(f)
}

// Diff implements [ast.Object].
func (o *watchedObject) Diff(other ast.Object) ast.Object { o.all(); return o.Object.Diff(bare(other)) }

// Intersect implements [ast.Object].
func (o *watchedObject) Intersect(other ast.Object) [][3]*ast.Term {
	o.all()
	return o.Object.Intersect(bare(other))
}

// Merge implements [ast.Object].
func (o *watchedObject) Merge(other ast.Object) (ast.Object, bool) {
	o.all()
	return o.Object.Merge(bare(other))
}

// MergeWith implements [ast.Object].
func (o *watchedObject) MergeWith(other ast.Object, f func(v1, v2 *ast.Term) (*ast.Term, bool)) (ast.Object, bool) {
	o.all()
	return o.Object.MergeWith(bare(other), f)
}

// Filter implements [ast.Object].
func (o *watchedObject) Filter(filter ast.Object) (ast.Object, error) {
	o.all()
	return o.Object.Filter(bare(filter))
}

// Keys implements [ast.Object].
func (o *watchedObject) Keys() []*ast.Term { o.all(); return o.Object.Keys() }

// KeysIterator implements [ast.Object].
func (o *watchedObject) KeysIterator() ast.ObjectKeysIterator {
	o.all()
	return o.Object.KeysIterator()
}

func bare(o ast.Object) ast.Object {
	if w, ok := o.(*watchedObject); ok {
		w.all()
		return w.Object
	}
	return o
}

// holdsWatched reports whether a term is a watched object, or has one in it.
func holdsWatched(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case *watchedObject:
		return true
	case ast.Object:
		return v.Until(func(k, v *ast.Term) bool { return holdsWatched(k) || holdsWatched(v) })
	case *ast.Array:
		return v.Until(holdsWatched)
	case ast.Set:
		return v.Until(holdsWatched)
	}
	return false
}

// unwatched is a term with plain objects in the place of watched ones, of each of which
// found is told.
func unwatched(t *ast.Term, found func(*watchedObject)) *ast.Term {
	if !holdsWatched(t) {
		return t
	}
	switch v := t.Value.(type) {
	case *watchedObject:
		found(v)
		return unwatched(ast.NewTerm(v.Object), found)
	case ast.Object:
		items := make([][2]*ast.Term, 0, v.Len())
		v.Foreach(func(k, v *ast.Term) { items = append(items, ast.Item(unwatched(k, found), unwatched(v, found))) })
		return ast.ObjectTerm(items...)
	case *ast.Array:
		list := make([]*ast.Term, 0, v.Len())
		v.Foreach(func(e *ast.Term) { list = append(list, unwatched(e, found)) })
		return ast.ArrayTerm(list...)
	case ast.Set:
		list := make([]*ast.Term, 0, v.Len())
		v.Foreach(func(e *ast.Term) { list = append(list, unwatched(e, found)) })
		return ast.SetTerm(list...)
	}
	return t
}

// derivations follows how each message of a rule comes about, to tell those that
// rest on nothing unknown. A message is certain if one of the ways to it touched
// nothing unknown: what was touched on the way to an alternative that was given up
// does not count, what was touched inside a negation, a comprehension or a call
// does, whatever came of it there.
type derivations struct {
	rule    *rule
	frame   uint64 // the body that is being evaluated
	body    map[*ast.Expr]int
	at      int
	touched []touch
	certain map[string]bool
}

type touch struct{ at, id int }

func (d *derivations) noted(id int) { d.touched = append(d.touched, touch{d.at, id}) }

// Enabled implements [topdown.QueryTracer].
func (d *derivations) Enabled() bool { return true }

// Config implements [topdown.QueryTracer].
func (d *derivations) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent implements [topdown.QueryTracer].
func (d *derivations) TraceEvent(e topdown.Event) {
	switch node := e.Node.(type) {
	case *ast.Rule:
		switch {
		case e.Op == topdown.EnterOp && d.rule.is(node):
			d.frame, d.at, d.touched = e.QueryID, -1, nil
			d.body = make(map[*ast.Expr]int, len(node.Body))
			for i, expr := range node.Body {
				d.body[expr] = i
			}
		case e.Op == topdown.ExitOp && e.QueryID == d.frame && len(d.touched) == 0:
			if head := node.Head.Key; head != nil {
				d.certain[e.Plug(head).String()] = true
			} else if head := node.Head.Value; head != nil {
				d.certain[e.Plug(head).String()] = true
			}
		}
	case *ast.Expr:
		at, own := d.body[node]
		if !own || e.QueryID != d.frame {
			return
		}
		switch e.Op {
		case topdown.EvalOp:
			d.forget(at)
			d.at = at
		case topdown.RedoOp:
			d.forget(at + 1)
			d.at = at
		}
	}
}

// forget drops what was touched from an expression of the body on: it is
// evaluated anew.
func (d *derivations) forget(from int) {
	kept := d.touched[:0]
	for _, t := range d.touched {
		if t.at < from {
			kept = append(kept, t)
		}
	}
	d.touched = kept
}
