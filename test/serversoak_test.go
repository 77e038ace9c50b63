package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
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
}

func soakSize() soak {
	if os.Getenv("TUTTI_SOAK") == "full" {
		return soak{runs: 200, listeners: 50, kills: 5, length: 2 * time.Minute}
	}
	return soak{runs: 40, listeners: 10, kills: 2, length: 6 * time.Second}
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

// TestServerSoak has many clients start runs and listen while the server is killed
// over and over: no run is lost or made twice, and whoever listens hears every
// event once, in order.
func TestServerSoak(t *testing.T) {
	size := soakSize()
	p := newServed(t)
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
		open, err := c.ListRuns(ctx, client.ListRunsQuery{Limit: 500})
		if err == nil {
			left := slices.ContainsFunc(open.Items, func(r client.Run) bool { return r.Status != "succeeded" })
			if !left && len(open.Items) == size.runs {
				break
			}
			if time.Now().After(deadline) {
				for _, r := range open.Items {
					if r.Status != "succeeded" {
						t.Errorf("run %s is %s: %s", r.ID, r.Status, r.Problem)
					}
				}
				t.Fatalf("%d runs of %d", len(open.Items), size.runs)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
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
