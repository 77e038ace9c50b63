package install

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
	"golang.org/x/crypto/openpgp"        //nolint:staticcheck // what registries sign with
	"golang.org/x/crypto/openpgp/armor"  //nolint:staticcheck // what registries sign with
	"golang.org/x/crypto/openpgp/packet" //nolint:staticcheck // what registries sign with
)

// zipped makes a packed package with one program.
func zipped(t *testing.T, typ, version, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.CreateHeader(&zip.FileHeader{Name: "terraform-provider-" + typ + "_v" + version + "_x5"})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// registry is a provider registry with versions 1.0.0 and 1.1.0 of acme/thing,
// and others that cannot be used.
type registry struct {
	*httptest.Server
	files    map[string][]byte // by path
	signer   *openpgp.Entity
	token    string // wanted where not empty
	failures int    // how many requests fail first
}

func (r *registry) host() string { return strings.TrimPrefix(r.URL, "https://") }

func (r *registry) provider() addrs.Provider {
	return addrs.Provider{Hostname: r.host(), Namespace: "acme", Type: "thing"}
}

func (r *registry) json(t *testing.T, path string, doc any) {
	t.Helper()
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	r.files[path] = data
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	// A short key is soon made.
	signer, err := openpgp.NewEntity("Acme", "", "acme@example.com", &packet.Config{RSABits: 1024})
	if err != nil {
		t.Fatal(err)
	}
	r := &registry{files: map[string][]byte{}, signer: signer}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.failures > 0 {
			r.failures--
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		auth := req.Header.Get("Authorization")
		if strings.HasPrefix(req.URL.Path, "/v1/") && r.token != "" && auth != "Bearer "+r.token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.HasPrefix(req.URL.Path, "/files/") && auth != "" {
			t.Errorf("credentials were sent along with the request for %s", req.URL.Path)
		}
		data, ok := r.files[req.URL.Path]
		if !ok {
			http.NotFound(w, req)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(r.Close)
	goos, goarch, _ := strings.Cut(Platform(), "_")
	ours := []map[string]string{{"os": goos, "arch": goarch}, {"os": "plan9", "arch": "arm"}}
	r.json(t, "/.well-known/terraform.json", map[string]any{"providers.v1": "/v1/providers/"})
	r.json(t, "/v1/providers/acme/thing/versions", map[string]any{"versions": []map[string]any{
		{"version": "1.0.0", "protocols": []string{"5.0"}, "platforms": ours},
		{"version": "1.1.0", "protocols": []string{"4.0", "6.0"}, "platforms": ours},
		{"version": "1.2.0", "protocols": []string{"6.0"}, "platforms": ours[1:]},
		{"version": "1.3.0", "protocols": []string{"4.0"}, "platforms": ours},
		{"version": "2.0.0-beta1", "protocols": []string{"5.0"}, "platforms": ours},
	}})
	r.release(t, "1.0.0")
	r.release(t, "1.1.0")
	return r
}

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// otherSum stands for the package of another platform in lists of checksums.
var otherSum = strings.Repeat("ab", 32)

// release publishes a signed version for this platform and plan9_arm.
func (r *registry) release(t *testing.T, version string) {
	t.Helper()
	var key, signature bytes.Buffer
	w, err := armor.Encode(&key, openpgp.PublicKeyType, nil)
	if err == nil {
		err = r.signer.Serialize(w)
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	var sums strings.Builder
	for _, platform := range []string{Platform(), "plan9_arm"} {
		data := zipped(t, "thing", version, "program "+version+" "+platform)
		name := "terraform-provider-thing_" + version + "_" + platform + ".zip"
		r.files["/files/"+name] = data
		fmt.Fprintf(&sums, "%s  %s\n", sha(data), name)
		r.json(t, "/v1/providers/acme/thing/"+version+"/download/"+strings.Replace(platform, "_", "/", 1), map[string]any{
			"filename": name, "download_url": "/files/" + name, "shasum": sha(data),
			"shasums_url": "/files/" + version + "_SHA256SUMS", "shasums_signature_url": "/files/" + version + "_SHA256SUMS.sig",
			"signing_keys": map[string]any{"gpg_public_keys": []map[string]string{{"ascii_armor": key.String()}}},
		})
	}
	fmt.Fprintf(&sums, "%s  other_file.zip\n", otherSum)
	if err := openpgp.DetachSign(&signature, r.signer, strings.NewReader(sums.String()), nil); err != nil {
		t.Fatal(err)
	}
	r.files["/files/"+version+"_SHA256SUMS"] = []byte(sums.String())
	r.files["/files/"+version+"_SHA256SUMS.sig"] = signature.Bytes()
}

// place makes a place that gets providers from registries.
func (r *registry) place(t *testing.T) *place {
	p := newPlace(t, "")
	p.Config.Methods = []Method{{Kind: Direct}}
	p.HTTP = r.Client()
	return p
}

func TestInstallFromRegistry(t *testing.T) {
	r := newRegistry(t)
	p := r.place(t)
	got := p.install(t, r.provider().String(), ">= 1")
	if !strings.Contains(got, "v1.1.0 (signed, key ID ") {
		t.Fatal(got)
	}
	locks, _ := ReadLockFile(p.opts.LockFile)
	hashes := locks.Lock(r.provider()).Hashes
	if len(hashes) != 4 || !strings.HasPrefix(hashes[0], "h1:") || !strings.Contains(strings.Join(hashes, " "), "zh:"+otherSum) {
		t.Errorf("the lock file must have the package's h1 hash and all signed ones: %q", hashes)
	}
	// A second machine has the lock file only.
	second := r.place(t)
	second.opts.LockFile = p.opts.LockFile
	if got := second.install(t, r.provider().String(), ">= 1"); !strings.Contains(got, "Installed") {
		t.Error(got)
	}
	found, diags := second.Find(r.provider(), second.opts)
	if data, err := os.ReadFile(found.Executable); err != nil || string(data) != "program 1.1.0 "+Platform() {
		t.Error(string(data), err, diags)
	}
	if info, err := os.Stat(found.Executable); err != nil || info.Mode()&0o100 == 0 {
		t.Error("the program must be executable", err)
	}
}

func TestRegistryRefusals(t *testing.T) {
	version := "/v1/providers/acme/thing/1.1.0/download/" + strings.Replace(Platform(), "_", "/", 1)
	archive := "/files/terraform-provider-thing_1.1.0_" + Platform() + ".zip"
	for _, c := range []struct {
		name string
		harm func(*registry)
		want string
	}{
		{"signature of something else", func(r *registry) {
			r.files["/files/1.1.0_SHA256SUMS.sig"] = r.files["/files/1.0.0_SHA256SUMS.sig"]
		}, "not signed with any of the keys"},
		{"other package", func(r *registry) { r.files[archive] = []byte("harm") }, "is not the one the registry gives"},
		{"changed list", func(r *registry) {
			r.files["/files/1.1.0_SHA256SUMS"] = append(r.files["/files/1.1.0_SHA256SUMS"], '\n')
		}, "not signed with any of the keys"},
		{"sum not in list", func(r *registry) {
			r.files[version] = bytes.Replace(r.files[version], []byte(`"shasum":"`), []byte(`"shasum":"00`), 1)
		}, "is not the one in its list"},
		{"no service", func(r *registry) { r.files["/.well-known/terraform.json"] = []byte(`{}`) }, "does not offer the service providers.v1"},
		{"credentials wanted", func(r *registry) { r.token = "secret" }, "wants credentials"},
		{"unknown provider", func(r *registry) { delete(r.files, "/v1/providers/acme/thing/versions") }, "was not found in any of the search locations"},
		{"no JSON", func(r *registry) { r.files["/.well-known/terraform.json"] = []byte(`<html>`) }, "not the JSON expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRegistry(t)
			c.harm(r)
			p := r.place(t)
			if got := p.install(t, r.provider().String()); !strings.Contains(got, c.want) {
				t.Errorf("want %q in: %s", c.want, got)
			}
			if exists(p.opts.LockFile) {
				t.Error("nothing must be locked")
			}
		})
	}
}

func TestRegistryCredentials(t *testing.T) {
	r := newRegistry(t)
	r.token = "secret"
	p := r.place(t)
	p.Config.Tokens = map[string]string{r.host(): "wrong"}
	if got := p.install(t, r.provider().String()); !strings.Contains(got, "does not accept the credentials") || strings.Contains(got, "wrong") {
		t.Error(got)
	}
	p.Config.Tokens[r.host()] = "secret"
	if got := p.install(t, r.provider().String()); !strings.Contains(got, "Installed") {
		t.Error(got)
	}
}

func TestServicesOverride(t *testing.T) {
	r := newRegistry(t)
	p := r.place(t)
	if address, err := p.Service(t.Context(), r.host(), "providers.v1"); err != nil || address != r.URL+"/v1/providers/" {
		t.Error(address, err)
	}
	p = r.place(t)
	p.Config.Services = map[string]map[string]string{"registry.example.com": {"providers.v1": r.URL + "/v1/providers/"}}
	if got := p.install(t, "registry.example.com/acme/thing", "1.0.0"); !strings.Contains(got, "Installed registry.example.com/acme/thing v1.0.0") {
		t.Error(got)
	}
}

func TestPassingFailuresAreTriedAgain(t *testing.T) {
	r := newRegistry(t)
	r.failures = 2
	c := client{http: r.Client(), pause: 1}
	if _, err := c.text(t.Context(), r.URL+"/.well-known/terraform.json", ""); err != nil {
		t.Error(err)
	}
	r.failures = attempts
	if _, err := c.text(t.Context(), r.URL+"/x?token=secret", ""); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error("the failure must be told without the query:", err)
	}
}

func TestSharedCache(t *testing.T) {
	r := newRegistry(t)
	p := r.place(t)
	p.Config.PluginCacheDir = filepath.Join(t.TempDir(), "cache")
	p.install(t, r.provider().String())
	dir := packageDir(p.opts.DataDir, r.provider(), "1.1.0")
	if target, err := os.Readlink(dir); err != nil || !strings.HasPrefix(target, p.Config.PluginCacheDir) {
		t.Error(target, err)
	}
	if err := os.RemoveAll(p.opts.DataDir); err != nil {
		t.Fatal(err)
	}
	if got := p.install(t, r.provider().String()); !strings.Contains(got, "from the shared cache") {
		t.Error(got)
	}
	// What the lock file does not know is brought again, whatever the cache has.
	other := r.place(t)
	other.Config.PluginCacheDir = p.Config.PluginCacheDir
	program := filepath.Join(p.Config.PluginCacheDir, r.host(), "acme", "thing", "1.1.0", Platform(), "terraform-provider-thing_v1.1.0_x5")
	if err := os.WriteFile(program, []byte("harm"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := other.install(t, r.provider().String()); !strings.Contains(got, "Installed") {
		t.Error(got)
	}
	if data, err := os.ReadFile(program); err != nil || string(data) == "harm" {
		t.Error("the cache must be put right", err)
	}
}

func TestMirrorServesAsNetworkMirror(t *testing.T) {
	r := newRegistry(t)
	p := r.place(t)
	dir := t.TempDir()
	requests := []Request{{Provider: r.provider(), Constraints: []string{"1.0.0"}}}
	if diags := p.Mirror(t.Context(), dir, requests, []string{Platform(), "plan9_arm"}, p.opts); diags.HasErrors() {
		t.Fatal(diags)
	}
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer for-mirror" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.StripPrefix("/providers", files).ServeHTTP(w, req)
	}))
	defer server.Close()
	user := newPlace(t, "")
	var err error
	if user.Config, err = user.Config.ForNetworkMirror(server.URL + "/providers/"); err != nil {
		t.Fatal(err)
	}
	user.Config.Tokens = map[string]string{strings.TrimPrefix(server.URL, "https://"): "for-mirror"}
	user.HTTP = server.Client()
	if got := user.install(t, r.provider().String()); !strings.Contains(got, "v1.0.0 (verified checksum)") {
		t.Error(got)
	}
	// The same folder serves as a packed mirror on disk.
	onDisk := newPlace(t, dir)
	if got := onDisk.install(t, r.provider().String()); !strings.Contains(got, "v1.0.0 (unauthenticated)") {
		t.Error(got)
	}
	a, _ := os.ReadFile(user.opts.LockFile)
	b, _ := os.ReadFile(onDisk.opts.LockFile)
	if len(a) == 0 || string(a) != string(b) {
		t.Errorf("both must lock the same:\n%s\n%s", a, b)
	}
	// Packages that are not what the mirror's documents say are refused.
	name := filepath.Join(dir, r.host(), "acme", "thing", "terraform-provider-thing_1.0.0_"+Platform()+".zip")
	if err := os.WriteFile(name, zipped(t, "thing", "1.0.0", "harm"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = os.RemoveAll(user.opts.DataDir)
	_ = os.Remove(user.opts.LockFile)
	if got := user.install(t, r.provider().String()); !strings.Contains(got, "does not have the checksum that its source gives") {
		t.Error(got)
	}
}

func TestLockForOtherPlatforms(t *testing.T) {
	r := newRegistry(t)
	p := r.place(t)
	p.install(t, r.provider().String(), "1.0.0")
	requests := []Request{{Provider: r.provider(), Constraints: []string{"1.0.0"}}}
	if diags := p.Lock(t.Context(), requests, []string{"plan9_arm"}, p.opts); len(diags) > 0 {
		t.Fatal(diags)
	}
	locks, _ := ReadLockFile(p.opts.LockFile)
	data := r.files["/files/terraform-provider-thing_1.0.0_plan9_arm.zip"]
	file := filepath.Join(t.TempDir(), "p.zip")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := archiveHash(file)
	if err != nil || !strings.Contains(strings.Join(locks.Lock(r.provider()).Hashes, " "), want) {
		t.Errorf("%s is missing in %q (%v)", want, locks.Lock(r.provider()).Hashes, err)
	}
	for platform, want := range map[string]string{"linux": "Invalid platform", "../x_y": "Invalid platform", "aix_ppc64": "is not available for aix_ppc64"} {
		diags := p.Lock(t.Context(), requests, []string{platform}, p.opts)
		if !diags.HasErrors() || !strings.Contains(diags[0].Summary+diags[0].Detail, want) {
			t.Errorf("%s: %v", platform, diags)
		}
	}
}
