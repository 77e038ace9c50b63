package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/events/patterns"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

// quick makes attempts without waiting for long.
var quick = Schedule{First: time.Millisecond, Longest: 10 * time.Millisecond, Most: 1000, Life: time.Hour}

var here = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func pattern(t testing.TB, source string) *patterns.Pattern {
	t.Helper()
	p, diags := patterns.ParseJSON("p", []byte(source))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return p
}

// heard is a request that a receiver got.
type heard struct {
	method, path string
	header       http.Header
	body         []byte
}

// receiver is a server that takes events, or answers as the test says.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	got   []heard
	fresh chan struct{}
	// answers the nth request, from 0 on; nil for 204 to all.
	answer func(n int, w http.ResponseWriter, r *http.Request)
}

func newReceiver(t testing.TB, answer func(n int, w http.ResponseWriter, r *http.Request)) *receiver {
	r := &receiver{fresh: make(chan struct{}, 1_000_000), answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		n := len(r.got)
		r.got = append(r.got, heard{req.Method, req.URL.RequestURI(), req.Header, body})
		r.mu.Unlock()
		if r.answer != nil {
			r.answer(n, w, req)
		} else {
			w.WriteHeader(http.StatusNoContent)
		}
		r.fresh <- struct{}{}
	}))
	t.Cleanup(r.Close)
	return r
}

// all are the requests so far.
func (r *receiver) all() []heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// await waits until so many requests were answered.
func (r *receiver) await(t testing.TB, count int) []heard {
	t.Helper()
	for {
		got := r.all()
		if len(got) >= count && len(r.fresh) >= count {
			return got
		}
		r.pause(t)
	}
}

func (r *receiver) pause(t testing.TB) {
	t.Helper()
	select {
	case <-t.Context().Done():
		t.Fatal("nothing more is heard")
	case <-time.After(time.Millisecond):
	}
}

// world is a store with a notifier at work on it.
type world struct {
	t     testing.TB
	store *sqlite.Store
	n     *Notifier
	lists chan []*projects.Notify
	stop  func()
}

func newWorld(t testing.TB, list ...*projects.Notify) *world {
	t.Helper()
	store, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w := &world{t: t, store: store, lists: make(chan []*projects.Notify, 1)}
	changes, err := store.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.n = &Notifier{
		Store: store, Changed: changes.Next, Schedule: quick,
		Secret: func(_ context.Context, _ *projects.Notify, name string) (string, error) {
			if name == "missing" {
				return "", errors.New("it is not there")
			}
			return "the value of " + name, nil
		},
		Problem: func(err error) { t.Error(err) },
	}
	w.begin(list...)
	return w
}

// begin has the notifier work, and waits until it knows the blocks: what happens
// from then on is told.
func (w *world) begin(list ...*projects.Notify) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.n.Run(ctx, w.lists)
	}()
	w.stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(w.stop)
	w.change(list...)
}

func (w *world) change(list ...*projects.Notify) {
	w.t.Helper()
	w.lists <- list
	w.until(func() bool {
		var names []string
		for _, n := range list {
			names = append(names, n.Name)
		}
		known, err := w.store.Recipients(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, name := range names {
			if _, ok := known[name]; !ok {
				return false
			}
		}
		return len(known) == len(names)
	})
}

func (w *world) until(holds func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			w.t.Fatal("it does not come")
		}
		time.Sleep(time.Millisecond)
	}
}

