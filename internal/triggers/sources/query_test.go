package sources

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueryObserves(t *testing.T) {
	nan := math.NaN()
	type step struct {
		value float64 // NaN: not in the result
		told  string
	}
	for name, c := range map[string]struct {
		query Query
		steps []step // a second apart
	}{
		"over":  {Query{Threshold: 5, Clear: 5}, []step{{5, ""}, {6, "firing"}, {7, ""}, {5, "resolved"}, {6, "firing"}}},
		"under": {Query{Below: true, Threshold: 5, Clear: 5}, []step{{5, ""}, {4, "firing"}, {3, ""}, {5, "resolved"}}},
		"between the thresholds nothing changes": {Query{Threshold: 5, Clear: 2},
			[]step{{4, ""}, {6, "firing"}, {3, ""}, {6, ""}, {2, "resolved"}, {4, ""}, {6, "firing"}}},
		"under, between the thresholds": {Query{Below: true, Threshold: 5, Clear: 8},
			[]step{{6, ""}, {4, "firing"}, {7, ""}, {4, ""}, {8, "resolved"}, {7, ""}}},
		"for a while": {Query{Threshold: 5, Clear: 5, Hold: 2 * time.Second},
			[]step{{6, ""}, {6, ""}, {5, ""}, {6, ""}, {6, ""}, {6, "firing"}, {6, ""}, {1, "resolved"}}},
		"gone": {Query{Threshold: 5, Clear: 5, Hold: time.Second},
			[]step{{6, ""}, {nan, ""}, {6, ""}, {6, "firing"}, {nan, "resolved"}, {nan, ""}}},
		"infinite": {Query{Threshold: 5, Clear: 5}, []step{{math.Inf(1), "firing"}, {math.Inf(-1), "resolved"}}},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1e9, 0)
			known := levels{}
			for i, s := range c.steps {
				var result []sample
				if !math.IsNaN(s.value) {
					result = []sample{{map[string]string{"job": "a"}, s.value}}
				}
				told, changed, err := c.query.observe(known, result, now)
				if err != nil {
					t.Fatal(err)
				}
				got := ""
				for _, e := range told {
					got += strings.TrimPrefix(e.Type, "io.prometheus.query.")
				}
				if got != s.told {
					t.Errorf("step %d (%v): told %q, want %q", i, s.value, got, s.told)
				}
				if got != "" && !changed {
					t.Errorf("step %d: something was told, and nothing is to be remembered", i)
				}
				// What is remembered is all there is.
				text, err := json.Marshal(known)
				if err != nil {
					t.Fatal(err)
				}
				known = levels{}
				if err := json.Unmarshal(text, &known); err != nil {
					t.Fatal(err)
				}
				now = now.Add(time.Second)
			}
		})
	}
	t.Run("a value that is no number changes nothing", func(t *testing.T) {
		q, known := Query{Threshold: 5, Clear: 5}, levels{}
		for i, value := range []float64{nan, 6, nan, nan} {
			told, _, err := q.observe(known, []sample{{nil, value}}, time.Unix(int64(i), 0))
			if err != nil || len(told) > 0 != (i == 1) {
				t.Errorf("%d: %v, %v", i, told, err)
			}
		}
	})
}

// TestQueryAlternates draws values at random: of each series firing and resolved are told
// in turns, each with another id.
func TestQueryAlternates(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		q := Query{Threshold: 5, Clear: 5 - float64(r.IntN(4)), Hold: time.Duration(r.IntN(3)) * time.Second, Below: r.IntN(2) == 0}
		if q.Below {
			q.Clear = 10 - q.Clear
		}
		known, firing, ids := levels{}, map[string]bool{}, map[string]bool{}
		for i := range 200 {
			var result []sample
			for series := range 3 {
				if r.IntN(10) > 0 {
					result = append(result, sample{map[string]string{"n": fmt.Sprint(series)}, float64(r.IntN(11))})
				}
			}
			told, _, err := q.observe(known, result, time.Unix(int64(i), 0))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range told {
				var data struct{ Labels map[string]string }
				if err := json.Unmarshal(e.Data, &data); err != nil {
					t.Fatal(err)
				}
				n := data.Labels["n"]
				if ids[e.ID] || firing[n] == (e.Type == QueryFiring) {
					t.Fatalf("seed %d: %s of series %s, which was firing: %v", seed, e.Type, n, firing[n])
				}
				ids[e.ID], firing[n] = true, e.Type == QueryFiring
			}
		}
	}
}

