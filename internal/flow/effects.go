package flow

// effects are the steps of a run as the journal counts them, by number. What
// has ended is forgotten chunk by chunk: the memory of a run follows what is
// under way, not what has been.
type effects struct {
	chunks []*chunk // nil where all have ended
	count  int
}

const chunkSize = 1024

type chunk struct {
	list  [chunkSize]effect
	ended int
}

// gone stands for effects that are forgotten.
var gone = effect{ended: true}

func (e *effects) add(p effect) int {
	n := e.count
	if n%chunkSize == 0 {
		e.chunks = append(e.chunks, &chunk{})
	}
	e.chunks[n/chunkSize].list[n%chunkSize] = p
	e.count++
	return n
}

// at returns an effect, or a copy of gone. The pointer is valid until the effect
// ends.
func (e *effects) at(n int) *effect {
	if c := e.chunks[n/chunkSize]; c != nil {
		return &c.list[n%chunkSize]
	}
	p := gone
	return &p
}

// end marks an effect that has not ended as ended.
func (e *effects) end(n int) {
	c := e.chunks[n/chunkSize]
	c.list[n%chunkSize].ended = true
	if c.ended++; c.ended == chunkSize {
		e.chunks[n/chunkSize] = nil
	}
}

// open calls f for every effect that has not ended, by number. f may end it.
func (e *effects) open(f func(n int, p *effect)) {
	for i, c := range e.chunks {
		if c == nil {
			continue
		}
		for j := range c.list {
			n := i*chunkSize + j
			if n >= e.count {
				return
			}
			if !c.list[j].ended {
				f(n, &c.list[j])
			}
		}
	}
}