func (w *world) record(list ...events.Event) {
	w.t.Helper()
	if err := w.store.Record(w.t.Context(), list...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) deliveries() []runs.Delivery {
	w.t.Helper()
	list, err := w.store.Deliveries(w.t.Context(), runs.DeliveryQuery{})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func secret(name string) projects.Reference { return projects.Reference{Kind: "secret", Name: name} }

// TestWebhook: events that fit are told in order, signed, and again until they are
// taken.
func TestWebhook(t *testing.T) {
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		switch n {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			panic(http.ErrAbortHandler) // cut off in the middle
		case 2:
			w.Header().Set("Location", "http://127.0.0.1/elsewhere")
			w.WriteHeader(http.StatusFound)
		}
	})
	w := newWorld(t, &projects.Notify{
		Name: "ops", On: pattern(t, `{"type": [{"prefix": "run."}]}`), Kind: projects.NotifyWebhook, Format: projects.FormatCloudEvents,
		URL: r.URL + "/hook", Secrets: []projects.Reference{secret("old"), secret("new")}, AllowPrivate: here,
	})
	for i := range 5 {
		w.record(events.Event{ID: fmt.Sprint("id-", i), Source: "/test", Type: "run.failed", Subject: "r1", Time: time.Unix(int64(i), 0), Data: json.RawMessage(`{"problem":"<b>"}`)},
			events.Event{Type: "resource.created"})
	}
	w.until(func() bool {
		list := w.deliveries()
		return len(list) == 5 && list[0].Status == runs.DeliveryDelivered
	})
	var order []string
	for _, h := range r.all() {
		id := h.header.Get("Webhook-Id")
		order = append(order, strings.TrimPrefix(id, "id-"))
		if h.method != http.MethodPost || h.path != "/hook" || !strings.HasPrefix(h.header.Get("Content-Type"), "application/cloudevents+json") {
			t.Errorf("%s %s %v", h.method, h.path, h.header)
		}
		var doc events.Document
		if err := json.Unmarshal(h.body, &doc); err != nil || doc.ID != id || doc.SpecVersion != "1.0" || string(doc.Data) != `{"problem":"\u003cb\u003e"}` {
			t.Errorf("%s, %v", h.body, err)
		}
		for _, key := range []string{"the value of old", "the value of new"} {
			e, err := webhooks.New(webhooks.Config{Kind: webhooks.Standard, Source: "x", Secrets: []string{key}})
			if err != nil {
				t.Fatal(err)
			}
			header := h.header.Clone()
			header.Set("Content-Type", "application/json")
			if _, rejection := e.Receive(webhooks.Request{Method: h.method, Header: header, Body: h.body}, time.Now()); rejection != nil {
				t.Errorf("the signature by %s does not hold: %v", key, rejection)
			}
		}
	}
	if got := strings.Join(order, ""); got != "00001234" {
		t.Errorf("heard %s", got)
	}
	first := w.deliveries()[4]
	if first.Attempts != 4 || first.Problem != "" {
		t.Errorf("%+v", first)
	}
}

// TestNothingIsLost: what happens while nobody notifies is told later, once; blocks
// that are new begin with what happens then; and two never send at once.
func TestNothingIsLost(t *testing.T) {
	r := newReceiver(t, nil)
	block := func(name string) *projects.Notify {
		return &projects.Notify{Name: name, On: pattern(t, `{"type": ["x"]}`), Kind: projects.NotifyWebhook, URL: r.URL + "/" + name, AllowPrivate: here}
	}
	w := newWorld(t, block("a"))
	w.record(events.Event{ID: "1", Type: "x"})
	w.settled(1) // else it would be told again
	w.stop()
	w.record(events.Event{ID: "2", Type: "x"}, events.Event{ID: "3", Type: "y"}, events.Event{ID: "4", Type: "x"})
	w.begin(block("a"), block("b"))
	second := *w.n
	ctx, cancel := context.WithCancel(t.Context())
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		second.Run(ctx, w.lists) // it waits for the first one to end
	}()
	w.record(events.Event{ID: "5", Type: "x"})
	r.await(t, 5)
	w.stop()
	cancel()
	<-idle
	by := map[string]string{}
	for _, h := range r.all() {
		by[h.path] += h.header.Get("Webhook-Id")
	}
	if by["/a"] != "1245" || by["/b"] != "5" {
		t.Errorf("heard %v", by)
	}
}

// TestManyEvents comes to its end although most fit nothing, and by far not each is
// written about.
func TestManyEvents(t *testing.T) {
	r := newReceiver(t, nil)
	w := newWorld(t, &projects.Notify{Name: "a", On: pattern(t, `{"type": ["x"]}`), Kind: projects.NotifyWebhook, URL: r.URL, AllowPrivate: here})
	var list []events.Event
	for i := range 3 * batch {
		list = append(list, events.Event{ID: fmt.Sprint(i), Type: map[bool]string{true: "x", false: "y"}[i%100 == 0]})
	}
	w.record(list...)
	got := r.await(t, 15)
	for i, h := range got {
		if id := h.header.Get("Webhook-Id"); id != fmt.Sprint(100*i) {
			t.Errorf("%d: %s", i, id)
		}
	}
}

