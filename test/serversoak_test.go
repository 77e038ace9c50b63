package test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/client"
)

// soak says how much is asked of a server: little with every test, and as much as
// it must bear with TUTTI_SOAK=full.
type soak struct {
	runs, listeners, kills int
	length                 time.Duration
	events                 int // a second
}

func soakSize() soak {
	if os.Getenv("TUTTI_SOAK") == "full" {
		return soak{runs: 200, listeners: 50, kills: 5, length: 2 * time.Minute, events: 500}
	}
	return soak{runs: 40, listeners: 10, kills: 2, length: 6 * time.Second, events: 100}
}

// soaked is a server that is killed and started again at the same place.
type soaked struct {
	p       *project
	address string
	mu      sync.Mutex
	cmd     *exec.Cmd
}

func (s *soaked) start() {
	s.p.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cmd = s.p.command("server", "-listen="+s.address)
	if err := s.cmd.Start(); err != nil {
		s.p.t.Fatal(err)
	}
}

func (s *soaked) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// soakedEvents has one trigger that fires for each event of some, and one for all of
// them, a hundred at a time.
const soakedEvents = `
secret "github" {
  file {
    path = "github.secret"
  }
}
webhook "github" {
  kind   = "github"
  secret = secret.github
}
trigger "some" {
  on     = { type = ["com.github.push"], data = { some = true } }
  run    = workflow.greet
  inputs = { name = event.data.ref }
}
trigger "hundred" {
  on = { type = ["com.github.push"] }
  window {
    count  = 100
    within = "1h"
  }
  run    = workflow.greet
  inputs = { name = "hundred" }
}
`

// flood are signed events that come at a rate, whether the server lives or not.
type flood struct {
	url  string
	sent []int // for each event, 1 where it is one that fires by itself
	took []time.Duration
	mu   sync.Mutex
}

// everyFiftieth events fire by themselves.
const everyFiftieth = 50

// send sends all events, each until it is accepted.
func (f *flood) send(t *testing.T, size soak, began time.Time) {
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 100, MaxConnsPerHost: 100}}
	var all sync.WaitGroup
	slots := make(chan struct{}, 100)
	for i := range f.sent {
		if i%everyFiftieth == 0 {
			f.sent[i] = 1
		}
		time.Sleep(time.Until(began.Add(size.length * time.Duration(i) / time.Duration(len(f.sent)))))
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			f.one(t, c, i, began.Add(size.length+time.Minute))
		})
	}
	all.Wait()
}

func (f *flood) one(t *testing.T, c *http.Client, i int, until time.Time) {
	body := fmt.Sprintf(`{"ref":"r%d","some":%t,"repository":{"full_name":"a/b","html_url":"https://github.com/a/b"}}`, i, f.sent[i] == 1)
	mac := hmac.New(sha256.New, []byte(githubSecret))
	mac.Write([]byte(body))
	for time.Now().Before(until) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/hooks/github", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		for name, value := range map[string]string{
			"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": fmt.Sprint("d", i), "X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil)),
		} {
			req.Header.Set(name, value)
		}
		at := time.Now()
		resp, err := c.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusAccepted {
				f.mu.Lock()
				f.took = append(f.took, time.Since(at))
				f.mu.Unlock()
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("event %d is never accepted", i)
}

// wantRuns is how many runs the events start.
func (f *flood) wantRuns() int {
	runs := len(f.sent) / 100
	for _, n := range f.sent {
		runs += n
	}
	return runs
}

// check looks whether each event is in the feed once, and counted once.
func (f *flood) check(ctx context.Context, t *testing.T, c *client.Client) {
	seen := map[string]bool{}
	for after := int64(0); ; {
		list, err := c.ListEvents(ctx, client.ListEventsQuery{After: after, Limit: 1000, Type: "com.github.push"})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			if after = e.Sequence; seen[e.ID] {
				t.Errorf("event %s is there twice", e.ID)
			}
			seen[e.ID] = true
		}
		if list.Next == "" {
			break
		}
	}
	if len(seen) != len(f.sent) {
		t.Errorf("%d events were accepted, %d are in the feed", len(f.sent), len(seen))
	}
	slices.Sort(f.took)
	t.Logf("%d events accepted: median %s, p99 %s", len(f.took), f.took[len(f.took)/2], f.took[len(f.took)*99/100])
}

