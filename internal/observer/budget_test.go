package observer

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
)

// meter is a provider that notes when it is read.
type meter struct {
	providers.Provider
	mu    sync.Mutex
	reads []time.Time
	// refuse says whether a read is refused for being one too many.
	refuse func(read int) bool
	takes  func() time.Duration
}

func (m *meter) ReadResource(context.Context, providers.ReadRequest) (resp providers.ReadResponse) {
	m.mu.Lock()
	m.reads = append(m.reads, time.Now())
	n := len(m.reads)
	m.mu.Unlock()
	if m.takes != nil {
		time.Sleep(m.takes())
	}
	if m.refuse != nil && m.refuse(n) {
		resp.Diags = diag.Errorf("reading EC2 Instance", "operation error EC2: DescribeInstances, api error RequestLimitExceeded: Request limit exceeded.")
	}
	return resp
}

func (m *meter) ReadDataSource(context.Context, providers.ReadDataRequest) (resp providers.ReadDataResponse) {
	resp.Diags = m.ReadResource(context.Background(), providers.ReadRequest{}).Diags
	return resp
}

type meters struct {
	providers.Factory
	m *meter
}

func (f meters) Acquire(context.Context, addrs.Provider, bool) (providers.Provider, error) {
	return f.m, nil
}

var aws = addrs.DefaultProvider("aws")

func budgeted(t *testing.T, b *Budgets, m *meter, reads *atomic.Int64) providers.Provider {
	t.Helper()
	p, err := b.Within(meters{m: m}, reads).Acquire(t.Context(), aws, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// most is how many instants lie in the fullest stretch of time of that length.
func most(instants []time.Time, length time.Duration) (count int) {
	slices.SortFunc(instants, time.Time.Compare)
	from := 0
	for i, at := range instants {
		for at.Sub(instants[from]) >= length {
			from++
		}
		count = max(count, i-from+1)
	}
	return count
}

// TestNeverMoreReadsThanTheBudget: whoever reads, however long reads take, whenever
// they come: in no stretch of time are there more than the rate.
func TestNeverMoreReadsThanTheBudget(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			rate := projects.Rate{Count: 1 + random.IntN(50), Per: time.Duration(1+random.IntN(5000)) * time.Millisecond}
			b := &Budgets{}
			b.Set(map[addrs.Provider]projects.Rate{aws: rate})
			var mu sync.Mutex
			below := func(n int64) time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return time.Duration(random.Int64N(n))
			}
			m := &meter{takes: func() time.Duration { return below(int64(2 * rate.Per / time.Duration(rate.Count))) }}
			var reads atomic.Int64
			var all sync.WaitGroup
			for range 1 + random.IntN(12) { // several stacks, each with a process of its own
				p := budgeted(t, b, m, &reads)
				all.Go(func() {
					for range 20 {
						time.Sleep(below(int64(rate.Per)))
						p.ReadResource(t.Context(), providers.ReadRequest{})
						p.ReadDataSource(t.Context(), providers.ReadDataRequest{})
					}
				})
			}
			all.Wait()
			if n := most(m.reads, rate.Per); n > rate.Count {
				t.Errorf("seed %d: %d reads within %s, at a rate of %s", seed, n, rate.Per, rate)
			}
			if int(reads.Load()) != len(m.reads) {
				t.Errorf("%d reads were counted of %d", reads.Load(), len(m.reads))
			}
		})
	}
}

// TestBudgetIsUsed: who has enough to read is not slower than the rate.
func TestBudgetIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := &Budgets{}, &meter{}
		b.Set(map[addrs.Provider]projects.Rate{aws: {Count: 600, Per: time.Minute}})
		p := budgeted(t, b, m, new(atomic.Int64))
		begun := time.Now()
		for range 101 {
			p.ReadResource(t.Context(), providers.ReadRequest{})
		}
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("a hundred reads after the first took %s at 600 a minute", took)
		}
		other, err := b.Within(meters{m: m}, new(atomic.Int64)).Acquire(t.Context(), addrs.BuiltInProvider("terraform"), false)
		if err != nil || other != providers.Provider(m) {
			t.Error("what is built in has a budget")
		}
	})
}

