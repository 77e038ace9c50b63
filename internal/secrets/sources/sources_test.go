package sources

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
)

type storeOf map[string]string

func (s storeOf) SecretAt(_ context.Context, environment, name string, version int) ([]byte, int, error) {
	if version != 0 {
		name = fmt.Sprint(name, "@", version)
	}
	if text, ok := s[environment+"/"+name]; ok {
		return []byte(text), 3, nil
	}
	return nil, 0, os.ErrNotExist
}

func reader(t *testing.T, env map[string]string) *Reader {
	t.Helper()
	return &Reader{
		Dir: t.TempDir(), Environment: "prod",
		Store:       func(context.Context) (Store, error) { return storeOf{"prod/db": "stored"}, nil },
		LookupEnv:   func(name string) (string, bool) { text, ok := env[name]; return text, ok },
		Fingerprint: func(name string, value []byte) (string, error) { return fmt.Sprint(name, len(value)), nil },
	}
}

func TestSources(t *testing.T) {
	r := reader(t, map[string]string{"TOKEN": "from env"})
	for name, text := range map[string]string{"line": "one\n", "windows": "two\r\n", "lines": "a\nb\n\n", "binary": "\xff\xfe"} {
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		secret              projects.Secret
		want, version, fail string
	}{
		{projects.Secret{Name: "db", Source: projects.SecretStore}, "stored", "3", ""},
		{projects.Secret{Name: "x", Source: projects.SecretStore}, "", "", "tutti secret set x -env=prod"},
		{projects.Secret{Name: "e", Source: projects.SecretEnvironment, Variable: "TOKEN"}, "from env", "e8", ""},
		{projects.Secret{Name: "e2", Source: projects.SecretEnvironment, Variable: "NONE"}, "", "", "NONE is not set"},
		{projects.Secret{Name: "f1", Source: projects.SecretFile, Path: "line"}, "one", "f13", ""},
		{projects.Secret{Name: "f2", Source: projects.SecretFile, Path: "windows"}, "two", "f23", ""},
		{projects.Secret{Name: "f3", Source: projects.SecretFile, Path: "lines"}, "a\nb\n", "f34", ""},
		{projects.Secret{Name: "f4", Source: projects.SecretFile, Path: "binary"}, "", "", "not text"},
		{projects.Secret{Name: "f5", Source: projects.SecretFile, Path: "none"}, "", "", "no such file"},
		{projects.Secret{Name: "c1", Source: projects.SecretExec, Command: []string{"echo", "printed"}}, "printed", "c17", ""},
		{projects.Secret{Name: "c2", Source: projects.SecretExec, Command: []string{"sh", "-c", "echo leaked; echo leaked >&2; exit 3"}}, "", "", "exit status 3"},
		{projects.Secret{Name: "c3", Source: projects.SecretExec, Command: []string{"sh", "-c", "yes | head -c 2000000"}}, "", "", "longer than"},
	} {
		v, err := r.Read(context.Background(), &test.secret, "")
		switch {
		case test.fail == "" && (err != nil || v.Text != test.want || v.Version != test.version):
			t.Errorf("%s: %q, %q, %v", test.secret.Name, v.Text, v.Version, err)
		case test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail)):
			t.Errorf("%s: %v", test.secret.Name, err)
		case err != nil && strings.Contains(err.Error(), "leaked"):
			t.Errorf("%s: the error quotes what was printed: %v", test.secret.Name, err)
		}
	}
}