// allRuns are all runs there are.
func allRuns(ctx context.Context, c *client.Client) ([]client.Run, error) {
	var out []client.Run
	query := client.ListRunsQuery{Limit: 500}
	for {
		list, err := c.ListRuns(ctx, query)
		if err != nil {
			return nil, err
		}
		out = append(out, list.Items...)
		if query.Cursor = list.Next; list.Next == "" {
			return out, nil
		}
	}
}

// TestServerSoak has many clients start runs and listen while the server is killed
// over and over: no run is lost or made twice, and whoever listens hears every
// event once, in order.
func TestServerSoak(t *testing.T) {
	size := soakSize()
	p := newServed(t)
	p.write("github.secret", githubSecret)
	p.write("events.tutti.hcl", soakedEvents)
	first := p.server()
	u, err := url.Parse(first.url)
	if err != nil {
		t.Fatal(err)
	}
	_ = first.cmd.Process.Kill()
	_ = first.cmd.Wait()
	s := &soaked{p: p, address: u.Host}
	s.start()
	defer s.kill()
	c := &client.Client{URL: first.url}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()

	var listening sync.WaitGroup
	heard := make([]int64, size.listeners)
	for i := range size.listeners {
		listening.Go(func() {
			_ = c.StreamEvents(ctx, client.StreamEventsQuery{}, client.StreamEventsHearer{Event: func(e client.Event) error {
				if e.Sequence != atomic.LoadInt64(&heard[i])+1 {
					t.Errorf("listener %d hears event %d after event %d", i, e.Sequence, heard[i])
					return errors.New("out of order")
				}
				atomic.StoreInt64(&heard[i], e.Sequence)
				return nil
			}})
		})
	}
	var starting sync.WaitGroup
	ids := make([]string, size.runs)
	began := time.Now()
	for i := range size.runs {
		starting.Go(func() {
			// Half of them at once, the others while the server comes and goes.
			if i%2 == 1 {
				time.Sleep(size.length * time.Duration(i) / time.Duration(size.runs))
			}
			body := client.StartRequest{Workflow: "greet", Inputs: map[string]json.RawMessage{"name": json.RawMessage(fmt.Sprintf("%q", fmt.Sprint("n", i)))}}
			for ids[i] == "" && time.Since(began) < size.length+time.Minute {
				run, err := c.StartRun(client.WithKey(ctx, fmt.Sprint("soak-", i)), body)
				if err == nil {
					ids[i] = run.ID
				}
			}
		})
	}
	var sending sync.WaitGroup
	flood := &flood{url: first.url, sent: make([]int, size.events*int(size.length/time.Second))}
	sending.Go(func() { flood.send(t, size, began) })
	var took []time.Duration
	measured := make(chan struct{})
	go func() {
		defer close(measured)
		for ctx.Err() == nil {
			at := time.Now()
			if _, err := c.ListRuns(ctx, client.ListRunsQuery{Limit: 20}); err == nil {
				took = append(took, time.Since(at))
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	for range size.kills {
		time.Sleep(size.length / time.Duration(size.kills+1))
		s.kill()
		s.start()
	}
	starting.Wait()
	sending.Wait()
	events := flood.wantRuns()
	seen := map[string]bool{}
	for i, id := range ids {
		if id == "" || seen[id] {
			t.Errorf("request %d got the run %q", i, id)
		}
		seen[id] = true
	}
	// All come to their end.
	deadline := time.Now().Add(2 * time.Minute)
	for {
		list, err := allRuns(ctx, c)
		if err == nil {
			left := slices.ContainsFunc(list, func(r client.Run) bool { return r.Status != "succeeded" })
			if !left && len(list) == size.runs+events {
				break
			}
			if time.Now().After(deadline) {
				for _, r := range list {
					if r.Status != "succeeded" {
						t.Errorf("run %s is %s: %s", r.ID, r.Status, r.Problem)
					}
				}
				t.Fatalf("%d runs of %d", len(list), size.runs+events)
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	flood.check(ctx, t, c)
	session, err := c.GetSession(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range heard {
		for atomic.LoadInt64(&heard[i]) < session.Sequence {
			if time.Now().After(deadline) {
				t.Fatalf("listener %d has heard %d events of %d", i, atomic.LoadInt64(&heard[i]), session.Sequence)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	stop()
	listening.Wait()
	<-measured
	slices.Sort(took)
	if len(took) > 0 {
		t.Logf("%d requests answered: median %s, p99 %s", len(took), took[len(took)/2], took[len(took)*99/100])
	}
}
