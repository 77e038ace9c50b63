// Package client is a client of a Tutti server. Its types and methods are made
// from the description of the server's API (see api.go); what they have in common
// is here.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Client talks to one server. It is safe for concurrent use.
type Client struct {
	// URL is where the server is: "https://tutti.example.com".
	URL string
	// Token is what the client comes with; empty for none.
	Token string
	// HTTP sends requests; nil means one that gives up after a minute without an
	// answer.
	HTTP *http.Client
}

// Problem is an answer that says what is wrong (RFC 9457).
type Problem struct {
	Status int             `json:"status"`
	Title  string          `json:"title"`
	Detail string          `json:"detail"`
	Errors []ProblemDetail `json:"errors"`
}

// ProblemDetail is one thing that is wrong, and where.
type ProblemDetail struct {
	Message  string `json:"message"`
	Location string `json:"location"`
}

// Error implements error.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, d := range p.Errors {
		text += "\n" + d.Message
		if d.Location != "" {
			text += " (" + d.Location + ")"
		}
	}
	return text
}

// IsNotFound reports whether the server says that there is no such thing.
func IsNotFound(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == http.StatusNotFound
}

var defaultHTTP = &http.Client{Transport: func() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = time.Minute
	return t
}()}

// tries is how often a request is sent that was not answered. That is safe:
// reading changes nothing, and what writes is known by its key.
const tries = 3

type keyOfRequest struct{}

// WithKey has a request that writes be known by a key of the caller's own: one
// with the same key within a day is not done again, but gets the same answer, also
// from a process that has forgotten the first. Without, every call has a key of
// its own.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOfRequest{}, key)
}

// archive is a body that is sent as it is, compressed already, and not as JSON.
type archive []byte

// do sends a request and reads the answer into a value, unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body, into any) error {
	sent, whole := body.(archive)
	if body != nil && !whole {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return err
		}
	}
	key := ""
	if method != http.MethodGet && !whole { // the same archive may be sent again
		if key, _ = ctx.Value(keyOfRequest{}).(string); key == "" {
			key = uuid.NewString()
		}
	}
	for try := 1; ; try++ {
		resp, err := c.send(ctx, method, path, query, sent, key, "application/json")
		if err != nil {
			var p *Problem
			if errors.As(err, &p) || try == tries || ctx.Err() != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Duration(try) * 200 * time.Millisecond):
			}
			continue
		}
		defer resp.Body.Close()
		if into == nil {
			_, err := io.Copy(io.Discard, resp.Body)
			return err
		}
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			return fmt.Errorf("cannot read the answer to %s %s: %w", method, path, err)
		}
		return nil
	}
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, body []byte, key, accept string) (*http.Response, error) {
	address := strings.TrimSuffix(c.URL, "/") + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	switch {
	case bytes.HasPrefix(body, []byte{0x1f, 0x8b}): // which JSON never begins with
		req.Header.Set("Content-Type", "application/gzip")
	case body != nil:
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	h := c.HTTP
	if h == nil {
		h = defaultHTTP
	}
	resp, err := h.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	p := &Problem{Status: resp.StatusCode, Title: resp.Status}
	_ = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(p) // else the status has to do
	p.Status = resp.StatusCode
	return nil, p
}

// read begins to read an answer that is no JSON document.
func (c *Client) read(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	resp, err := c.send(ctx, http.MethodGet, path, query, nil, "", "*/*")
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// longestMessage bounds one message of a stream.
const longestMessage = 64 << 20

// stream reads server-sent events and calls hear with each, until the stream ends,
// hear returns an error, or ctx ends. A stream that ends without saying so is taken
// up again behind what was heard last.
func (c *Client) stream(ctx context.Context, path string, query url.Values, hear func(event string, data []byte) error) error {
	last, wait := "", 200*time.Millisecond
	for {
		if last != "" {
			query = cloneValues(query)
			query.Set("after", last)
		}
		resp, err := c.send(ctx, http.MethodGet, path, query, nil, "", "text/event-stream")
		if err == nil {
			wait = 200 * time.Millisecond
			var over bool
			over, err = readStream(resp, &last, hear)
			_ = resp.Body.Close()
			if err != nil || over {
				return err
			}
		} else {
			var p *Problem
			if errors.As(err, &p) && p.Status < 500 {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
			wait = min(2*wait, 5*time.Second)
		}
	}
}

// readStream returns whether the stream is over, and the error of hear.
func readStream(resp *http.Response, last *string, hear func(event string, data []byte) error) (over bool, err error) {
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, longestMessage)
	var event, id string
	var data []byte
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			event = value
		case "id":
			id = value
		case "data":
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, value...)
		case "":
			if data != nil {
				if err := hear(event, data); err != nil {
					return true, err
				}
				over = over || event == "end"
				if id != "" {
					*last = id
				}
			}
			event, id, data = "", "", nil
		}
	}
	return over, nil
}

func cloneValues(v url.Values) url.Values {
	out := url.Values{}
	for name, list := range v {
		out[name] = list
	}
	return out
}