func TestVault(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != "root" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fields := map[string]any{"password": "hunter2", "port": 5432, "none": nil}
		switch r.URL.Path {
		case "/v1/kv/app/db":
			_ = json.NewEncoder(w).Encode(map[string]any{"data": fields})
		case "/v1/secret/data/app/db":
			_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"data": fields, "metadata": map[string]any{"version": 12}}})
		case "/v1/secret/data/moved":
			http.Redirect(w, r, "/v1/secret/data/app/db", http.StatusTemporaryRedirect)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	one := func(env map[string]string, v projects.VaultSecret) (Value, error) {
		r := reader(t, env)
		_ = os.WriteFile(filepath.Join(r.Dir, "token"), []byte("root\n"), 0o600)
		return r.Read(context.Background(), &projects.Secret{Name: "s", Source: projects.SecretVault, Vault: v}, "")
	}
	root := map[string]string{"VAULT_TOKEN": "root", "BAO_ADDR": server.URL}
	for name, test := range map[string]struct {
		env        map[string]string
		v          projects.VaultSecret
		want, fail string
	}{
		"v1":       {root, projects.VaultSecret{Mount: "kv", Path: "app/db", Field: "password", Version: 1}, "hunter2@s7", ""},
		"v2":       {root, projects.VaultSecret{Address: server.URL, Mount: "secret", Path: "app/db", Field: "password", Version: 2}, "hunter2@12", ""},
		"number":   {root, projects.VaultSecret{Mount: "secret", Path: "app/db", Field: "port", Version: 2}, "5432@12", ""},
		"file":     {nil, projects.VaultSecret{Address: server.URL, Mount: "secret", Path: "app/db", Field: "password", Version: 2, TokenFile: "token"}, "hunter2@12", ""},
		"field":    {root, projects.VaultSecret{Mount: "secret", Path: "app/db", Field: "none", Version: 2}, "", "no field"},
		"version":  {root, projects.VaultSecret{Mount: "secret", Path: "app/db", Field: "password", Version: 1}, "", "nothing there"},
		"no token": {nil, projects.VaultSecret{Address: server.URL, Mount: "secret", Path: "x", Field: "x", Version: 2}, "", "VAULT_TOKEN"},
		"refused":  {map[string]string{"BAO_TOKEN": "other"}, projects.VaultSecret{Address: server.URL, Mount: "secret", Path: "x", Field: "x", Version: 2}, "", "not valid"},
		"redirect": {root, projects.VaultSecret{Mount: "secret", Path: "moved", Field: "password", Version: 2}, "", "sends us elsewhere"},
		"clear":    {map[string]string{"VAULT_TOKEN": "root", "VAULT_ADDR": "http://vault.example.com"}, projects.VaultSecret{Mount: "a", Path: "b", Field: "c", Version: 2}, "", "https"},
	} {
		v, err := one(test.env, test.v)
		if test.fail == "" && (err != nil || v.Text+"@"+v.Version != test.want) {
			t.Errorf("%s: %v, %v", name, v, err)
		}
		if test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail) || strings.Contains(err.Error(), "root")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadAgain asks the source again after a while, and tells each time.
func TestReadAgain(t *testing.T) {
	env := map[string]string{"TOKEN": "first"}
	r := reader(t, env)
	now, told := time.Unix(0, 0).Add(time.Hour), 0
	r.Now = func() time.Time { return now }
	r.Noted = func(context.Context, *projects.Secret, string, string) error { told++; return nil }
	s := &projects.Secret{Name: "t", Source: projects.SecretEnvironment, Variable: "TOKEN"}
	for _, want := range []string{"first", "first", "second"} {
		v, err := r.Read(context.Background(), s, "run")
		if err != nil || v.Text != want {
			t.Errorf("%v, %v; want %s", v, err, want)
		}
		env["TOKEN"] = "second"
		now = now.Add(keep * 2 / 3)
	}
	if told != 2 {
		t.Errorf("told %d times", told)
	}
	if _, err := r.Read(context.Background(), s, "other"); err != nil || told != 3 {
		t.Error(err, told)
	}
	r.Forget()
	if _, err := r.Read(context.Background(), s, "other"); err != nil || told != 4 {
		t.Error(err, told)
	}
	if _, err := r.ReadVersion(context.Background(), s, "other", 2); err == nil || !strings.Contains(err.Error(), "has no versions") {
		t.Error(err)
	}
}
