package events

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

// TestSum: everything of an event is in its hash, each in its place.
func TestSum(t *testing.T) {
	base := Link{Sequence: 7, Event: Event{ID: "id", Source: "source", Type: "type", Subject: "subject", Actor: "actor", Time: time.Unix(1, 2), Data: json.RawMessage(`{}`)}}
	// It is part of the format: what was written stays verifiable.
	if got := base.Sum().String(); got != "abfbd6aa4b14d78e0eab8dea1d3509afcb03aa356a5654433429fa7c4d4ce9d2" {
		t.Errorf("the hash is %s", got)
	}
	seen := map[Hash]string{base.Sum(): "nothing"}
	for name, change := range map[string]func(*Link){
		"sequence": func(l *Link) { l.Sequence++ },
		"id":       func(l *Link) { l.ID = "" },
		"source":   func(l *Link) { l.Source += "t" },
		"moved":    func(l *Link) { l.Source, l.Type = "sourcet", "ype" },
		"swapped":  func(l *Link) { l.Subject, l.Actor = l.Actor, l.Subject },
		"time":     func(l *Link) { l.Time = l.Time.Add(1) },
		"no time":  func(l *Link) { l.Time = time.Time{} },
		"data":     func(l *Link) { l.Data = json.RawMessage(`{ }`) },
		"no data":  func(l *Link) { l.Data = nil },
		"previous": func(l *Link) { l.Previous[31] = 1 },
	} {
		l := base
		change(&l)
		if other, twice := seen[l.Sum()]; twice {
			t.Errorf("%s gives the same hash as %s", name, other)
		}
		seen[l.Sum()] = name
	}
	zone := base
	zone.Time = zone.Time.In(time.FixedZone("x", 3600))
	if zone.Sum() != base.Sum() {
		t.Error("the same instant in another zone has another hash")
	}
}

// TestFollow follows a chain, and one that ends too early.
func TestFollow(t *testing.T) {
	var made, followed Chain
	for range 3 {
		l := made.Append(Event{Type: "x"})
		if err := followed.Follow(&l); err != nil {
			t.Fatal(err)
		}
	}
	if followed != made || followed.End(3) != nil {
		t.Errorf("%+v, %+v", followed, made)
	}
	var broken *Break
	if err := followed.End(4); !errors.As(err, &broken) || broken.Sequence != 4 {
		t.Error(err)
	}
}

// FuzzParseHash reads hashes, and nothing else.
func FuzzParseHash(f *testing.F) {
	f.Add("00")
	f.Add(Hash{1, 2, 3}.String())
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHash(text)
		if err == nil && len(text) != len(h.String()) {
			t.Errorf("%q is read as %s", text, h)
		}
	})
}
