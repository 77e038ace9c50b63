package sources

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

// The types of the events of queries.
const (
	QueryFiring   = "io.prometheus.query.firing"
	QueryResolved = "io.prometheus.query.resolved"
)

// MaxSeries is how many series the result of a query may have.
const MaxSeries = 10_000

// Query asks a Prometheus, or what speaks its HTTP API, for the value of an expression at
// intervals, and tells when a series of the result comes over a threshold and when it is
// back: each series for itself, by its labels.
//
//	quiet ──beyond Threshold──► pending ──for Hold──► firing ──beyond Clear──► quiet
//
// Where Threshold and Clear differ, what is between them changes nothing (hysteresis). A
// series that is in no result any more is quiet; no answer at all changes nothing.
type Query struct {
	Name       string // of the source; part of the ids of events
	URL        string // of the Prometheus, to which /api/v1/query is added
	Expression string // in PromQL
	Every      time.Duration
	// Below says that values under the thresholds are beyond them, not those over.
	Below     bool
	Threshold float64
	// Clear is where a firing series becomes quiet: at Threshold or on its quiet side.
	Clear float64
	// Hold is how long a series has to be beyond Threshold before it is told.
	Hold time.Duration
	// Token goes along as a bearer token; "" for none.
	Token  string
	Client *http.Client // nil for the default one
}

// Check says what is wrong with the settings; nil if nothing is.
func (q *Query) Check() error {
	at, err := url.Parse(q.URL)
	switch {
	case err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "":
		return fmt.Errorf("the address must be one of http or https")
	case at.User != nil:
		return fmt.Errorf("the address must hold no password: there is an argument for the token")
	case strings.TrimSpace(q.Expression) == "":
		return fmt.Errorf("there is no query")
	case q.Every < time.Second:
		return fmt.Errorf("the interval must be a second at least")
	case q.Hold < 0:
		return fmt.Errorf("the time to hold must not be negative")
	case math.IsNaN(q.Threshold) || math.IsNaN(q.Clear):
		return fmt.Errorf("a threshold must be a number")
	case q.Below && q.Clear < q.Threshold || !q.Below && q.Clear > q.Threshold:
		return fmt.Errorf("the value to clear at must be on the quiet side of the threshold")
	}
	return nil
}

// level is how a series stands that is not quiet.
type level struct {
	Labels map[string]string `json:"labels"`
	Since  time.Time         `json:"since"` // when it came beyond the threshold
	Firing bool              `json:"firing,omitempty"`
}

// levels are the series that are not quiet, by the digest of their labels.
type levels map[string]*level

// sample is the value of a series.
type sample struct {
	Labels map[string]string
	Value  float64
}

func seriesKey(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name, labels[name])
	}
	return digest(parts...)
}

