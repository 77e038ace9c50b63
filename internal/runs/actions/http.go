package actions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/egress"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

const (
	maxBody      = 10 << 20
	shownBody    = 1 << 10 // of a body, in an error
	maxRequests  = 512     // at once; the others wait
	maxPerHost   = 64
	maxRedirects = 10

	requestFailed = "Tutti.RequestFailed"
)

// client is what all requests share, so that connections are used again and do
// not use up what the machine has, however many steps there are.
type client struct {
	transport *http.Transport
	slots     chan struct{}
}

// clients are those of this process, by their [*egress.Guard]: what one lets pass
// must not be used again by another.
var clients sync.Map

func clientOf(guard *egress.Guard) *client {
	if have, ok := clients.Load(guard); ok {
		return have.(*client)
	}
	made, _ := clients.LoadOrStore(guard, newClient(guard))
	return made.(*client)
}

func newClient(guard *egress.Guard) *client {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Control: guard.Control}
	proxy := http.ProxyFromEnvironment
	if guard != nil {
		proxy = nil // it would connect to what is not seen here
	}
	return &client{
		transport: &http.Transport{
			Proxy: proxy, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
			MaxConnsPerHost: maxPerHost, MaxIdleConnsPerHost: maxPerHost / 4, MaxIdleConns: maxRequests / 4, IdleConnTimeout: 90 * time.Second,
			TLSHandshakeTimeout: 30 * time.Second, ExpectContinueTimeout: time.Second,
		},
		slots: make(chan struct{}, maxRequests),
	}
}

// HTTP sends a request, with the idempotency key in the header Idempotency-Key
// unless the step sets one. It waits for the answer as long as the context lasts.
// Redirects are followed, unless one is expected; to another host neither
// credentials nor any header with a secret go along. When the run is being
// cancelled, a request that only reads is given up, others are let finish. Requests
// that are guarded go to their servers directly, whatever proxies the environment
// names.
func HTTP(ctx context.Context, c Call) (cty.Value, error) { return clientOf(c.Egress).do(ctx, &c) }

// request is one request, as the arguments say.
type request struct {
	*http.Request
	mask     *Mask
	expected []int // nil for everything below 400
	secrets  []string
}

func (cl *client) do(ctx context.Context, c *Call) (cty.Value, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := newRequest(ctx, c)
	if err != nil {
		return cty.NilVal, err
	}
	if err := cl.enter(ctx, c, r); err != nil {
		return cty.NilVal, err
	}
	defer func() { <-cl.slots }()
	if r.reads() {
		finished := make(chan struct{})
		defer close(finished)
		go func() {
			select {
			case <-c.Asked:
				cancel(errors.New("the run is being cancelled"))
			case <-finished:
			}
		}()
	}
	log := c.log("http", r.mask)
	began := time.Now()
	resp, body, err := cl.send(r, c.beat)
	took := time.Since(began).Round(time.Millisecond)
	how := ""
	if resp != nil {
		how = fmt.Sprint(resp.StatusCode)
	}
	if err != nil {
		how = strings.TrimSpace(how + " " + err.Error())
	}
	_, _ = fmt.Fprintf(log, "%s %s %s\n", r.shown(), how, took)
	_ = log.Flush()
	if err != nil {
		return cty.NilVal, r.failure(ctx, c, resp, err)
	}
	if !r.expects(resp.StatusCode) {
		return cty.NilVal, r.unexpected(resp, body)
	}
	if len(body) > maxBody {
		return cty.NilVal, Errorf("Tutti.ResponseTooLarge", "%s was answered with more than %d MiB.", r.shown(), maxBody>>20)
	}
	return outputs(resp, body), nil
}

