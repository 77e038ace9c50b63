package modules

import (
	"context"
	"crypto/md5"  //nolint:gosec // a checksum that people may still publish
	"crypto/sha1" //nolint:gosec // likewise
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/net/html"
)

const (
	// maxHops bounds how often one address may point to another.
	maxHops = 10
	// maxDocument bounds what is read of a page or JSON document.
	maxDocument = 16 << 20
)

// client asks servers, again where they are only briefly unable to answer.
type client struct {
	http    *http.Client
	environ []string
}

func newClient(in *Installer) client {
	c := client{http: in.HTTP, environ: in.Environ}
	if c.http == nil {
		c.http = &http.Client{Timeout: 10 * time.Minute}
	}
	if c.environ == nil {
		c.environ = os.Environ()
	}
	return c
}

// get asks for a document; the token goes only over encrypted connections. Answers other than 2xx are errors; the caller closes
// the body.
func (c client) get(ctx context.Context, address, token string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("this is not a valid address")
	}
	switch {
	case token != "" && req.URL.Scheme == "https":
		req.Header.Set("Authorization", "Bearer "+token)
	case req.URL.User == nil:
		if login, password, ok := netrcLogin(c.environ, req.URL.Hostname()); ok {
			req.SetBasicAuth(login, password)
		}
	}
	var resp *http.Response
	for attempt := 0; ; attempt++ {
		resp, err = c.http.Do(req)
		if attempt == 2 || ctx.Err() != nil || err == nil && resp.StatusCode < 500 {
			break
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		timer := time.NewTimer(time.Duration(attempt+1) * 300 * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	if err != nil {
		// The error of the client names the address, which may hold secrets.
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err
		}
		return nil, fmt.Errorf("%s cannot be reached: %w", req.URL.Host, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		_ = resp.Body.Close()
		return nil, statusError{req.URL.Host, resp.StatusCode}
	}
	return resp, nil
}

// statusError is an answer that is none.
type statusError struct {
	host string
	code int
}

func (e statusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", e.host, e.code, http.StatusText(e.code))
}

// http takes an archive, or asks a page where the module is.
func (f *fetcher) http(ctx context.Context, address *url.URL, into string) (prefix string, err error) {
	query := address.Query()
	format, checksum := archiveFormat(address.Path, query), query.Get("checksum")
	if query.Get("archive") == "false" {
		return "", fmt.Errorf("a module must be in an archive, and archive=false says that this is none")
	}
	plain := *address
	// Only what is ours is taken out: signed addresses must stay as they are.
	plain.RawQuery = withoutParameters(address.RawQuery, "archive", "checksum", "filename")
	if format == "" {
		return f.page(ctx, &plain, into)
	}
	c := newClient(f.in)
	resp, err := c.get(ctx, plain.String(), "")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	name := filepath.Join(f.work, "archive")
	if err := save(name, resp.Body); err != nil {
		return "", err
	}
	if path, ok := strings.CutPrefix(checksum, "file:"); ok {
		if checksum, err = f.checksumFrom(ctx, path, address); err != nil {
			return "", err
		}
	}
	if err := checkFile(name, checksum); err != nil {
		return "", err
	}
	err = unpack(name, format, into)
	_ = os.Remove(name)
	return "", err
}

func save(name string, content io.Reader) error {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, content)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("the download broke off: %w", err)
	}
	return nil
}

