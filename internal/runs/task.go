package runs

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Task is a step that was launched, as its job sees it.
type Task struct {
	// Key is the idempotency key: the same whenever the step is done again.
	Key string

	x     *execution
	run   Run // as it was then
	step  int
	what  Step
	asked chan struct{}
	beats atomic.Int64 // when it was heard of last
	wrote atomic.Bool

	// Owned by the loop.
	pool    string // the pool it is in
	cancel  context.CancelFunc
	failing string // the limit that was reached
	cause   string
}

// Run is the run the step belongs to.
func (t *Task) Run() Run { return t.run }

// Number is the step's number in the journal.
func (t *Task) Number() int { return t.step }

// Asked is closed when the run is being cancelled: the job should end as soon as
// it decently can. Its context ends later, when it must.
func (t *Task) Asked() <-chan struct{} { return t.asked }

// Left is closed when the run is cut off and left for others to resume: a job
// that is a run of its own leaves that as well.
func (t *Task) Left() <-chan struct{} { return t.x.leaving }

// Drained is closed when the run is to be left as soon as running steps have
// ended; nil where nobody can ask for it.
func (t *Task) Drained() <-chan struct{} { return t.x.e.Drain }

// childContext is what the run works under that a step is: it is asked to end
// when the step is asked to or given up. Where the step's run is left, so is it.
func (t *Task) childContext(ctx context.Context) (context.Context, context.CancelFunc) {
	child, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		select {
		case <-t.Asked():
			cancel()
		case <-ctx.Done():
			select {
			case <-t.Left():
			default:
				cancel()
			}
		case <-child.Done():
		}
	}()
	return child, cancel
}

// Beat tells that the job is alive.
func (t *Task) Beat() { t.beat(t.x.r.now()) }

func (t *Task) beat(now time.Time) { t.beats.Store(now.UnixNano()) }

func (t *Task) lastBeat() time.Time { return time.Unix(0, t.beats.Load()) }

// Log takes what the job writes to a stream.
func (t *Task) Log(stream string) io.Writer { return &logWriter{t, stream} }

// Artifact keeps a file of the step.
func (t *Task) Artifact(ctx context.Context, a Artifact, data []byte) error {
	a.Run, a.Step, a.Name, a.Time = t.x.run.ID, t.step, t.what.Name, t.x.r.now()
	return t.x.r.Store.PutArtifact(ctx, a, data)
}

// flush waits until all that was logged is on disk: the outcome comes after it.
func (t *Task) flush() {
	if t.wrote.Load() {
		t.x.logs.wait()
	}
}

type logWriter struct {
	t      *Task
	stream string
}

// Write takes a piece of output. It waits while the store cannot keep up.
func (w *logWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	now := w.t.x.r.now()
	w.t.beat(now)
	w.t.wrote.Store(true)
	w.t.x.logs.add(LogChunk{
		Run: w.t.x.run.ID, Step: w.t.step, Name: w.t.what.Name, Stream: w.stream, Time: now, Data: append([]byte(nil), p...),
	})
	return len(p), nil
}

// logger writes what steps say to the store: at once, and what comes meanwhile
// together.
type logger struct {
	mu      sync.Mutex
	change  sync.Cond
	chunks  []LogChunk
	bytes   int
	writing bool
	closed  bool
	ended   chan struct{}
}

// backlog is how many bytes wait for the store before writers do.
const backlog = 4 << 20

func newLogger(ctx context.Context, store StepStore) *logger {
	l := &logger{ended: make(chan struct{})}
	l.change.L = &l.mu
	go l.run(ctx, store)
	return l
}

func (l *logger) add(c LogChunk) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.bytes > backlog && !l.closed {
		l.change.Wait()
	}
	if l.closed {
		return // of a step that was left behind
	}
	l.chunks = append(l.chunks, c)
	l.bytes += len(c.Data)
	l.change.Broadcast()
}

func (l *logger) run(ctx context.Context, store StepStore) {
	defer close(l.ended)
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.chunks) == 0 && !l.closed {
			l.change.Wait()
		}
		if len(l.chunks) == 0 {
			return
		}
		chunks := merge(l.chunks)
		l.chunks, l.bytes, l.writing = nil, 0, true
		l.change.Broadcast()
		l.mu.Unlock()
		// What cannot be written is lost: a run must not stop for a log. The
		// outcome's own commit tells of a store that takes nothing any more.
		_ = store.AppendLogs(ctx, chunks)
		l.mu.Lock()
		l.writing = false
		l.change.Broadcast()
	}
}

// merge joins chunks of the same stream that follow each other.
func merge(list []LogChunk) []LogChunk {
	out := list[:1]
	for _, c := range list[1:] {
		last := &out[len(out)-1]
		if last.Step == c.Step && last.Stream == c.Stream && len(last.Data)+len(c.Data) <= 64<<10 {
			last.Data = append(last.Data, c.Data...)
			continue
		}
		out = append(out, c)
	}
	return out
}

// wait returns when all that was added is on disk.
func (l *logger) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.chunks) > 0 || l.writing {
		l.change.Wait()
	}
}

func (l *logger) close() {
	l.mu.Lock()
	l.closed = true
	l.change.Broadcast()
	l.mu.Unlock()
	<-l.ended
}

func decode(data json.RawMessage, into any) error {
	if len(data) == 0 {
		return nil
	}
	return json.Unmarshal(data, into)
}
