package policy

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Rules of a policy share helpers: a set of all buckets, the settings. What such a
// helper comes to is kept from one evaluation of a document to the next, by each
// worker for itself. What functions make of parts of the document is not: there
// would be as much of it as there are changes, for each function.

// worker evaluates rules of one document, one after the other.
type worker struct {
	d     *Document
	plain input
	// watcher and watching are made when they are first needed.
	watcher  *watcher
	watching input
	// What helpers came to on either document.
	onPlain   map[*program]topdown.VirtualCache
	onWatched map[*program]*remembering
}

func newWorker(d *Document, plain input) *worker {
	return &worker{d: d, plain: plain, onPlain: map[*program]topdown.VirtualCache{}, onWatched: map[*program]*remembering{}}
}

// watched is the document in which asking for what is unknown is noticed, with
// nothing touched yet.
func (w *worker) watched() (*watcher, input) {
	if w.watcher == nil {
		w.watcher = newWatcher()
		w.watching = inputOf(w.d.watched(w.watcher, w.plain.term))
	}
	w.watcher.reset()
	return w.watcher, w.watching
}

// cache is for the next evaluation of a program on the document as it is.
func (w *worker) cache(of *program) topdown.VirtualCache {
	if w.onPlain[of] == nil {
		w.onPlain[of] = topdown.NewVirtualCache()
	}
	return &sharing{VirtualCache: topdown.NewVirtualCache(), shared: w.onPlain[of]}
}

// remembering is for the next evaluation of a program on the watched document, in
// which anew is to be evaluated again.
func (w *worker) remembering(of *program, anew ast.Ref) *remembering {
	if w.onWatched[of] == nil {
		w.onWatched[of] = newRemembering(w.watcher)
	}
	w.onWatched[of].next(anew)
	return w.onWatched[of]
}

// forget drops what an evaluation that did not end well may have left.
func (w *worker) forget(of *program) {
	delete(w.onPlain, of)
	delete(w.onWatched, of)
}

// sharing is the cache of an evaluation that shares with others what does not
// have documents for arguments.
type sharing struct {
	topdown.VirtualCache
	shared   topdown.VirtualCache
	replaced int // how often the documents are replaced by "with"
}

func (c *sharing) of(ref ast.Ref) topdown.VirtualCache {
	if c.replaced > 0 || composite(ref) {
		return c.VirtualCache
	}
	return c.shared
}

// Push implements [topdown.VirtualCache].
func (c *sharing) Push() { c.replaced++; c.VirtualCache.Push() }

// Pop implements [topdown.VirtualCache].
func (c *sharing) Pop() { c.replaced--; c.VirtualCache.Pop() }

// Get implements [topdown.VirtualCache].
func (c *sharing) Get(ref ast.Ref) (*ast.Term, bool) { return c.of(ref).Get(ref) }

// Put implements [topdown.VirtualCache].
func (c *sharing) Put(ref ast.Ref, v *ast.Term) { c.of(ref).Put(ref, v) }

// composite reports whether a reference has documents for arguments.
func composite(ref ast.Ref) bool {
	for _, t := range ref {
		switch t.Value.(type) {
		case ast.Object, *ast.Array, ast.Set:
			return true
		}
	}
	return false
}

// remembering is the cache of evaluations of a watched document. What a rule had
// looked at is looked at again by whoever finds it here. Functions of documents are
// not kept, because watched objects cannot be compared.
type remembering struct {
	topdown.VirtualCache
	w      *watcher
	begun  map[int]int   // by hash of the reference: where in the log it began
	looked map[int][]int // what was looked at for it
	anew   ast.Ref       // what is to be evaluated again; nil: nothing
}

func newRemembering(w *watcher) *remembering {
	return &remembering{VirtualCache: topdown.NewVirtualCache(), w: w, begun: map[int]int{}, looked: map[int][]int{}}
}

// next prepares for the next evaluation, after the watcher was reset.
func (c *remembering) next(anew ast.Ref) {
	clear(c.begun)
	c.anew = anew
}

// Get implements [topdown.VirtualCache].
func (c *remembering) Get(ref ast.Ref) (*ast.Term, bool) {
	if composite(ref) || c.anew != nil && ref.HasPrefix(c.anew) {
		return nil, false
	}
	key := ref.Hash()
	term, undefined := c.VirtualCache.Get(ref)
	if term == nil && !undefined {
		if _, begun := c.begun[key]; !begun {
			c.begun[key] = len(c.w.log)
		}
		return nil, false
	}
	for _, id := range c.looked[key] {
		c.w.touch(id)
	}
	return term, undefined
}

// Put implements [topdown.VirtualCache].
func (c *remembering) Put(ref ast.Ref, v *ast.Term) {
	if composite(ref) || c.anew != nil && ref.HasPrefix(c.anew) {
		return
	}
	key := ref.Hash()
	have, ids := map[int]bool{}, c.looked[key]
	for _, id := range ids {
		have[id] = true
	}
	for _, id := range c.w.log[c.begun[key]:] { // from the very beginning where that was missed
		if !have[id] {
			have[id] = true
			ids = append(ids, id)
		}
	}
	if len(ids) > 0 {
		c.looked[key] = []int{c.w.group(ids)}
	}
	c.VirtualCache.Put(ref, v)
}
