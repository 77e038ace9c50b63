package test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// held is what a process holds.
type held struct {
	files  map[string]int // open ones, by what they are
	memory int            // resident, in bytes
}

func (s *httpServer) held() held {
	s.t.Helper()
	h := held{files: map[string]int{}}
	folder := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	list, err := os.ReadDir(folder + "fd")
	if err != nil {
		s.t.Fatal(err)
	}
	digits := regexp.MustCompile(`[0-9]+`)
	for _, entry := range list {
		if to, err := os.Readlink(folder + "fd/" + entry.Name()); err == nil {
			h.files[digits.ReplaceAllString(to, "N")]++
		}
	}
	status, err := os.ReadFile(folder + "status")
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		s.t.Fatal(err)
	}
	h.memory = kilobytes << 10
	return h
}

func (h held) total() (n int) {
	for _, count := range h.files {
		n += count
	}
	return n
}

// use makes requests of many kinds, hears streams and goes away, and has runs made.
func (s *httpServer) use(requests, streams, started int) {
	s.t.Helper()
	work := func(count int, do func(i int)) {
		var all sync.WaitGroup
		next := make(chan int)
		for range 8 {
			all.Go(func() {
				for i := range next {
					do(i)
				}
			})
		}
		for i := range count {
			next <- i
		}
		close(next)
		all.Wait()
	}
	work(requests, func(i int) {
		switch i % 8 {
		case 0:
			s.get(nil, 200, "GET", "/runs?limit=5", nil)
		case 1:
			s.get(nil, 200, "GET", "/events?limit=5", nil)
		case 2:
			s.get(nil, 200, "GET", "/approvals", nil)
		case 3:
			s.get(nil, 200, "GET", "/stacks", nil)
		case 4:
			s.get(nil, 404, "GET", fmt.Sprintf("/runs/none-%d", i), nil)
		case 5:
			s.do("POST", "/api/v1/runs", "{")
		case 6:
			s.do("GET", "/", nil)
		case 7:
			s.do("GET", "/api/v1/session", nil, "Authorization", fmt.Sprintf("Bearer tutti_%d", i))
		}
	})
	u, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	work(streams, func(i int) {
		if i%2 == 0 { // hangs up in the middle
			c, err := net.Dial("tcp", u.Host)
			if err != nil {
				s.t.Error(err)
				return
			}
			defer c.Close()
			fmt.Fprintf(c, "GET /api/v1/events/stream HTTP/1.1\r\nHost: %s\r\n\r\n", u.Host)
			_, _ = c.Read(make([]byte, 100))
			return
		}
		ctx, cancel := context.WithCancel(s.t.Context())
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/events/stream?after=0", nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		resp, err := s.http.Do(req)
		if err != nil {
			s.t.Error(err)
			return
		}
		defer resp.Body.Close()
		_, _ = resp.Body.Read(make([]byte, 10))
	})
	work(started, func(i int) {
		var run servedRun
		s.get(&run, 201, "POST", "/runs", map[string]any{"workflow": "greet", "inputs": map[string]any{"name": fmt.Sprint(i)}}, "Idempotency-Key", fmt.Sprintf("%d-%d", time.Now().UnixNano(), i))
		if status, _ := s.follow(run.ID, nil); status != "succeeded" {
			s.t.Errorf("run %s %s", run.ID, status)
		}
	})
	s.http.CloseIdleConnections()
}

// TestServerKeepsNothing: what requests, streams and runs have taken of files, memory and
// goroutines is given back when they are over.
func TestServerKeepsNothing(t *testing.T) {
	p := newServed(t)
	p.env = append(p.env, "GOTRACEBACK=all")
	s := p.server()
	s.use(200, 40, 20) // what is made with the first stays
	before := s.held()
	s.use(2000, 400, 60)
	most := before.total() + 4 // connections to the store, of which there are as many as are needed
	after := s.held()
	for deadline := time.Now().Add(time.Minute); after.total() > most && time.Now().Before(deadline); after = s.held() {
		time.Sleep(50 * time.Millisecond) // polling another process
	}
	if after.total() > most {
		t.Errorf("%d files were open before, and now %d:\n%v", before.total(), after.total(), after.files)
	}
	// The store reads what it has into memory, a few megabytes for so many runs.
	if grown := after.memory - before.memory; grown > 64<<20 {
		t.Errorf("it takes %d MB more memory than before", grown>>20)
	}
	if err := s.cmd.Process.Signal(syscall.SIGQUIT); err != nil { // which has it list its goroutines
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	if n := strings.Count(s.log.String(), "\ngoroutine "); n == 0 || n > 80 {
		t.Errorf("%d goroutines are left:\n%s", n, s.log.String())
	}
	t.Logf("%d files and %d MB before, %d and %d MB after", before.total(), before.memory>>20, after.total(), after.memory>>20)
}