// TestThrottling: a provider that refuses is read more slowly, what it refused is
// read again, and it is read as before when it has recovered.
func TestThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := &Budgets{}, &meter{refuse: func(read int) bool { return read == 2 || read == 3 }}
		p := budgeted(t, b, m, new(atomic.Int64))
		for range 2 {
			if resp := p.ReadResource(t.Context(), providers.ReadRequest{}); resp.Diags.HasErrors() {
				t.Fatalf("it was not read again: %v", resp.Diags)
			}
		}
		if n := len(m.reads); n != 4 {
			t.Fatalf("it was read %d times", n)
		}
		if rested := m.reads[2].Sub(m.reads[1]); rested < 2*time.Second {
			t.Errorf("after the first refusal it rested for %s", rested)
		}
		if rested := m.reads[3].Sub(m.reads[2]); rested < 4*time.Second {
			t.Errorf("after the second refusal it rested for %s", rested)
		}
		space := func() time.Duration {
			before := time.Now()
			p.ReadResource(t.Context(), providers.ReadRequest{})
			return time.Since(before)
		}
		if s := space(); s != 400*time.Millisecond {
			t.Errorf("a slow provider is read every %s", s)
		}
		for range 2 * faster {
			space()
		}
		if s := space(); s != 100*time.Millisecond {
			t.Errorf("a provider that has recovered is read every %s", s)
		}

		m.refuse = func(int) bool { return true }
		before := len(m.reads)
		if resp := p.ReadResource(t.Context(), providers.ReadRequest{}); !resp.Diags.HasErrors() || len(m.reads)-before != readAttempts {
			t.Errorf("one that always refuses was read %d times, and said %v", len(m.reads)-before, resp.Diags)
		}
		for range 10 {
			p.ReadResource(t.Context(), providers.ReadRequest{})
		}
		b.Set(nil) // does not forget that it is slow
		if slow := b.budget(aws).slow; slow != slowest {
			t.Errorf("it is slowed down %d times", slow)
		}
	})
}

// TestWaitingForABudgetCanBeEnded: whoever waits when a look is given up does not
// read.
func TestWaitingForABudgetCanBeEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := &Budgets{}, &meter{}
		b.Set(map[addrs.Provider]projects.Rate{aws: {Count: 1, Per: time.Hour}})
		p := budgeted(t, b, m, new(atomic.Int64))
		p.ReadResource(t.Context(), providers.ReadRequest{})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(errors.New("enough")) })
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if resp := p.ReadResource(ctx, providers.ReadRequest{}); !resp.Diags.HasErrors() {
					t.Error("it was read")
				}
			})
		}
		all.Wait()
		if len(m.reads) != 1 {
			t.Errorf("it was read %d times", len(m.reads))
		}
	})
}

func TestThrottlingIsTold(t *testing.T) {
	for text, want := range map[string]bool{
		"api error ThrottlingException: Rate exceeded":                 true,
		"StatusCode: 429, TooManyRequests":                             true,
		"googleapi: Error 403: Rate Limit Exceeded, rateLimitExceeded": true,
		"googleapi: Error 429: Quota exceeded for quota metric":        true,
		"rpc error: code = RESOURCE_EXHAUSTED":                         true,
		"api error SlowDown: Please reduce your request rate":          true,
		"api error AccessDenied: User is not authorized":               false,
		"InvalidParameterValue: port 4290 is taken":                    false,
		"couldn't find resource":                                       false,
	} {
		if got := throttled(diag.Errorf("Error", "%s", text)); got != want {
			t.Errorf("%q is throttling: %t", text, got)
		}
	}
	if throttled(diag.Warningf("Careful", "Rate exceeded once.")) {
		t.Error("a warning is throttling")
	}
}
