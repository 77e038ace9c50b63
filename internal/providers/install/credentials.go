package install

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tutti-dev/tutti/internal/files"
	"golang.org/x/net/idna"
)

// Token returns the credentials for a host, or "": from the environment, the
// CLI configuration, saved credentials, or the credentials helper.
func (c *Config) Token(ctx context.Context, host string) string {
	if ascii, err := normalHost(host); err == nil {
		host = ascii
	}
	if token := c.Tokens[host]; token != "" {
		return token
	}
	if c.Helper == nil {
		return ""
	}
	// A helper that fails knows nothing; the host then asks for credentials.
	token, _ := c.Helper.get(ctx, host)
	return token
}

// hostOfVariable is the host whose token a TF_TOKEN_… variable holds: dots are
// underscores in it, and dashes may be double ones.
func hostOfVariable(name string) (string, bool) {
	text, ok := strings.CutPrefix(name, "TF_TOKEN_")
	if !ok || text == "" {
		return "", false
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, "__", "-"), "_", ".")
	host, err := normalHost(text)
	return host, err == nil
}

// normalHost spells a host name the way it is looked up: lower case and in
// ASCII, without the port of HTTPS.
func normalHost(host string) (string, error) {
	name, port, hasPort := strings.Cut(host, ":")
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil || ascii == "" {
		return "", fmt.Errorf("%q is not a host name", host)
	}
	if hasPort && port != "443" {
		return ascii + ":" + port, nil
	}
	return ascii, nil
}

// CredentialsHelper is a program that keeps credentials, called as
// terraform-credentials-NAME ARGS… get HOST.
type CredentialsHelper struct {
	name string
	args []string
	dirs []string // where it may lie
}

func newCredentialsHelper(name string, env map[string]string) *CredentialsHelper {
	h := &CredentialsHelper{name: name, dirs: []string{filepath.Join("terraform.d", "plugins")}}
	if home := env["HOME"]; home != "" {
		h.dirs = append([]string{filepath.Join(home, ".terraform.d", "plugins")}, h.dirs...)
	}
	return h
}

// program finds the helper's program.
func (h *CredentialsHelper) program() (string, error) {
	name := "terraform-credentials-" + h.name
	for _, dir := range h.dirs {
		for _, candidate := range []string{name, name + ".exe"} {
			if path, err := filepath.Abs(filepath.Join(dir, candidate)); err == nil && exists(path) {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("the credentials helper %s was not found in %s", name, strings.Join(h.dirs, " or "))
}

func (h *CredentialsHelper) run(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	program, err := h.program()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, append(append([]string{}, h.args...), args...)...) //nolint:gosec // the user's own program
	cmd.Stdin = bytes.NewReader(input)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("the credentials helper %s failed: %s", h.name, strings.TrimSpace(problems.String()+" ("+err.Error()+")"))
	}
	return out, nil
}

func (h *CredentialsHelper) get(ctx context.Context, host string) (string, error) {
	out, err := h.run(ctx, nil, "get", host)
	if err != nil {
		return "", err
	}
	var doc struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return "", fmt.Errorf("the credentials helper %s did not answer in JSON", h.name)
	}
	return doc.Token, nil
}

// CredentialsFile is where tokens are saved, given the user's home.
func CredentialsFile(home string) string {
	return filepath.Join(home, ".terraform.d", "credentials.tfrc.json")
}

// StoreToken saves the token for a host: with the credentials helper where the
// user has one, else in the credentials file in the user's home.
func (c *Config) StoreToken(ctx context.Context, home, host, token string) error {
	host, err := normalHost(host)
	if err != nil {
		return err
	}
	if c.Helper != nil {
		doc, err := json.Marshal(map[string]string{"token": token})
		if err == nil {
			_, err = c.Helper.run(ctx, doc, "store", host)
		}
		return err
	}
	_, err = changeCredentials(CredentialsFile(home), func(all map[string]any) bool {
		all[host] = map[string]any{"token": token}
		return true
	})
	return err
}

// ForgetToken removes the saved token for a host, and reports whether there was
// one. A helper does not tell: where there is one the answer is true.
func (c *Config) ForgetToken(ctx context.Context, home, host string) (bool, error) {
	host, err := normalHost(host)
	if err != nil {
		return false, err
	}
	if c.Helper != nil {
		_, err := c.Helper.run(ctx, nil, "forget", host)
		return err == nil, err
	}
	if !exists(CredentialsFile(home)) {
		return false, nil
	}
	return changeCredentials(CredentialsFile(home), func(all map[string]any) bool {
		_, had := all[host]
		delete(all, host)
		return had
	})
}

// changeCredentials edits the tokens in a credentials file and keeps whatever
// else is in it. edit reports whether it changed something.
func changeCredentials(path string, edit func(map[string]any) bool) (changed bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, fmt.Errorf("cannot save credentials: %w", err)
	}
	// Two at once would forget what the other has written.
	err = files.Locked(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".lock"), func() error {
		changed, err = changeAlone(path, edit)
		return err
	})
	return changed, err
}

func changeAlone(path string, edit func(map[string]any) bool) (bool, error) {
	doc := map[string]any{}
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("cannot read the saved credentials: %w", err)
	}
	if len(raw) > 0 {
		// The text is not quoted in the error: it is secret.
		if json.Unmarshal(raw, &doc) != nil || doc == nil {
			return false, fmt.Errorf("cannot change the saved credentials: %s is not a JSON object", path)
		}
	}
	all, _ := doc["credentials"].(map[string]any)
	if all == nil {
		all = map[string]any{}
	}
	if !edit(all) {
		return false, nil
	}
	doc["credentials"] = all
	out, err := json.MarshalIndent(doc, "", "  ")
	if err == nil {
		err = files.Replace(path, append(out, '\n'), 0o600)
	}
	if err != nil {
		return false, fmt.Errorf("cannot save credentials: %w", err)
	}
	return true, nil
}
