package secrets

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
)

func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func ringOf(t *testing.T, pairs ...string) *Keyring {
	t.Helper()
	return NewKeyring(Options{LookupEnv: environment(pairs...), Directory: t.TempDir()})
}

func keyText(seed byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{seed}, keySize))
}

func mustSeal(t *testing.T, k *Keyring, text string) []byte {
	t.Helper()
	sealed, err := k.Seal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func mustOpen(t *testing.T, k *Keyring, sealed []byte, want string) {
	t.Helper()
	got, err := k.Open(sealed)
	if err != nil || string(got) != want {
		t.Fatalf("opened %q, %v; want %q", got, err, want)
	}
}

func TestKeySources(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("# mine\n\n"+keyText(1)+"\n"+keyText(2)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, pairs := range map[string][]string{
		"base64":     {EnvKey, keyText(1)},
		"hex":        {EnvKey, strings.Repeat("01", keySize)},
		"age":        {EnvKey, identity.String()},
		"passphrase": {EnvKey, "correct horse battery staple"},
		"file":       {EnvKeyFile, file},
		"command":    {EnvKeyCommand, "echo " + keyText(1)},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "command" && runtime.GOOS == "windows" {
				t.Skip("needs a POSIX shell")
			}
			sealed := mustSeal(t, ringOf(t, pairs...), "secret")
			if bytes.Contains(sealed, []byte("secret")) {
				t.Error("sealed data shows the text")
			}
			mustOpen(t, ringOf(t, pairs...), sealed, "secret") // another machine
		})
	}
	mustOpen(t, ringOf(t, EnvKey, keyText(1)), mustSeal(t, ringOf(t, EnvKeyFile, file), "x"), "x")
	mustOpen(t, ringOf(t, EnvKey, keyText(3)+"\n"+keyText(1)), mustSeal(t, ringOf(t, EnvKey, keyText(1)), "older"), "older")
}

func TestUnusableSources(t *testing.T) {
	for name, test := range map[string]struct {
		pairs []string
		want  string
	}{
		"short":   {[]string{EnvKey, "hunter2"}, "at least 12 characters"},
		"bad age": {[]string{EnvKey, "AGE-SECRET-KEY-1NONSENSE"}, "begins like an age identity"},
		"two":     {[]string{EnvKey, keyText(1), EnvKeyFile, "/k"}, EnvKey + " and " + EnvKeyFile},
		"no file": {[]string{EnvKeyFile, filepath.Join(t.TempDir(), "none")}, EnvKeyFile},
		"command": {[]string{EnvKeyCommand, "exit 3"}, "exit status 3"},
		"nothing": {[]string{EnvKeyCommand, "true"}, "no key in it"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ringOf(t, test.pairs...).Seal([]byte("x"))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "NONSENSE") {
				t.Errorf("the error quotes the key: %v", err)
			}
		})
	}
}

func TestWrongKey(t *testing.T) {
	one, two := ringOf(t, EnvKey, keyText(1)), ringOf(t, EnvKey, keyText(2))
	sealed := mustSeal(t, one, "x")
	id, err := one.KeyID()
	if err != nil {
		t.Fatal(err)
	}
	_, err = two.Open(sealed)
	var missing *KeyError
	if !errors.As(err, &missing) || missing.Needed != id || len(missing.Have) != 1 {
		t.Fatalf("got %v", err)
	}
	if _, err := ringOf(t).Open(sealed); !errors.As(err, &missing) || missing.Needed != id {
		t.Fatalf("got %v", err)
	}
	for i := range sealed {
		broken := bytes.Clone(sealed)
		broken[i] ^= 1
		if _, err := one.Open(broken); err == nil {
			t.Fatalf("opened with byte %d changed", i)
		}
		if _, err := one.Open(sealed[:i]); err == nil {
			t.Fatalf("opened %d bytes", i)
		}
	}
}

// TestDefaultKey holds that no key is made by looking, that the first seal makes
// one that only its owner can read, and that many at once agree.
func TestDefaultKey(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "keys", "default.key")
	ring := func() *Keyring { return NewKeyring(Options{LookupEnv: environment(), Directory: directory}) }
	if _, err := ring().Open(mustSeal(t, ringOf(t, EnvKey, keyText(1)), "x")); err == nil {
		t.Fatal("opened without the key")
	}
	if _, _, err := ring().Hide([]byte(`{"a":1}`), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatalf("a key was made without need: %v", err)
	}
	var group sync.WaitGroup
	sealed := make([][]byte, 16)
	for i := range sealed {
		group.Go(func() { sealed[i], _ = ring().Seal([]byte("x")) })
	}
	group.Wait()
	for _, s := range sealed {
		mustOpen(t, ring(), s, "x")
	}
	info, err := os.Stat(path)
	if err != nil || (runtime.GOOS != "windows" && info.Mode().Perm() != 0o600) {
		t.Errorf("key file: %v, %v", info, err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("drafts were left: %v", entries)
	}
	// The key of the folder opens even where another one seals by now.
	mustOpen(t, NewKeyring(Options{LookupEnv: environment(EnvKey, keyText(1)), Directory: directory}), sealed[0], "x")
}

func BenchmarkSeal(b *testing.B) {
	k := NewKeyring(Options{LookupEnv: environment(EnvKey, keyText(1))})
	row := bytes.Repeat([]byte("x"), 500)
	for b.Loop() {
		if _, err := k.Seal(row); err != nil {
			b.Fatal(err)
		}
	}
}