// withoutParameters takes parameters out of a query and leaves the rest as it
// was written.
func withoutParameters(raw string, names ...string) string {
	var kept []string
	for _, part := range strings.Split(raw, "&") {
		name, _, _ := strings.Cut(part, "=")
		drop := part == ""
		for _, n := range names {
			drop = drop || n == name
		}
		if !drop {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&")
}

// page asks an address that is no archive where the module is: by a header, or
// by a meta element of a HTML page.
func (f *fetcher) page(ctx context.Context, address *url.URL, into string) (string, error) {
	ask := *address
	if ask.RawQuery != "" {
		ask.RawQuery += "&"
	}
	ask.RawQuery += "terraform-get=1"
	resp, err := newClient(f.in).get(ctx, ask.String(), "")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	where := resp.Header.Get("X-Terraform-Get")
	if where == "" {
		if where = metaLocation(io.LimitReader(resp.Body, maxDocument)); where == "" {
			return "", fmt.Errorf("the address is no archive of a known form (%s), and the answer does not say where one is. If it is an archive, add ?archive= with its form; if it is a Git repository, put git:: in front", knownFormats)
		}
	}
	s, err := parseLocation(where, resp.Request.URL)
	if err != nil {
		return "", err
	}
	if f.hops++; f.hops > maxHops {
		return "", fmt.Errorf("one address points to another more than %d times", maxHops)
	}
	inner, err := f.fetch(ctx, s, into)
	return joinSubdirs(inner, s.Subdir), err
}

// parseLocation reads where a server says that a module is. It may be relative
// to the server's address, and never a file of this machine.
func parseLocation(where string, from *url.URL) (source, error) {
	if !strings.Contains(where, "::") && !strings.Contains(where, "://") &&
		(strings.HasPrefix(where, "/") || strings.HasPrefix(where, "./") || strings.HasPrefix(where, "../")) {
		main, subdir, err := splitSubdir(where)
		if err != nil {
			return source{}, err
		}
		ref, err := from.Parse(main)
		if err != nil {
			return source{}, fmt.Errorf("%s answered with a location that is not valid", from.Host)
		}
		where = ref.String()
		if subdir != "" {
			where = (source{Package: where, Subdir: subdir}).String()
		}
	}
	s, err := parseRemote(where)
	if err != nil {
		return s, fmt.Errorf("%s says that the module is elsewhere, but %w", from.Host, err)
	}
	if s.Kind == fileSource || s.Address.Scheme == "file" {
		return s, fmt.Errorf("%s says that the module is a file on this machine, which a server must not", from.Host)
	}
	return s, nil
}

// metaLocation finds <meta name="terraform-get" content="…"> in a page.
func metaLocation(page io.Reader) string {
	tokens := html.NewTokenizer(page)
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return ""
		case html.StartTagToken, html.SelfClosingTagToken:
			token := tokens.Token()
			if token.Data == "body" {
				return ""
			}
			attributes := map[string]string{}
			for _, a := range token.Attr {
				attributes[a.Key] = a.Val
			}
			if token.Data == "meta" && attributes["name"] == "terraform-get" {
				return attributes["content"]
			}
		}
	}
}

// checksumFrom reads a published list of checksums for the file downloaded.
func (f *fetcher) checksumFrom(ctx context.Context, list string, archive *url.URL) (string, error) {
	address, err := archive.Parse(list)
	if err != nil || address.Scheme != "https" && address.Scheme != "http" {
		return "", fmt.Errorf("checksum=file: needs the address of a list of checksums")
	}
	resp, err := newClient(f.in).get(ctx, address.String(), "")
	if err != nil {
		return "", fmt.Errorf("cannot get the list of checksums: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return "", fmt.Errorf("cannot get the list of checksums: %w", err)
	}
	wanted := path.Base(archive.Path)
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1:
			return fields[0], nil
		case len(fields) == 2 && path.Base(strings.TrimPrefix(fields[1], "*")) == wanted:
			return fields[0], nil
		}
	}
	return "", fmt.Errorf("the list of checksums has none for %s", wanted)
}

// checkFile compares a file with a checksum, "sha256:…" or only the digits. An
// empty one is not compared.
func checkFile(name, checksum string) error {
	if checksum == "" {
		return nil
	}
	kind, digits, found := strings.Cut(checksum, ":")
	if !found {
		kind, digits = map[int]string{32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}[len(checksum)], checksum
	}
	makers := map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}
	maker := makers[kind]
	want, err := hex.DecodeString(digits)
	if maker == nil || err != nil {
		return fmt.Errorf("the checksum must be md5:, sha1:, sha256: or sha512: and hexadecimal digits")
	}
	in, err := os.Open(name)
	if err != nil {
		return withoutPath(err)
	}
	defer in.Close()
	h := maker()
	if _, err := io.Copy(h, in); err != nil {
		return err
	}
	if have := h.Sum(nil); string(have) != string(want) {
		return fmt.Errorf("the archive is not the one expected: its %s checksum is %x", kind, have)
	}
	return nil
}

// netrcLogin finds the user's name and password for a host in the file .netrc.
func netrcLogin(environ []string, host string) (login, password string, ok bool) {
	name, home := "", ""
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, "NETRC="); ok {
			name = value
		} else if value, ok := strings.CutPrefix(entry, "HOME="); ok {
			home = value
		}
	}
	if name == "" && home != "" {
		name = filepath.Join(home, ".netrc")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", "", false
	}
	words := strings.Fields(string(data))
	for i := 0; i < len(words); i++ {
		switch {
		case words[i] == "machine" && i+1 < len(words):
			if ok {
				return login, password, true
			}
			i++
			ok = words[i] == host
		case words[i] == "default":
			if ok {
				return login, password, true
			}
			ok = true
		case ok && words[i] == "login" && i+1 < len(words):
			i++
			login = words[i]
		case ok && words[i] == "password" && i+1 < len(words):
			i++
			password = words[i]
		}
	}
	return login, password, ok
}
