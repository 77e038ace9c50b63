package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tutti-dev/tutti/internal/configs/projects"
)

// vault reads a field of a secret in a KV engine of Vault or OpenBao. The
// version is the engine's, where it counts them.
func (r *Reader) vault(ctx context.Context, v *projects.VaultSecret) ([]byte, string, error) {
	address := v.Address
	if address == "" {
		address = r.firstOf("VAULT_ADDR", "BAO_ADDR")
	}
	if address == "" {
		return nil, "", errors.New("there is no address of the server: give one in its block, or in VAULT_ADDR or BAO_ADDR")
	}
	if problem := projects.CheckSecureAddress(address); problem != "" {
		return nil, "", fmt.Errorf("the address of the server does not do: %s", strings.TrimSuffix(problem, "."))
	}
	token, err := r.vaultToken(v)
	if err != nil {
		return nil, "", err
	}
	inside := []string{"v1", v.Mount}
	if v.Version == 2 {
		inside = append(inside, "data")
	}
	base, err := url.Parse(address)
	if err != nil {
		return nil, "", errors.New("the address of the server is no URL")
	}
	target := base.JoinPath(append(inside, v.Path)...)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("X-Vault-Token", token)
	req.Header.Set("X-Vault-Request", "true")
	namespace := v.Namespace
	if namespace == "" {
		namespace = r.firstOf("VAULT_NAMESPACE", "BAO_NAMESPACE")
	}
	if namespace != "" {
		req.Header.Set("X-Vault-Namespace", namespace)
	}
	// Whoever the server sends us to would get the token.
	client := &http.Client{Transport: r.HTTP, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return nil, "", fmt.Errorf("the server does not answer: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, "", refusal(res.StatusCode, target.Path)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 4*Largest))
	if err != nil {
		return nil, "", fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	return fieldOf(body, v)
}

func (r *Reader) vaultToken(v *projects.VaultSecret) (string, error) {
	if v.TokenFile == "" {
		if token := r.firstOf("VAULT_TOKEN", "BAO_TOKEN"); token != "" {
			return token, nil
		}
		return "", errors.New("there is no token: set VAULT_TOKEN or BAO_TOKEN, or name a file with token_file")
	}
	raw, err := readFile(r.place(v.TokenFile))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(raw))
	if token == "" || strings.ContainsAny(token, "\r\n") {
		return "", fmt.Errorf("the file %s does not have a token", v.TokenFile)
	}
	return token, nil
}

func (r *Reader) firstOf(names ...string) string {
	for _, name := range names {
		if text, ok := r.LookupEnv(name); ok && text != "" {
			return text
		}
	}
	return ""
}

func refusal(status int, path string) error {
	why := http.StatusText(status)
	switch {
	case status == http.StatusForbidden:
		why = "the token is not valid, or may not read it"
	case status == http.StatusNotFound:
		why = "there is nothing there; is the mount right, and the version of the engine?"
	case status == http.StatusServiceUnavailable:
		why = "it is sealed or not ready"
	case status >= 300 && status < 400:
		why = "it sends us elsewhere, and the token is for no other; give that address"
	}
	return fmt.Errorf("the server answers %s with status %d: %s", path, status, why)
}

// fieldOf takes a field out of an answer. What is no text is given as JSON.
func fieldOf(body []byte, v *projects.VaultSecret) ([]byte, string, error) {
	var answer struct {
		Data json.RawMessage `json:"data"`
	}
	wrong := errors.New("the server's answer is not that of a KV engine; is the version of the engine right?")
	if json.Unmarshal(body, &answer) != nil {
		return nil, "", wrong
	}
	data, version := answer.Data, ""
	if v.Version == 2 {
		var inner struct {
			Data     json.RawMessage `json:"data"`
			Metadata struct {
				Version int `json:"version"`
			} `json:"metadata"`
		}
		if json.Unmarshal(data, &inner) != nil || inner.Metadata.Version == 0 {
			return nil, "", wrong
		}
		data, version = inner.Data, strconv.Itoa(inner.Metadata.Version)
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return nil, "", wrong
	}
	raw, ok := fields[v.Field]
	if !ok || string(raw) == "null" {
		return nil, "", fmt.Errorf("it has no field %q", v.Field)
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []byte(text), version, nil
	}
	return raw, version, nil
}
