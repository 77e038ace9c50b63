package sqlite

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// lookForOthers is how often it is looked whether other processes have written.
const lookForOthers = 50 * time.Millisecond

// Changes tells whoever waits that the store has changed.
type Changes struct {
	mu   sync.Mutex
	next chan struct{}
}

// Next returns a channel that is closed once something has been committed after
// the call, by this process or another. What is read after it was closed has what
// was committed; who reads before waiting for it misses nothing.
func (c *Changes) Next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

func (c *Changes) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.next)
	c.next = make(chan struct{})
}

// Watch tells of changes until ctx ends: of this process's at once, of others'
// within a moment. It makes the file where there is none.
func (s *Store) Watch(ctx context.Context) (*Changes, error) {
	if _, err := s.writing(ctx); err != nil {
		return nil, err
	}
	conn, err := s.reader.Conn(ctx)
	if err != nil {
		return nil, err
	}
	c := &Changes{next: make(chan struct{})}
	s.watch(c)
	go func() {
		defer s.unwatch(c)
		defer func() { _ = conn.Close() }()
		c.lookForOthers(ctx, conn)
	}()
	return c, nil
}

// lookForOthers tells of commits that changed what a connection sees.
func (c *Changes) lookForOthers(ctx context.Context, conn *sql.Conn) {
	ticker := time.NewTicker(lookForOthers)
	defer ticker.Stop()
	before := int64(-1)
	for {
		var now int64
		if err := conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&now); err == nil && now != before {
			if before >= 0 {
				c.tell()
			}
			before = now
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Store) watch(c *Changes) {
	s.watching.Lock()
	defer s.watching.Unlock()
	if s.watchers == nil {
		s.watchers = map[*Changes]bool{}
	}
	s.watchers[c] = true
}

func (s *Store) unwatch(c *Changes) {
	s.watching.Lock()
	defer s.watching.Unlock()
	delete(s.watchers, c)
}

// changed is called after every commit of this process.
func (s *Store) changed() {
	s.watching.Lock()
	defer s.watching.Unlock()
	for c := range s.watchers {
		c.tell()
	}
}