// enter waits until there are few enough requests.
func (cl *client) enter(ctx context.Context, c *Call, r *request) error {
	if !isClosed(c.Asked) && ctx.Err() == nil {
		select {
		case cl.slots <- struct{}{}:
			return nil
		case <-c.Asked:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s was not sent: %w", r.shown(), context.Cause(ctx))
	}
	return Errorf(requestFailed, "%s was not sent, as the run is being cancelled.", r.shown())
}

// send returns the answer and at most a byte more of it than is allowed.
func (cl *client) send(r *request, beat func()) (*http.Response, []byte, error) {
	sender := http.Client{Transport: cl.transport, CheckRedirect: r.redirect}
	resp, err := sender.Do(r.Request)
	if err != nil {
		// Its text has the whole URL in it.
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	beat()
	var body bytes.Buffer
	_, err = io.Copy(&beating{&body, beat}, io.LimitReader(resp.Body, maxBody+1))
	return resp, body.Bytes(), err
}

type beating struct {
	io.Writer
	beat func()
}

func (b *beating) Write(p []byte) (int, error) {
	b.beat()
	return b.Writer.Write(p)
}

func newRequest(ctx context.Context, c *Call) (*request, error) {
	a := c.Arguments
	mask := NewMask(c.Secrets)
	method := strings.ToUpper(text(a, "method"))
	if method == "" {
		method = http.MethodGet
	}
	address, err := url.Parse(text(a, "url"))
	switch {
	case err != nil:
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err
		}
		return nil, invalid("The url is none: %s.", mask.Text(err.Error()))
	case address.Scheme != "http" && address.Scheme != "https" || address.Host == "":
		return nil, invalid("The url %s is not one of http:// or https:// with a host.", mask.Text(shownURL(address)))
	}
	body, contentType, err := bodyOf(a.GetAttr("body"))
	if err != nil {
		return nil, err
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, address.String(), reader)
	if err != nil {
		return nil, invalid("This is no request: %s.", mask.Text(err.Error()))
	}
	req.Header.Set("User-Agent", "tutti")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.Key != "" {
		req.Header.Set("Idempotency-Key", c.Key)
	}
	for name, value := range mapping(a, "headers") {
		if strings.EqualFold(name, "Host") {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	expected, err := statusesOf(a.GetAttr("expect_status"))
	if err != nil {
		return nil, err
	}
	return &request{Request: req, mask: mask, expected: expected, secrets: c.Secrets}, nil
}

// bodyOf is what is sent: text as it is, anything else as JSON.
func bodyOf(v cty.Value) (body []byte, contentType string, err error) {
	switch {
	case v.IsNull():
		return nil, "", nil
	case v.Type() == cty.String:
		return []byte(v.AsString()), "text/plain; charset=utf-8", nil
	}
	if body, err = ctyjson.Marshal(v, v.Type()); err != nil {
		return nil, "", invalid("The body cannot be written as JSON: %s.", err)
	}
	return body, "application/json", nil
}

func statusesOf(v cty.Value) ([]int, error) {
	if v.IsNull() {
		return nil, nil
	}
	numbers := []cty.Value{v}
	if ty := v.Type(); ty.IsListType() || ty.IsTupleType() || ty.IsSetType() {
		if numbers = v.AsValueSlice(); len(numbers) == 0 {
			return nil, invalid("expect_status is an empty list.")
		}
	}
	var out []int
	for _, n := range numbers {
		if n.IsNull() || n.Type() != cty.Number {
			return nil, invalid("expect_status is not a number or a list of numbers.")
		}
		status, accuracy := n.AsBigFloat().Int64()
		if accuracy != 0 || status < 100 || status > 599 {
			return nil, invalid("expect_status %s is no status of HTTP.", n.AsBigFloat().Text('f', -1))
		}
		out = append(out, int(status))
	}
	return out, nil
}

func (r *request) expects(status int) bool {
	if r.expected == nil {
		return status < 400
	}
	return slices.Contains(r.expected, status)
}

func (r *request) reads() bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
}

// redirect decides on a redirect. Package net/http copies the headers of the first
// request and leaves out credentials that would go to another domain; it does
// send them to subdomains and other ports, and Idempotency-Key everywhere.
func (r *request) redirect(next *http.Request, via []*http.Request) error {
	if slices.ContainsFunc(r.expected, func(status int) bool { return status >= 300 && status < 400 }) {
		return http.ErrUseLastResponse
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	if next.URL.Scheme != "http" && next.URL.Scheme != "https" {
		return fmt.Errorf("redirected to a URL of %q, neither http nor https", next.URL.Scheme)
	}
	next.Header.Del("Referer") // a query may have secrets in it
	// What a stranger says about where to go on is not trusted any more.
	for _, hop := range append(slices.Clone(via[1:]), next) {
		if !sameHost(via[0].URL, hop.URL) {
			r.strip(next)
			break
		}
	}
	return nil
}

func (r *request) strip(next *http.Request) {
	for name, values := range next.Header {
		switch name {
		case "Authorization", "Proxy-Authorization", "Cookie", "Cookie2", "Idempotency-Key":
			delete(next.Header, name)
			continue
		}
		for _, v := range values {
			if r.mask.Text(v) != v {
				delete(next.Header, name)
			}
		}
	}
	if next.Host == r.Host {
		next.Host = ""
	}
}

// sameHost tells whether b is where a is, or the same over TLS.
func sameHost(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	if a.Scheme == b.Scheme {
		return port(a) == port(b)
	}
	return a.Scheme == "http" && port(a) == "80" && b.Scheme == "https" && port(b) == "443"
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// shown is the request in logs and errors.
func (r *request) shown() string { return r.mask.Text(r.Method + " " + shownURL(r.URL)) }

// telling are names of parameters whose values are hidden, known as secrets or not.
var telling = regexp.MustCompile(`(?i)token|secret|passw|passphrase|credential|signature|api[-_.]?key|access[-_.]?key|private[-_.]?key|session|auth|^(key|sig|pwd|code|jwt)$`)

// shownURL is a URL without its user and without what may be secret in its query.
func shownURL(u *url.URL) string {
	out := *u
	out.User, out.Fragment, out.RawFragment = nil, "", ""
	parts := strings.Split(out.RawQuery, "&")
	for i, part := range parts {
		raw, _, found := strings.Cut(part, "=")
		name, err := url.QueryUnescape(raw)
		if found && (err != nil || telling.MatchString(name)) {
			parts[i] = raw + "=" + Hidden
		}
	}
	out.RawQuery = strings.Join(parts, "&")
	return out.String()
}

// failure is the error of a request that was not answered, or not to the end.
func (r *request) failure(ctx context.Context, c *Call, resp *http.Response, err error) error {
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); errors.Is(cause, ctx.Err()) || !isClosed(c.Asked) {
			return fmt.Errorf("%s: %w", r.shown(), cause)
		}
		return Errorf(requestFailed, "%s was given up, as the run is being cancelled.", r.shown())
	}
	answered := ""
	if resp != nil {
		answered = " was answered " + resp.Status + ", but"
	}
	return Errorf(requestFailed, "%s%s failed: %s.", r.shown(), answered, r.mask.Text(err.Error()))
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// unexpected is the error of a status that is not expected.
func (r *request) unexpected(resp *http.Response, body []byte) error {
	// Hidden first and cut then: what is left of a secret must not be seen.
	shown := strings.TrimSpace(strings.ToValidUTF8(r.mask.Text(string(body)), "\uFFFD"))
	if len(shown) > shownBody {
		shown = strings.ToValidUTF8(shown[:shownBody], "") + " …"
	}
	if shown != "" {
		shown = ": " + shown
	}
	return Errorf(fmt.Sprintf("Tutti.StatusCode.%d", resp.StatusCode), "%s was answered %s%s", r.shown(), r.mask.Text(resp.Status), shown)
}

func outputs(resp *http.Response, body []byte) cty.Value {
	headers := map[string]cty.Value{}
	for name, values := range resp.Header {
		headers[strings.ToLower(name)] = value(strings.Join(values, ", "))
	}
	all := cty.MapValEmpty(cty.String)
	if len(headers) > 0 {
		all = cty.MapVal(headers)
	}
	decoded, err := decode(body)
	if err != nil {
		decoded = cty.NullVal(cty.DynamicPseudoType)
	}
	return cty.ObjectVal(map[string]cty.Value{
		"status": cty.NumberIntVal(int64(resp.StatusCode)), "headers": all, "body": value(string(body)), "json": decoded,
	})
}
