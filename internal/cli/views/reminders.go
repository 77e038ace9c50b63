package views

import (
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/engine"
)

// reminder is how often something that is still running is mentioned again.
const reminder = 10 * time.Second

// reminders calls back for every operation that runs for long, again and again
// until it ends. Each has its own timer: nothing runs while nothing is due.
type reminders struct {
	now    func() time.Time
	remind func(p engine.Progress, elapsed time.Duration)

	mu      sync.Mutex
	closed  bool
	running map[reminded]*time.Timer
}

// reminded is an object of a stack.
type reminded struct {
	stack  string
	object addrs.Object
}

func newReminders(now func() time.Time, remind func(engine.Progress, time.Duration)) *reminders {
	return &reminders{now: now, remind: remind, running: map[reminded]*time.Timer{}}
}

func (r *reminders) start(p engine.Progress) {
	began := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if old := r.running[reminded{p.Stack, p.Object}]; old != nil {
		old.Stop()
	}
	var timer *time.Timer
	timer = time.AfterFunc(reminder, func() {
		r.mu.Lock()
		due := !r.closed && r.running[reminded{p.Stack, p.Object}] == timer
		if due {
			timer.Reset(reminder)
		}
		r.mu.Unlock()
		if due {
			r.remind(p, r.now().Sub(began))
		}
	})
	r.running[reminded{p.Stack, p.Object}] = timer
}

func (r *reminders) end(p engine.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if timer := r.running[reminded{p.Stack, p.Object}]; timer != nil {
		timer.Stop()
		delete(r.running, reminded{p.Stack, p.Object})
	}
}

func (r *reminders) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for object, timer := range r.running {
		timer.Stop()
		delete(r.running, object)
	}
}

// remindText is what stands in brackets after "Still creating...".
func remindText(p engine.Progress, elapsed time.Duration) string {
	text := duration(elapsed) + " elapsed"
	if p.IDKey != "" && p.IDValue != "" {
		text = p.IDKey + "=" + printable(p.IDValue) + ", " + text
	}
	return text
}
