package sources

import (
	"context"
	"sync"
	"time"
)

// The time between attempts after errors, doubled from the first to the last.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// health tells whether a source works: each trouble once, and when it is over.
type health struct {
	trouble func(error)
	mutex   sync.Mutex
	told    string // the trouble there is; "" for none
}

// failed says that it does not work, and why.
func (h *health) failed(err error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if text := err.Error(); text != h.told {
		h.told = text
		h.trouble(err)
	}
}

// well says that it works.
func (h *health) well() {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.told != "" {
		h.told = ""
		h.trouble(nil)
	}
}

// persist calls work until ctx is cancelled: again when it failed, after a pause that
// grows until it works again.
func persist(ctx context.Context, trouble func(error), work func(context.Context, *health) error) {
	h := &health{trouble: trouble}
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := work(ctx, h)
		if ctx.Err() != nil || err == nil {
			return
		}
		h.failed(err)
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		if !wait(ctx, pause) {
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// wait returns after a while, or false when ctx is cancelled before.
func wait(ctx context.Context, while time.Duration) bool {
	timer := time.NewTimer(while)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
