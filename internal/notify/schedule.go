package notify

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Schedule says when attempts at a delivery are made.
type Schedule struct {
	First   time.Duration // before the second attempt; then twice as long each time
	Longest time.Duration // between two attempts
	Most    int           // attempts
	Life    time.Duration // since the event was found
}

// DefaultSchedule makes 58 attempts or so in a day.
var DefaultSchedule = Schedule{First: time.Second, Longest: 30 * time.Minute, Most: 100, Life: 24 * time.Hour}

// next is when the attempt behind so many is made, and whether there is one. asked is
// what the recipient wants to be left alone for; it is held to within reason. random
// is in [0, 1): the time between is anything from half to all of what it may be, so
// that what failed together is not sent again together.
func (s Schedule) next(attempts int, queued, now time.Time, asked time.Duration, random float64) (time.Time, bool) {
	s = s.orDefault()
	wait := s.Longest
	if attempts < 32 {
		wait = min(s.First<<(attempts-1), s.Longest)
	}
	wait = wait/2 + time.Duration(random*float64(wait/2))
	at := now.Add(max(wait, min(asked, s.furthest())))
	return at, attempts < s.Most && at.Sub(queued) <= s.Life
}

func (s Schedule) orDefault() Schedule {
	if s == (Schedule{}) {
		return DefaultSchedule
	}
	return s
}

// furthest is how far ahead an attempt is at most, whatever a recipient asks for.
func (s Schedule) furthest() time.Duration { return 2 * s.orDefault().Longest }

func jitter() float64 { return rand.Float64() } //nolint:gosec // nobody gains by guessing it

// retryAfter reads for how long a recipient wants to be left alone: the header
// Retry-After, in seconds or as a date, or when a limit of GitHub's ends.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	text := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, 1<<20)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(now)
	}
	if resp.Header.Get("X-Ratelimit-Remaining") == "0" {
		if at, err := strconv.ParseInt(resp.Header.Get("X-Ratelimit-Reset"), 10, 64); err == nil {
			return time.Unix(at, 0).Sub(now)
		}
	}
	return 0
}