// observe takes the result of the query at a time, and gives what is to be told. It
// reports whether there is something new to be remembered.
func (q *Query) observe(known levels, result []sample, now time.Time) (told []webhooks.Received, changed bool, err error) {
	seen := map[string]bool{}
	for _, s := range result {
		key := seriesKey(s.Labels)
		seen[key] = true
		l := known[key]
		if l == nil {
			if !q.beyond(s.Value, q.Threshold) {
				continue
			}
			l = &level{Labels: s.Labels, Since: now}
			known[key], changed = l, true
		} else if !l.Firing && !q.beyond(s.Value, q.Threshold) {
			delete(known, key)
			changed = true
			continue
		}
		switch {
		case !l.Firing && now.Sub(l.Since) >= q.Hold:
			l.Firing, changed = true, true
			told, err = q.tell(told, QueryFiring, key, l, &s.Value, now)
		case l.Firing && q.quiet(s.Value):
			delete(known, key)
			changed = true
			told, err = q.tell(told, QueryResolved, key, l, &s.Value, now)
		}
		if err != nil {
			return nil, false, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if l := known[key]; !seen[key] {
			delete(known, key)
			changed = true
			if !l.Firing {
				continue
			}
			if told, err = q.tell(told, QueryResolved, key, l, nil, now); err != nil {
				return nil, false, err
			}
		}
	}
	return told, changed, nil
}

// beyond reports whether a value is on the bad side of a threshold; NaN is on none.
func (q *Query) beyond(value, threshold float64) bool {
	if q.Below {
		return value < threshold
	}
	return value > threshold
}

// quiet reports whether a value ends a firing.
func (q *Query) quiet(value float64) bool {
	if q.Clear == q.Threshold {
		return !math.IsNaN(value) && !q.beyond(value, q.Threshold)
	}
	if q.Below {
		return value >= q.Clear
	}
	return value <= q.Clear
}

func (q *Query) tell(told []webhooks.Received, kind, key string, l *level, value *float64, now time.Time) ([]webhooks.Received, error) {
	data := map[string]any{
		"query": q.Name, "expression": q.Expression, "labels": l.Labels, "threshold": q.Threshold,
		"since": l.Since.UTC().Format(time.RFC3339Nano),
	}
	if value != nil {
		// Infinite values have no form as numbers of JSON.
		if data["value"] = any(*value); math.IsInf(*value, 0) {
			data["value"] = strconv.FormatFloat(*value, 'g', -1, 64)
		}
	}
	text, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	return append(told, webhooks.Received{Event: events.Event{
		ID:      digest(q.Name, key, l.Since.UTC().Format(time.RFC3339Nano), kind),
		Source:  "/queries/" + q.Name,
		Type:    kind,
		Subject: l.Labels["__name__"],
		Time:    now,
		Data:    text,
	}}), nil
}

// Run asks until ctx is cancelled.
func (q *Query) Run(ctx context.Context, inbox Inbox, trouble func(error)) {
	persist(ctx, trouble, func(ctx context.Context, h *health) error {
		known := levels{}
		memory, err := inbox.Memory(ctx)
		if err != nil {
			return err
		}
		if memory != nil {
			if err := json.Unmarshal(memory, &known); err != nil {
				return fmt.Errorf("what the query %s remembered cannot be read: %w", q.Name, err)
			}
		}
		for {
			result, err := q.ask(ctx)
			if err != nil {
				return err
			}
			told, changed, err := q.observe(known, result, time.Now())
			if err != nil {
				return err
			}
			if changed {
				if memory, err = json.Marshal(known); err != nil {
					return err
				}
				if err := inbox.Take(ctx, told, memory); err != nil {
					return err
				}
			}
			h.well()
			if !wait(ctx, q.Every) {
				return nil
			}
		}
	})
}

// ask evaluates the expression now: an instant query,
// https://prometheus.io/docs/prometheus/latest/querying/api/.
func (q *Query) ask(ctx context.Context) ([]sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	form := url.Values{"query": {q.Expression}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(q.URL, "/")+"/api/v1/query", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if q.Token != "" {
		request.Header.Set("Authorization", "Bearer "+q.Token)
	}
	client := q.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	const limit = 8 << 20
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if len(body) > limit {
		return nil, errTooMuch
	}
	return readResult(body, response.Status)
}

// readResult reads an answer of the API: a vector, or a scalar, which is a series
// without labels.
func readResult(body []byte, status string) ([]sample, error) {
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the answer (%s) is none of Prometheus", status)
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("the query failed (%s): %.500s", status, answer.Error)
	}
	type vector struct {
		Metric map[string]string `json:"metric"`
		Value  []json.RawMessage `json:"value"`
	}
	var list []vector
	switch answer.Data.Type {
	case "vector":
		if err := json.Unmarshal(answer.Data.Result, &list); err != nil {
			return nil, fmt.Errorf("the result is no vector: %w", err)
		}
	case "scalar":
		var value []json.RawMessage
		if err := json.Unmarshal(answer.Data.Result, &value); err != nil {
			return nil, fmt.Errorf("the result is no scalar: %w", err)
		}
		list = []vector{{Value: value}}
	default:
		return nil, fmt.Errorf("the result is a %s: the query must be for an instant vector or a scalar", answer.Data.Type)
	}
	if len(list) > MaxSeries {
		return nil, fmt.Errorf("the result has %d series; %d are the most: sum up in the query", len(list), MaxSeries)
	}
	out := make([]sample, len(list))
	for i, s := range list {
		var text string
		if len(s.Value) != 2 || json.Unmarshal(s.Value[1], &text) != nil {
			return nil, fmt.Errorf("a series of the result has no value")
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("a series of the result has the value %.40q", text)
		}
		out[i] = sample{s.Metric, value}
	}
	return out, nil
}
