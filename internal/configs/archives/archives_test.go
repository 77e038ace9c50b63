package archives

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// tree writes files and returns where.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// names are the files below a directory.
func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(at string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, at)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func link(t *testing.T, target, at string) {
	t.Helper()
	if err := os.Symlink(target, at); err != nil {
		t.Fatal(err)
	}
}

// TestPack packs what is not ignored, and unpacks the same.
func TestPack(t *testing.T) {
	dir := tree(t, map[string]string{
		"main.tf": "a", "shop/main.tf": "b", "shop/.terraform/providers/x": "", "shop/terraform.tfstate": "secret", "shop/old.tfstate.backup": "", ".git/config": "",
		".tutti/store.db": "", "docs/a/long.md": "", "docs/keep.md": "k", "build/out": "", "shop/build/in": "i", "x.log": "", "!odd": "o",
		IgnoreFile: "# comment\n\ndocs/**\n!docs/keep.md\n/build/\n*.log\n!terraform.tfstate\n!.tutti/\n",
	})
	link(t, "main.tf", filepath.Join(dir, "linked.tf"))
	link(t, "..", filepath.Join(dir, "shop", "up")) // to a directory it lies in: no endless descent
	data, err := Pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Pack(dir); err != nil || !bytes.Equal(data, again) {
		t.Error("the same files make another archive")
	}
	out := t.TempDir()
	if err := Unpack(data, out); err != nil {
		t.Fatal(err)
	}
	want := []string{"!odd", IgnoreFile, "docs/keep.md", "linked.tf", "main.tf", "shop/build/in", "shop/main.tf"}
	if have := names(t, out); !slices.Equal(have, want) {
		t.Errorf("packed: %q", have)
	}
	if text, err := os.ReadFile(filepath.Join(out, "linked.tf")); err != nil || string(text) != "a" {
		t.Errorf("the linked file is %q, %v", text, err)
	}
}

// TestPackLeaves: a link that leads out is refused, unless it is ignored.
func TestPackLeaves(t *testing.T) {
	outside := tree(t, map[string]string{"secret": "s"})
	for _, target := range []string{filepath.Join(outside, "secret"), outside} {
		dir := tree(t, map[string]string{"main.tf": ""})
		link(t, target, filepath.Join(dir, "out"))
		if _, err := Pack(dir); !errors.Is(err, ErrLeaves) {
			t.Errorf("a link to %s: %v", target, err)
		}
		if err := os.WriteFile(filepath.Join(dir, IgnoreFile), []byte("out\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Pack(dir); err != nil {
			t.Errorf("an ignored link: %v", err)
		}
	}
}

// TestUnpackHostile unpacks archives that want more than they may.
func TestUnpackHostile(t *testing.T) {
	file := func(name string) []*tar.Header {
		return []*tar.Header{{Typeflag: tar.TypeReg, Name: name, Size: 1, Mode: 0o644}}
	}
	for name, c := range map[string]struct {
		headers []*tar.Header
		want    error
	}{
		"parent":        {file("../x"), ErrLeaves},
		"deep parent":   {file("a/../../x"), ErrLeaves},
		"absolute":      {file("/etc/x"), ErrLeaves},
		"backslash":     {file(`..\x`), ErrLeaves},
		"itself":        {file("."), ErrInvalid},
		"link":          {[]*tar.Header{{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "/etc"}}, ErrInvalid},
		"hard link":     {[]*tar.Header{{Typeflag: tar.TypeLink, Name: "l", Linkname: "x"}}, ErrInvalid},
		"device":        {[]*tar.Header{{Typeflag: tar.TypeChar, Name: "null"}}, ErrInvalid},
		"twice":         {append(file("x"), file("x")...), ErrInvalid},
		"file as a dir": {append(file("x"), file("x/y")...), ErrInvalid},
		"large":         {[]*tar.Header{{Typeflag: tar.TypeReg, Name: "x", Size: MaxUnpacked + 1}}, ErrTooLarge},
		"good":          {file("a/b"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			w := tar.NewWriter(z)
			for _, h := range c.headers {
				if err := w.WriteHeader(h); err != nil {
					t.Fatal(err)
				}
				if h.Size == 1 {
					if _, err := w.Write([]byte("x")); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = w.Flush() // a file that is announced and does not come leaves an error
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			above := t.TempDir()
			dir := filepath.Join(above, "in")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			err := Unpack(b.Bytes(), dir)
			if c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v instead of %v", err, c.want)
			}
			if entries, _ := os.ReadDir(above); len(entries) != 1 {
				t.Errorf("written outside: %v", entries)
			}
		})
	}
	for _, data := range [][]byte{nil, []byte("text"), {0x1f, 0x8b}} {
		if err := Unpack(data, t.TempDir()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// FuzzUnpack: whatever is unpacked, nothing is written elsewhere.
func FuzzUnpack(f *testing.F) {
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte("a"), 0o644); err != nil {
		f.Fatal(err)
	}
	data, err := Pack(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		above := t.TempDir()
		in := filepath.Join(above, "in")
		if err := os.Mkdir(in, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = Unpack(data, in)
		if entries, _ := os.ReadDir(above); len(entries) != 1 {
			t.Errorf("written outside: %v", entries)
		}
	})
}
