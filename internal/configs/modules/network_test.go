package modules

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
)

// entry is one entry of a tar archive.
type entry struct {
	name, content, link string
	kind                byte
}

func tarOf(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.kind == 0 {
			e.kind = tar.TypeReg
		}
		header := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Size: int64(len(e.content)), Mode: 0o644}
		if e.kind == tar.TypeXGlobalHeader { // as code hosts write the commit
			header = &tar.Header{Typeflag: e.kind, PAXRecords: map[string]string{"comment": "x"}}
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range files {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func output(text string) string { return fmt.Sprintf("output \"revision\" {\n  value = %q\n}\n", text) }

// server is a host with a module registry and files.
type server struct {
	*httptest.Server
	host     string
	requests []string
	token    string // wanted by the registry, where not empty
}

// newServer serves a registry below /registry/ with the given locations of the
// module a/b/c by version, and files.
func newServer(t *testing.T, locations map[string]string, files map[string][]byte) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests = append(s.requests, r.URL.String())
		switch {
		case r.URL.Path == "/.well-known/terraform.json":
			fmt.Fprint(w, `{"modules.v1":"/registry/"}`)
		case strings.HasPrefix(r.URL.Path, "/registry/") && s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/registry/a/b/c/versions":
			var list []string
			for version := range locations {
				list = append(list, fmt.Sprintf(`{"version":%q}`, version))
			}
			fmt.Fprintf(w, `{"modules":[{"versions":[%s]}]}`, strings.Join(list, ","))
		case strings.HasPrefix(r.URL.Path, "/registry/a/b/c/") && strings.HasSuffix(r.URL.Path, "/download"):
			version := strings.Split(r.URL.Path, "/")[5]
			w.Header().Set("X-Terraform-Get", locations[version])
			w.WriteHeader(http.StatusNoContent)
		case r.URL.Path == "/header":
			w.Header().Set("X-Terraform-Get", "./m.zip//folder")
		case r.URL.Path == "/page":
			fmt.Fprintf(w, `<!doctype html><html><head><meta name="other" content="x"><META name="terraform-get" content="%s/m.zip//folder"></head><body></body></html>`, s.URL)
		case r.URL.Path == "/loop":
			w.Header().Set("X-Terraform-Get", "/loop")
		case r.URL.Path == "/local":
			w.Header().Set("X-Terraform-Get", "file:///etc")
		case files[r.URL.Path] != nil:
			_, _ = w.Write(files[r.URL.Path])
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	s.host = strings.TrimPrefix(s.URL, "https://")
	return s
}

func (s *server) place(t *testing.T, main string) *place {
	t.Helper()
	p := newPlace(t, strings.ReplaceAll(main, "HOST", s.host))
	p.in.HTTP = s.Client()
	return p
}

func (s *server) count(part string) int {
	n := 0
	for _, r := range s.requests {
		if strings.Contains(r, part) {
			n++
		}
	}
	return n
}

func TestRegistry(t *testing.T) {
	files := map[string][]byte{}
	locations := map[string]string{}
	for _, version := range []string{"1.0.0", "1.2.0", "1.10.0", "2.0.0-beta1", "2.0.0"} {
		locations[version] = "/files/" + version + ".tar.gz//*?archive=tar.gz"
		files["/files/"+version+".tar.gz"] = gzipped(t, tarOf(t,
			entry{name: "pax_global_header", kind: tar.TypeXGlobalHeader},
			entry{name: "a-" + version + "/", kind: tar.TypeDir},
			entry{name: "a-" + version + "/main.tf", content: output(version)},
			entry{name: "a-" + version + "/modules/sub/main.tf", content: output("sub " + version)}))
	}
	s := newServer(t, locations, files)
	p := s.place(t, call("any", "HOST/a/b/c")+
		call("one", "HOST/a/b/c", `  version = "~> 1.0"`)+
		call("old", "HOST/a/b/c", `  version = ">= 1.0, < 1.10"`)+
		call("beta", "HOST/a/b/c", `  version = "2.0.0-beta1"`)+
		call("sub", "HOST/a/b/c//modules/sub", `  version = "!= 2.0.0"`))
	config := p.ok(t, false)
	for path, want := range map[addrs.Module]string{"any": "2.0.0", "one": "1.10.0", "old": "1.2.0", "beta": "2.0.0-beta1", "sub": "sub 1.10.0"} {
		if got := revision(t, config, path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
		if v := config.Modules[path].Version; v != strings.TrimPrefix(want, "sub ") {
			t.Errorf("version of %s is %q", path, v)
		}
	}
	if n := s.count("terraform.json"); n != 1 {
		t.Errorf("the host was asked %d times what it offers", n)
	}
	if n := s.count("/versions"); n != 1 {
		t.Errorf("versions were listed %d times", n)
	}
	if n := s.count("/files/1.10.0"); n != 1 {
		t.Errorf("one package was downloaded %d times", n)
	}
	manifest, err := ReadManifest(filepath.Join(p.dir, ".terraform"))
	want := Record{Source: s.host + "/a/b/c//modules/sub", Version: "1.10.0", Dir: ".terraform/modules/sub/a-1.10.0/modules/sub"}
	if err != nil || manifest["sub"] != want {
		t.Errorf("manifest: %+v %v", manifest["sub"], err)
	}
	s.requests = nil
	p.ok(t, false)
	if len(s.requests) > 0 {
		t.Errorf("installed modules are asked for again: %v", s.requests)
	}
}

func TestRegistryProblemsAreSaid(t *testing.T) {
	s := newServer(t, map[string]string{"1.0.0": "file:///etc", "0.9.0": ""}, nil)
	p := s.place(t, call("a", "HOST/a/b/c", `  version = "> 1"`))
	p.fails(t, "the newest available is 1.0.0")
	p.write(t, call("a", s.host+"/a/b/other"))
	p.fails(t, "has no such module")
	p.write(t, call("a", s.host+"/a/b/c"))
	p.fails(t, "which a server must not")
	p.write(t, call("a", s.host+"/a/b/c", `  version = "0.9.0"`))
	p.fails(t, "does not say where to download")
	s.token = "secret"
	p.fails(t, "wants credentials")
	p.in.Services.Tokens = map[string]string{s.host: "secret"}
	p.fails(t, "does not say where to download")
	p.in.Services.Overrides = map[string]map[string]string{s.host: {"modules.v1": s.URL + "/elsewhere/"}}
	p.fails(t, "has no such module")
}

func TestArchives(t *testing.T) {
	plain := tarOf(t, entry{name: "main.tf", content: output("tar")}, entry{name: "folder/main.tf", content: output("folder")},
		entry{name: "folder/up", link: "../main.tf", kind: tar.TypeSymlink})
	zipped := zipOf(t, map[string]string{"main.tf": output("zip"), "folder/main.tf": output("folder")})
	files := map[string][]byte{
		"/m.zip": zipped, "/m.tar": plain, "/m.tgz": gzipped(t, plain), "/m": gzipped(t, plain),
		"/sums": fmt.Appendf(nil, "00 other.zip\n%x *m.zip\n", sha256.Sum256(zipped)),
	}
	sources := map[addrs.Module]string{
		"zip": "https://HOST/m.zip", "tar": "https://HOST/m.tar", "tgz": "https://HOST/m.tgz?x=1", "named": "https://HOST/m?archive=tar.gz",
		"folder": "https://HOST/m.zip//folder", "header": "https://HOST/header", "page": "https://HOST/page",
		"sum":  fmt.Sprintf("https://HOST/m.zip?checksum=sha256:%x", sha256.Sum256(zipped)),
		"list": "https://HOST/m.zip?checksum=file:https://HOST/sums",
	}
	if xz, err := exec.LookPath("xz"); err == nil {
		cmd := exec.Command(xz, "-c")
		cmd.Stdin = bytes.NewReader(plain)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		files["/m.tar.xz"], sources["xz"] = out, "https://HOST/m.tar.xz"
	}
	s := newServer(t, nil, files)
	main := ""
	for name, source := range sources {
		main += call(string(name), source)
	}
	config := s.place(t, main).ok(t, false)
	for name := range sources {
		want := "tar"
		switch name {
		case "zip", "sum", "list":
			want = "zip"
		case "folder", "header", "page":
			want = "folder"
		}
		if got := revision(t, config, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestDownloadProblemsAreSaid(t *testing.T) {
	zipped := zipOf(t, map[string]string{"main.tf": ""})
	s := newServer(t, nil, map[string][]byte{"/m.zip": zipped, "/bad.zip": []byte("nothing"), "/text": []byte("<p>hello")})
	p := s.place(t, "")
	for source, want := range map[string]string{
		"/m.zip?checksum=sha256:00": "not the one expected",
		"/m.zip?checksum=rot13:00":  "checksum must be",
		"/m.zip?archive=false":      "archive=false",
		"/m.zip//missing":           `no directory "missing"`,
		"/bad.zip":                  "cannot read the archive",
		"/missing.zip":              "answered 404",
		"/text":                     "put git:: in front",
		"/loop":                     "more than 10 times",
		"/local":                    "which a server must not",
		"/missing.zip?X-Amz-Signature=hunter2&token=none": "redacted",
	} {
		p.write(t, call("a", s.URL+source))
		diags := p.install(t, false)
		if err := diags.Err(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want an error that says %q", source, err, want)
		}
	}
}

func TestArchivesStayInside(t *testing.T) {
	for name, entries := range map[string][]entry{
		"a name that leads out":        {{name: "../evil.tf", content: "x"}},
		"an absolute name":             {{name: "/evil.tf", content: "x"}},
		"a link that leads out":        {{name: "l", link: "../../x", kind: tar.TypeSymlink}},
		"an absolute link":             {{name: "l", link: "/etc", kind: tar.TypeSymlink}},
		"links that together do":       {{name: "a/b/c", kind: tar.TypeDir}, {name: "a/b/c/l", link: "../../..", kind: tar.TypeSymlink}, {name: "m", link: "a/b/c/l/..", kind: tar.TypeSymlink}, {name: "n", link: "m/../..", kind: tar.TypeSymlink}, {name: "m/evil.tf", content: "x"}},
		"writing through a link":       {{name: "d/e", kind: tar.TypeDir}, {name: "l", link: "d/e", kind: tar.TypeSymlink}, {name: "d/e/k", link: "../..", kind: tar.TypeSymlink}, {name: "l/k/../../evil.tf", content: "x"}, {name: "l/k/../../../evil.tf", content: "x"}},
		"a hard link":                  {{name: "l", link: "/etc/passwd", kind: tar.TypeLink}},
		"a name with backward slashes": {{name: `..\evil.tf`, content: "x"}},
	} {
		outside := t.TempDir()
		archive := filepath.Join(outside, "a.tar")
		if err := os.WriteFile(archive, tarOf(t, entries...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unpack(archive, "tar", filepath.Join(outside, "x", "in")); err == nil {
			t.Errorf("%s was accepted", name)
		}
		_ = filepath.WalkDir(outside, func(path string, _ os.DirEntry, _ error) error {
			if filepath.Base(path) == "evil.tf" && !strings.HasPrefix(path, filepath.Join(outside, "x", "in")) {
				t.Errorf("%s wrote %s", name, path)
			}
			return nil
		})
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.zip": string(zipOf(t, map[string]string{"../evil.tf": "x"}))})
	if err := unpack(filepath.Join(dir, "a.zip"), "zip", filepath.Join(dir, "in")); err == nil {
		t.Error("a zip file that leads out was accepted")
	}
}

func TestNetrc(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{".netrc": "machine a.example login me password one\nmachine b.example\n  login you\n  password two\n"})
	for host, want := range map[string]string{"a.example": "me:one", "b.example": "you:two", "c.example": ":"} {
		login, password, ok := netrcLogin([]string{"HOME=" + dir}, host)
		if got := login + ":" + password; got != want || ok != (want != ":") {
			t.Errorf("%s: %s %v", host, got, ok)
		}
	}
}

func TestArchiveOnThisMachine(t *testing.T) {
	dir := t.TempDir()
	zipped := zipOf(t, map[string]string{"in/main.tf": output("zip")})
	write(t, dir, map[string]string{"m.zip": string(zipped), "m.txt": "x"})
	p := newPlace(t, call("a", fmt.Sprintf("%s/m.zip//in?checksum=%x", dir, sha256.Sum256(zipped))))
	if got := revision(t, p.ok(t, false), "a"); got != "zip" {
		t.Error(got)
	}
	p.write(t, call("b", dir+"/m.txt"))
	p.fails(t, "neither a directory nor an archive")
	p.write(t, call("b", dir+"/missing.zip"))
	p.fails(t, "no such file")
}

func TestInterruption(t *testing.T) {
	p := newPlace(t, call("a", "https://host.invalid/m.zip"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.in.Install(ctx, p.dir, Options{}).Err(); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Error(err)
	}
}
