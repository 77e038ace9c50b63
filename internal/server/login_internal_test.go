package server

import (
	"testing"
	"time"
)

// TestPendingLogins: a login is finished once, in time, and those under way are bounded.
func TestPendingLogins(t *testing.T) {
	var p pendingLogins
	now := time.Unix(1e9, 0)
	begin := func() string {
		now = now.Add(time.Microsecond)
		return p.add(pendingLogin{identity: "corp", expires: now.Add(loginPatience)}, now)
	}
	first := begin()
	if l, ok := p.take(first, now); !ok || l.identity != "corp" {
		t.Error("a login cannot be finished")
	}
	if _, ok := p.take(first, now); ok {
		t.Error("a login is finished twice")
	}
	late := begin()
	if _, ok := p.take(late, now.Add(loginPatience)); ok {
		t.Error("a login is finished when its time is over")
	}
	oldest, second := begin(), begin()
	for range mostLogins - 1 {
		begin()
	}
	if len(p.list) != mostLogins {
		t.Errorf("%d logins are under way", len(p.list))
	}
	if _, ok := p.take(oldest, now); ok {
		t.Error("the oldest did not make room")
	}
	if _, ok := p.take(second, now); !ok {
		t.Error("more than the oldest made room")
	}
}