// TestDeadLetters: what is refused for good, or too often, makes room for what comes
// behind it, is an event, and can be sent again.
func TestDeadLetters(t *testing.T) {
	refuse := true
	var mu sync.Mutex
	r := newReceiver(t, nil)
	r.answer = func(_ int, w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch id := req.Header.Get("Webhook-Id"); {
		case refuse && id == "gone":
			w.WriteHeader(http.StatusGone)
		case refuse && id == "busy":
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	w := newWorld(t)
	w.stop()
	w.n.Schedule.Most = 3
	w.begin(&projects.Notify{Name: "a", On: pattern(t, `{"type": ["x", {"prefix": "delivery."}]}`), Kind: projects.NotifyWebhook, URL: r.URL, AllowPrivate: here},
		&projects.Notify{Name: "watch", On: pattern(t, `{"type": ["delivery.dead"]}`), Kind: projects.NotifyWebhook, URL: r.URL + "/watch", AllowPrivate: here})
	w.record(events.Event{ID: "gone", Type: "x"}, events.Event{ID: "busy", Type: "x"}, events.Event{ID: "fine", Type: "x"})
	r.await(t, 7)
	var main, watch []string
	for _, h := range r.all() {
		if h.path == "/watch" {
			watch = append(watch, string(h.body))
		} else {
			main = append(main, h.header.Get("Webhook-Id"))
		}
	}
	if got := strings.Join(main, " "); got != "gone busy busy busy fine" {
		t.Errorf("heard %s", got)
	}
	if len(watch) != 2 || !strings.Contains(watch[0], `"subject":"a"`) || !strings.Contains(watch[0], "410 Gone") || !strings.Contains(watch[1], `"attempts":3`) {
		t.Errorf("told of dead letters: %q", watch)
	}
	dead, err := w.store.Deliveries(t.Context(), runs.DeliveryQuery{Status: runs.DeliveryDead})
	if err != nil || len(dead) != 2 || dead[0].Event != "busy" || dead[0].Attempts != 3 || dead[0].Problem != "it was answered 503 Service Unavailable" {
		t.Fatalf("%+v, %v", dead, err)
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	if _, err := w.store.RetryDelivery(t.Context(), dead[0].ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.until(func() bool {
		list, err := w.store.Deliveries(t.Context(), runs.DeliveryQuery{Status: runs.DeliveryDead})
		return err == nil && len(list) == 1 && list[0].Event == "gone" && len(r.await(t, 8)) == 8
	})
	w.change()
	if pending, err := w.store.Deliveries(t.Context(), runs.DeliveryQuery{Status: runs.DeliveryPending}); err != nil || len(pending) != 0 {
		t.Errorf("%+v, %v", pending, err)
	}
}

// TestNoEndlessNews: two that refuse everything are not told of each other for ever.
func TestNoEndlessNews(t *testing.T) {
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) })
	all := pattern(t, `{"type": [{"prefix": ""}]}`)
	w := newWorld(t, &projects.Notify{Name: "a", On: all, Kind: projects.NotifyWebhook, URL: r.URL, AllowPrivate: here},
		&projects.Notify{Name: "b", On: all, Kind: projects.NotifyWebhook, URL: r.URL, AllowPrivate: here})
	w.record(events.Event{Type: "x"})
	w.settled(4) // the event to both, and to each that the other did not take it
	w.record(events.Event{Type: "y"})
	w.settled(8)
	if list, _, err := w.store.Events(t.Context(), 0, 0); err != nil || len(list) != 6 {
		t.Errorf("%d events, %v", len(list), err)
	}
}

// TestGuard: nothing is sent into networks that are not public, however they are
// named, and secrets are not quoted where something goes wrong.
func TestGuard(t *testing.T) {
	r := newReceiver(t, nil)
	port := r.URL[strings.LastIndex(r.URL, ":"):]
	other := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	on := pattern(t, `{"type": ["x"]}`)
	for name, c := range map[string]struct {
		url, secret string
		allow       []netip.Prefix
		want        string
	}{
		"loopback":       {url: "https://127.0.0.1" + port, want: "not a public one"},
		"by name":        {url: "https://localhost" + port, want: "not a public one"},
		"metadata":       {url: "https://169.254.169.254/latest/", want: "not a public one"},
		"other network":  {url: "http://127.0.0.1" + port, allow: other, want: "without TLS"},
		"secret, no TLS": {secret: "http://127.0.0.1" + port + "/services/T0/" + "hidden-part", want: "no address to send to"},
		"secret":         {secret: "https://127.0.0.1" + port + "/services/T0/" + "hidden-part", want: "not a public one"},
		"no secret":      {secret: "missing", want: `the secret "missing" cannot be read`},
	} {
		t.Run(name, func(t *testing.T) {
			n := &projects.Notify{Name: "a", On: on, Kind: projects.NotifySlack, Format: projects.FormatSlack, URL: c.url, AllowPrivate: c.allow}
			if c.secret != "" {
				n.URL, n.URLSecret = "", secret("hook")
			}
			if c.secret == "missing" {
				n.URLSecret = secret("missing")
			}
			w := newWorld(t)
			w.stop()
			read := w.n.Secret
			w.n.Secret = func(ctx context.Context, n *projects.Notify, name string) (string, error) {
				if name == "hook" {
					return c.secret, nil
				}
				return read(ctx, n, name)
			}
			w.n.Schedule.Most = 1
			w.begin(n)
			w.record(events.Event{Type: "x"})
			w.until(func() bool { l := w.deliveries(); return len(l) == 1 && l[0].Status == runs.DeliveryDead })
			problem := w.deliveries()[0].Problem
			if !strings.Contains(problem, c.want) || strings.Contains(problem, "hidden-part") || strings.Contains(problem, "services") {
				t.Errorf("the problem is %q", problem)
			}
		})
	}
	if len(r.all()) != 0 {
		t.Error("something was sent")
	}
}

func TestSchedule(t *testing.T) {
	at := time.Unix(0, 0)
	s := DefaultSchedule
	for _, c := range []struct {
		attempts int
		age      time.Duration
		asked    time.Duration
		random   float64
		want     time.Duration // 0: none
	}{
		{1, 0, 0, 0, time.Second / 2}, {1, 0, 0, 0.5, 750 * time.Millisecond}, {4, 0, 0, 0, 4 * time.Second},
		{12, 0, 0, 0, 15 * time.Minute}, {60, 0, 0, 0, 15 * time.Minute},
		{1, 0, time.Minute, 0, time.Minute}, {1, 0, 100 * time.Hour, 0, time.Hour}, {1, 0, -time.Hour, 0, time.Second / 2},
		{12, 23 * time.Hour, 0, 0, 15 * time.Minute}, {12, 24 * time.Hour, 0, 0, 0}, {100, 0, 0, 0, 0},
	} {
		next, ok := s.next(c.attempts, at.Add(-c.age), at, c.asked, c.random)
		if ok != (c.want > 0) || ok && next.Sub(at) != c.want {
			t.Errorf("%+v: in %s, %t", c, next.Sub(at), ok)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for want, headers := range map[time.Duration]http.Header{
		0:                {},
		7 * time.Second:  {"Retry-After": {"7"}},
		10 * time.Second: {"Retry-After": {now.Add(10 * time.Second).UTC().Format(http.TimeFormat)}},
		30 * time.Second: {"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"1000030"}},
	} {
		if got := retryAfter(&http.Response{Header: headers}, now); got != want {
			t.Errorf("%v: %s, want %s", headers, got, want)
		}
	}
}

// BenchmarkDeliveries tells one recipient events, from the feed to the answer.
func BenchmarkDeliveries(b *testing.B) {
	r := newReceiver(b, nil)
	w := newWorld(b, &projects.Notify{Name: "a", On: pattern(b, `{"type": ["x"]}`), Kind: projects.NotifyWebhook, URL: r.URL, Secrets: []projects.Reference{secret("s")}, AllowPrivate: here})
	list := make([]events.Event, b.N)
	for i := range list {
		list[i] = events.Event{Source: "/bench", Type: "x", Data: json.RawMessage(`{"run":"r"}`)}
	}
	b.ResetTimer()
	w.record(list...)
	r.await(b, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// TestAttemptsOfAClockThatWasAhead: what was to be tried again in a year, by a clock that
// was wrong, is tried at once.
func TestAttemptsOfAClockThatWasAhead(t *testing.T) {
	r := newReceiver(t, nil)
	block := &projects.Notify{Name: "a", On: pattern(t, `{"type": ["x"]}`), Kind: projects.NotifyWebhook, URL: r.URL, AllowPrivate: here}
	w := newWorld(t, block)
	w.stop()
	w.record(events.Event{Source: "/test", Type: "x"})
	last, err := w.store.Feed(t.Context(), 0, func(*events.Link) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.AdvanceOutbox(t.Context(), []string{"a"}, last, []runs.Delivery{{Notify: "a", Sequence: last, Event: "e", Type: "x", Queued: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	d := w.deliveries()[0]
	d.Attempts, d.Next = 1, time.Now().AddDate(1, 0, 0)
	if err := w.store.RecordAttempt(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.begin(block)
	r.await(t, 1)
}