func TestQueryRuns(t *testing.T) {
	// A server whose value is set, and which fails as told.
	var value, status atomic.Int64
	status.Store(200)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/prom/api/v1/query" || r.FormValue("query") != "queue > 0" || r.Header.Get("Authorization") != "Bearer let me in" {
			t.Errorf("asked for %s with %v and %v", r.URL, r.Form, r.Header)
		}
		w.WriteHeader(int(status.Load()))
		if status.Load() != 200 {
			fmt.Fprint(w, `{"status":"error","errorType":"execution","error":"too busy"}`)
			return
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"queue","a":"b"},"value":[1.5,"%d"]}]}}`, value.Load())
	}))
	defer server.Close()
	q := &Query{Name: "q", URL: server.URL + "/prom/", Expression: "queue > 0", Every: time.Second, Threshold: 5, Clear: 2, Token: "let me in"}
	if err := q.Check(); err != nil {
		t.Fatal(err)
	}
	b := newBox()
	r := start(t, q, b)
	value.Store(9)
	e := b.next(t)
	if e.Type != QueryFiring || e.Subject != "queue" || e.Source != "/queries/q" || !strings.Contains(string(e.Data), `"value":9`) {
		t.Errorf("told %+v %s", e, e.Data)
	}
	// Nothing is told twice by another process, nor because of an answer that failed.
	r.stop()
	r = start(t, q, b)
	status.Store(500)
	if err := r.wait(t, true); !strings.Contains(err.Error(), "too busy") {
		t.Errorf("trouble is %v", err)
	}
	status.Store(200)
	value.Store(1)
	r.wait(t, false)
	if e := b.next(t); e.Type != QueryResolved {
		t.Errorf("told %s", e.Type)
	}
	r.stop()
	b.quiet(t)
	// What did not get into the inbox is told again.
	b.fail, b.memory = 1, nil
	value.Store(8)
	r = start(t, q, b)
	if err := r.wait(t, true); !strings.Contains(err.Error(), "full") {
		t.Errorf("trouble is %v", err)
	}
	if e := b.next(t); e.Type != QueryFiring {
		t.Errorf("told %s", e.Type)
	}
}

func TestQueryResults(t *testing.T) {
	for body, want := range map[string]string{
		`{"status":"success","data":{"resultType":"scalar","result":[1,"2.5"]}}`:                       "",
		`{"status":"success","data":{"resultType":"vector","result":[]}}`:                              "",
		`{"status":"success","data":{"resultType":"matrix","result":[]}}`:                              "instant vector",
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1]}]}}`:     "no value",
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]}}`: `value "x"`,
		`{"status":"success","data":{"resultType":"vector","result":{}}}`:                              "no vector",
		`{"status":"error","error":"parse error"}`:                                                     "parse error",
		`<html>`: "none of Prometheus",
		`{"status":"success","data":{"resultType":"vector","result":[` + strings.Repeat(`{"metric":{},"value":[1,"1"]},`, MaxSeries) + `{"metric":{},"value":[1,"1"]}]}}`: "10001 series",
	} {
		_, err := readResult([]byte(body), "200 OK")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.100s: %v, want %q", body, err, want)
		}
	}
}

func TestQueryChecks(t *testing.T) {
	good := Query{URL: "https://prometheus.example/x", Expression: "up", Every: time.Minute, Threshold: 1, Clear: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Query){
		"http":         func(q *Query) { q.URL = "file:///etc" },
		"password":     func(q *Query) { q.URL = "http://a:b@c" },
		"no query":     func(q *Query) { q.Expression = " " },
		"a second":     func(q *Query) { q.Every = time.Millisecond },
		"negative":     func(q *Query) { q.Hold = -1 },
		"a number":     func(q *Query) { q.Clear = math.NaN() },
		"quiet side":   func(q *Query) { q.Clear = 2 },
		"quiet side o": func(q *Query) { q.Below, q.Clear = true, 0 },
	} {
		q := good
		change(&q)
		if err := q.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestPersist has pauses that grow, on a virtual clock.
func TestPersist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, attempts, told := time.Now(), 0, 0
		q := &Query{URL: "http://127.0.0.1:0", Expression: "x", Every: time.Second}
		q.Client = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			attempts++
			return nil, fmt.Errorf("attempt of %v", attempts > 0)
		})}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
		defer stop()
		q.Run(ctx, newBox(), func(error) { told++ })
		if told != 1 {
			t.Errorf("the same trouble was told %d times", told)
		}
		// 1+2+4+8+16+32 seconds, then each minute.
		if attempts < 14 || attempts > 17 {
			t.Errorf("%d attempts in %v", attempts, time.Since(began))
		}
	})
}

// roundTrip is a transport that is a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPrometheus(t *testing.T) {
	path, at, dir := program(t, "usr/bin/prometheus"), address(t), t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("scrape_configs:\n- job_name: itself\n  scrape_interval: 100ms\n  scrape_timeout: 100ms\n  static_configs: [{targets: [\""+at+"\"]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, at, path, "--config.file", config, "--web.listen-address", at, "--storage.tsdb.path", filepath.Join(dir, "data"), "--storage.tsdb.retention.time", "1d")
	b := newBox()
	q := &Query{Name: "up", URL: "http://" + at, Expression: `up{job="itself"}`, Every: time.Second, Threshold: 0.5, Clear: 0.5}
	start(t, q, b)
	e := b.next(t)
	var data struct {
		Labels map[string]string
		Value  float64
	}
	if err := json.Unmarshal(e.Data, &data); err != nil || e.Type != QueryFiring || data.Value != 1 || data.Labels["instance"] != at {
		t.Errorf("%s %s, %v", e.Type, e.Data, err)
	}
	wrong := &Query{Name: "wrong", URL: "http://" + at, Expression: `sum(`, Every: time.Second}
	if err := start(t, wrong, newBox()).wait(t, true); !strings.Contains(err.Error(), "parse error") {
		t.Errorf("trouble is %v", err)
	}
}
