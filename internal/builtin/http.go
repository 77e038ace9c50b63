package builtin

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// largestState bounds what a server may send.
const largestState = 1 << 30

// httpBackend is one configured "http" backend, for reading.
type httpBackend struct {
	address            *url.URL
	username, password string
	retries            int
	waitMin, waitMax   time.Duration
	client             *http.Client
}

func (p *provider) readHTTP(ctx context.Context, config cty.Value, workspace string) (*states.State, diag.List) {
	if workspace != "default" {
		return nil, attributeError("workspace", "Workspace not available", "The backend \"http\" has no workspaces: remove this argument.")
	}
	backend, err := p.httpBackend(config)
	if err != nil {
		return nil, attributeError("config", "Invalid backend configuration",
			"The given configuration is not valid for backend \"http\": "+err.Error()+".")
	}
	defer backend.client.CloseIdleConnections()
	content, err := backend.get(ctx)
	if err != nil {
		return nil, diag.Errorf("Cannot read remote state", "The state cannot be read from %s: %s.", backend.address.Redacted(), err)
	}
	if len(content) == 0 {
		return nil, nil
	}
	return decodeState(content)
}

// httpBackend reads the arguments, from the environment where they are not in
// the configuration.
func (p *provider) httpBackend(config cty.Value) (*httpBackend, error) {
	arguments, err := backendArguments("http", config)
	if err != nil {
		return nil, err
	}
	text := func(argument, variable string) string {
		fallback, _ := p.opts.LookupEnv(variable)
		return textOr(arguments[argument], fallback)
	}
	number := func(argument, variable string, fallback int) (int, error) {
		if given := arguments[argument]; !given.IsNull() {
			n, accuracy := given.AsBigFloat().Int64()
			if accuracy != 0 || n < 0 {
				return 0, fmt.Errorf("%s must be a whole number that is not negative", argument)
			}
			return int(n), nil
		}
		given, ok := p.opts.LookupEnv(variable)
		if !ok || given == "" {
			return fallback, nil
		}
		n, err := strconv.Atoi(given)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("%s must be a whole number that is not negative", variable)
		}
		return n, nil
	}
	address := text("address", "TF_HTTP_ADDRESS")
	if address == "" {
		return nil, errors.New("the argument \"address\" is required")
	}
	out := &httpBackend{username: text("username", "TF_HTTP_USERNAME"), password: text("password", "TF_HTTP_PASSWORD")}
	if out.address, err = url.Parse(address); err != nil {
		return nil, errors.New("address is not a URL")
	}
	if out.address.Scheme != "http" && out.address.Scheme != "https" {
		return nil, errors.New("address must begin with http:// or https://")
	}
	waitMin, errMin := number("retry_wait_min", "TF_HTTP_RETRY_WAIT_MIN", 1)
	waitMax, errMax := number("retry_wait_max", "TF_HTTP_RETRY_WAIT_MAX", 30)
	retries, errRetries := number("retry_max", "TF_HTTP_RETRY_MAX", 2)
	if err := errors.Join(errMin, errMax, errRetries); err != nil {
		return nil, err
	}
	out.retries, out.waitMin, out.waitMax = retries, time.Duration(waitMin)*time.Second, time.Duration(waitMax)*time.Second
	skip := !arguments["skip_cert_verification"].IsNull() && arguments["skip_cert_verification"].True()
	out.client, err = p.httpClient(skip,
		text("client_ca_certificate_pem", "TF_HTTP_CLIENT_CA_CERTIFICATE_PEM"),
		text("client_certificate_pem", "TF_HTTP_CLIENT_CERTIFICATE_PEM"),
		text("client_private_key_pem", "TF_HTTP_CLIENT_PRIVATE_KEY_PEM"))
	return out, err
}

func (p *provider) httpClient(skipVerification bool, authorities, certificate, key string) (*http.Client, error) {
	if !skipVerification && authorities == "" && certificate == "" && key == "" {
		transport := p.opts.HTTPTransport
		if transport == nil {
			transport = http.DefaultTransport
		}
		return &http.Client{Transport: transport}, nil
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: skipVerification}
	if authorities != "" {
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM([]byte(authorities)) {
			return nil, errors.New("client_ca_certificate_pem has no certificate in PEM form")
		}
	}
	if (certificate == "") != (key == "") {
		return nil, errors.New("client_certificate_pem and client_private_key_pem must be given together")
	}
	if certificate != "" {
		pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
		if err != nil {
			return nil, errors.New("client_certificate_pem and client_private_key_pem are not a certificate and its key in PEM form")
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: settings, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 30 * time.Second,
	}}, nil
}

// errRetry wraps an error after which asking again may help.
type errRetry struct{ error }

// get returns the state, empty where there is none. It asks again, after a
// pause that doubles, where the server cannot be reached or is in trouble.
func (b *httpBackend) get(ctx context.Context) ([]byte, error) {
	pause := min(b.waitMin, b.waitMax)
	for attempt := 0; ; attempt++ {
		content, err := b.once(ctx)
		var again errRetry
		if err == nil || !errors.As(err, &again) || attempt >= b.retries || ctx.Err() != nil {
			return content, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
		pause = min(2*pause, b.waitMax)
	}
}

func (b *httpBackend) once(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.address.String(), nil)
	if err != nil {
		return nil, errors.New("the address is not usable")
	}
	if b.username != "" {
		req.SetBasicAuth(b.username, b.password)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		var inner *url.Error // its text has the address, perhaps with a password
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, errRetry{err}
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotFound:
		return nil, nil
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, errors.New("the server asks for authentication: set username and password, or TF_HTTP_USERNAME and TF_HTTP_PASSWORD")
	case resp.StatusCode == http.StatusForbidden:
		return nil, errors.New("the server refuses access with these credentials")
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return nil, errRetry{fmt.Errorf("the server answered %s", resp.Status)}
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the server answered %s", resp.Status)
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, largestState+1))
	if err != nil {
		return nil, errRetry{fmt.Errorf("the answer broke off: %w", err)}
	}
	if len(content) > largestState {
		return nil, errors.New("the answer is larger than a state may be")
	}
	if given := resp.Header.Get("Content-MD5"); given != "" {
		want, err := base64.StdEncoding.DecodeString(given)
		if got := md5.Sum(content); err != nil || !bytes.Equal(want, got[:]) {
			return nil, errRetry{errors.New("the answer does not match its checksum")}
		}
	}
	return content, nil
}
