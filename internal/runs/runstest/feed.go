package runstest

import (
	"context"
	"slices"
	"strconv"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

// Events returns events behind a number.
func (s *Store) Events(_ context.Context, after int64, limit int) ([]events.Event, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if after >= int64(len(s.feed)) {
		return nil, after, nil
	}
	var out []events.Event
	for _, l := range s.feed[after:] {
		if limit > 0 && len(out) == limit {
			break
		}
		out = append(out, l.Event)
	}
	return out, after + int64(len(out)), nil
}

// tell adds events to the feed.
func (s *Store) tell(list []events.Event) {
	for _, e := range list {
		if e.ID == "" {
			e.ID = "event-" + strconv.FormatInt(s.chain.Last+1, 10)
		}
		s.feed = append(s.feed, s.chain.Append(e))
	}
}

// Feed goes through the links of the feed behind a number.
func (s *Store) Feed(_ context.Context, after int64, each func(*events.Link) error) (int64, error) {
	s.mu.Lock()
	feed, made := slices.Clone(s.feed), s.chain.Last
	s.mu.Unlock()
	for i := range feed {
		if feed[i].Sequence > after {
			if err := each(&feed[i]); err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

// FeedOf goes through the links that a query chooses.
func (s *Store) FeedOf(ctx context.Context, q runs.EventQuery, each func(*events.Link) error) error {
	var list []*events.Link
	_, err := s.Feed(ctx, q.After, func(l *events.Link) error {
		if q.Chooses(l) {
			list = append(list, l)
		}
		return nil
	})
	if q.Newest {
		slices.Reverse(list)
	}
	for _, l := range list {
		if err := each(l); err != nil {
			return err
		}
	}
	return err
}

// Record writes events.
func (s *Store) Record(_ context.Context, list ...events.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(list)
	return nil
}
