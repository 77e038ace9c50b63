package sources

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tree is a directory of files.
type tree struct {
	*testing.T
	root string
}

func (d tree) write(name, text string) {
	d.Helper()
	path := filepath.Join(d.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		d.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.Fatal(err)
	}
}

func (d tree) remove(name string) {
	d.Helper()
	if err := os.RemoveAll(filepath.Join(d.root, name)); err != nil {
		d.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	d := tree{t, t.TempDir()}
	d.write("before.csv", "old")
	d.write("notes.txt", "nothing")
	f := &Files{Name: "in", Directory: d.root, Patterns: []string{"*.csv", "deep/**/*.json"}}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	b := newBox()
	r := start(t, f, b)
	<-b.taken
	b.quiet(t)
	expect := func(kind, name string) {
		t.Helper()
		if e := b.next(t); e.Type != kind || e.Subject != name || e.Source != "/files/in" {
			t.Errorf("told %s of %s, want %s of %s", e.Type, e.Subject, kind, name)
		}
	}
	d.write("new.csv", "1")
	expectWritten(t, b, "new.csv", "1")
	d.write("notes.txt", "more")
	d.write("deep/a/b/c.json", "{}")
	expectWritten(t, b, "deep/a/b/c.json", "{}")
	d.write("before.csv", "newer")
	expectWritten(t, b, "before.csv", "newer")
	d.remove("deep")
	expect(FileRemoved, "deep/a/b/c.json")
	r.stop()
	b.quiet(t)

	// What happens while nobody watches is told by who comes next.
	d.write("new.csv", "22")
	d.remove("before.csv")
	d.write("later.csv", "3")
	start(t, f, b)
	expect(FileCreated, "later.csv")
	expect(FileChanged, "new.csv")
	expect(FileRemoved, "before.csv")
	d.write("before.csv", "newer")
	expectWritten(t, b, "before.csv", "newer")
	b.quiet(t)
}

// expectWritten waits until a file is told with its content: it may have been seen
// empty before, between its creation and the writing.
func expectWritten(t *testing.T, b *box, name, text string) {
	t.Helper()
	for {
		e := b.next(t)
		if e.Subject != name || e.Type == FileRemoved {
			t.Fatalf("told %s of %s, want %s", e.Type, e.Subject, name)
		}
		if strings.Contains(string(e.Data), fmt.Sprintf(`"size":%d}`, len(text))) {
			return
		}
	}
}

// TestFilesLeaveTheStoreAlone: what is told of files changes the store, which would be told
// of, and so on.
func TestFilesLeaveTheStoreAlone(t *testing.T) {
	d := tree{t, t.TempDir()}
	d.write("a.csv", "old")
	d.write(".tutti/store.db", "old")
	b := newBox()
	start(t, &Files{Name: "in", Directory: d.root}, b)
	<-b.taken
	d.write(".tutti/store.db", "new")
	d.write(".tutti/store.db-wal", "new")
	d.write("b.csv", "1")
	expectWritten(t, b, "b.csv", "1")
	b.quiet(t)
}

func TestFilesSettle(t *testing.T) {
	d := tree{t, t.TempDir()}
	f := &Files{Name: "in", Directory: d.root, Settle: 300 * time.Millisecond}
	b := newBox()
	start(t, f, b)
	<-b.taken
	for i := range 20 {
		d.write("growing", strings.Repeat("x", i+1))
	}
	if e := b.next(t); e.Type != FileCreated || !strings.Contains(string(e.Data), `"size":20}`) {
		t.Errorf("told %s %s", e.Type, e.Data)
	}
}

// TestFilesKeepUp changes files at random while the source is stopped, started, and its
// inbox refuses: in the end what was told adds up to what is there.
func TestFilesKeepUp(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	d := tree{t, t.TempDir()}
	f := &Files{Name: "in", Directory: d.root}
	b := newBox()
	source := start(t, f, b)
	<-b.taken
	want := map[string]string{}
	for i := range 300 {
		name := fmt.Sprintf("d%d/f%d", r.IntN(3), r.IntN(5))
		if r.IntN(3) == 0 {
			d.remove(name)
			delete(want, name)
		} else {
			want[name] = strings.Repeat("y", i+1)
			d.write(name, want[name])
		}
		if r.IntN(60) == 0 {
			source.stop()
			source = start(t, f, b)
		}
	}
	told := map[string]int{}
	same := func() bool {
		for name, text := range want {
			if told[name] != len(text) {
				return false
			}
		}
		return len(told) == len(want)
	}
	for !same() {
		e := b.next(t)
		if e.Type == FileRemoved {
			delete(told, e.Subject)
			continue
		}
		var size int
		if _, err := fmt.Sscanf(string(e.Data[strings.Index(string(e.Data), `"size":`):]), `"size":%d`, &size); err != nil {
			t.Fatal(err)
		}
		told[e.Subject] = size
	}
}

func TestFilesTrouble(t *testing.T) {
	root := filepath.Join(t.TempDir(), "later")
	b := newBox()
	r := start(t, &Files{Name: "in", Directory: root}, b)
	if err := r.wait(t, true); !strings.Contains(err.Error(), "later") {
		t.Errorf("trouble is %v", err)
	}
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	r.wait(t, false)
	tree{t, root}.write("a", "b")
	expectWritten(t, b, "a", "b")
}

func TestFilesMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*.csv", "a.csv", true}, {"*.csv", "b/a.csv", false}, {"**/*.csv", "a.csv", true}, {"**/*.csv", "b/c/a.csv", true},
		{"b/**", "b/c/d", true}, {"b/**", "b", true}, {"b/**", "c/b", false}, {"b/**/d", "b/d", true}, {"b/**/d", "b/c/c/d", true}, {"b/?", "b/cc", false},
	} {
		f := Files{Patterns: []string{c.pattern}}
		if got := f.matches(c.name); got != c.want {
			t.Errorf("%s for %s: %v", c.pattern, c.name, got)
		}
	}
	if err := (&Files{Directory: "a", Patterns: []string{"["}}).Check(); err == nil {
		t.Error("a malformed pattern is taken")
	}
}
