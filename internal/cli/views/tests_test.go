package views

import (
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/tests"
)

func TestLongPathsAreCutUnlessAskedFor(t *testing.T) {
	trace := &tests.Trace{End: "The run succeeded after 1m."}
	for i := range 100 {
		trace.Lines = append(trace.Lines, tests.TraceLine{At: time.Duration(i) * time.Second, Step: "s", Action: "exec", Attempt: 1})
	}
	cut := traceText(trace, false)
	if n := strings.Count(cut, "\n"); n != 42 || !strings.Contains(cut, "... 60 more ...") || !strings.Contains(cut, " 1m39s  s") {
		t.Errorf("%d lines:\n%s", n, cut)
	}
	if n := strings.Count(traceText(trace, true), "\n"); n != 101 {
		t.Errorf("%d lines where all were asked for", n)
	}
}

func TestLapses(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 90 * time.Second: "1m30s", 2 * time.Hour: "2h", 30 * 24 * time.Hour: "30d", 26*time.Hour + time.Minute: "1d2h1m",
		4498765432 * time.Nanosecond: "4.499s", 600 * time.Second: "10m", 20 * time.Hour: "20h",
	} {
		if got := tests.Lapse(d); got != want {
			t.Errorf("%d is %s, not %s", d, got, want)
		}
	}
}
