package install

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// maxDocument bounds what is read of a JSON document or list of checksums.
	maxDocument = 32 << 20
	// documentTimeout bounds one request for such a document.
	documentTimeout = 30 * time.Second
	// attempts is how often a request is tried where the server or the network
	// fails; the pause between grows from firstPause.
	attempts   = 3
	firstPause = 500 * time.Millisecond
)

// client is what network sources share.
type client struct {
	http  *http.Client
	token func(ctx context.Context, host string) string
	pause time.Duration
}

// defaultClient has no limit on the whole exchange, because packages may be
// large and lines slow; documents have their own.
func defaultClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = time.Minute
	return &http.Client{Transport: transport}
}

// get reads a JSON document with the credentials of a host. A 404 is errNotHere.
func (c client) get(ctx context.Context, address, host string, into any) error {
	data, err := c.text(ctx, address, host)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("the answer of %s is not the JSON expected: %w", plainURL(address), err)
	}
	return nil
}

// text reads a small file with the credentials of a host, or none where host is
// empty.
func (c client) text(ctx context.Context, address, host string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, documentTimeout)
	defer cancel()
	resp, err := c.do(ctx, address, host)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", plainURL(address), err)
	}
	if len(data) > maxDocument {
		return nil, fmt.Errorf("the answer of %s is too large", plainURL(address))
	}
	return data, nil
}

// do makes a request, again where the server fails.
func (c client) do(ctx context.Context, address, host string) (*http.Response, error) {
	token := ""
	if host != "" && c.token != nil {
		token = c.token(ctx, host)
	}
	pause := c.pause
	for attempt := 1; ; attempt++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, err
		}
		if token != "" && req.URL.Scheme == "https" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := c.http.Do(req)
		if err == nil && resp.StatusCode == http.StatusOK {
			return resp, nil
		}
		again := err != nil
		if err == nil {
			_ = resp.Body.Close()
			again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests
			err = refusal(address, host, token, resp)
		}
		if !again || attempt == attempts || ctx.Err() != nil {
			return nil, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		pause *= 2
	}
}

// refusal turns an answer that is not 200 into an error.
func refusal(address, host, token string, resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusNotFound:
		return errNotHere
	case http.StatusUnauthorized, http.StatusForbidden:
		if host != "" && token == "" {
			return fmt.Errorf("%s wants credentials (it answered %s); use \"tutti login %s\" or a credentials block", plainURL(address), resp.Status, host)
		}
		if host != "" {
			return fmt.Errorf("%s does not accept the credentials for %s (it answered %s)", plainURL(address), host, resp.Status)
		}
	}
	return fmt.Errorf("%s answered %s", plainURL(address), resp.Status)
}

// plainURL leaves out what may be secret in an address.
func plainURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the server"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// download brings a file into a temporary one, to be removed by the caller.
func (c client) download(ctx context.Context, address, host string) (string, error) {
	resp, err := c.do(ctx, address, host)
	if err != nil {
		return "", fmt.Errorf("cannot download %s: %w", plainURL(address), err)
	}
	defer resp.Body.Close()
	f, err := os.CreateTemp("", "tutti-provider-*.zip")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, resp.Body)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("cannot download %s: %w", plainURL(address), err)
	}
	return f.Name(), nil
}

// resolve makes a reference in a document absolute.
func resolve(base, ref string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	r, err := b.Parse(ref)
	if err != nil {
		return "", err
	}
	if r.Scheme != "https" && r.Scheme != "http" {
		return "", fmt.Errorf("the address %s is not one of the web", strings.TrimSpace(plainURL(r.String())))
	}
	return r.String(), nil
}
