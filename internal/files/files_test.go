package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func check(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is %.40q, %v", filepath.Base(path), got, err)
	}
}

// alone fails where there is more in a folder than these.
func alone(t *testing.T, dir string, names ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != len(names) {
		t.Errorf("in the folder are %v, not %v: %v", list, names, err)
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	for i, mode := range []os.FileMode{0o640, 0o600} {
		text := fmt.Sprint("content ", i)
		if err := Replace(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		check(t, path, text)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("the mode is %v, %v", info.Mode(), err)
		}
	}
	if err := Replace(link, []byte("by the link"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, path, "by the link")
	if to, err := os.Readlink(link); err != nil || to != "file" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	alone(t, dir, "file", "link")
}

// TestReplaceModes: nobody may read what they could not before, nor write to what they may
// not, and a link to what does not exist yet stays one.
func TestReplaceModes(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	defer unix.Umask(unix.Umask(0o077))
	modeOf := func(want os.FileMode) {
		t.Helper()
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("the mode is %v, %v", info.Mode(), err)
		}
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	if err := Replace(link, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	modeOf(0o600) // as the process may make them
	check(t, path, "new")
	if to, err := os.Readlink(link); err != nil || to != "file" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	for _, modes := range [][3]os.FileMode{{0o600, 0o644, 0o600}, {0o644, 0o600, 0o600}, {0o644, 0o644, 0o644}} {
		if err := os.Chmod(path, modes[0]); err != nil {
			t.Fatal(err)
		}
		if err := Replace(path, []byte("again"), modes[1]); err != nil {
			t.Fatal(err)
		}
		modeOf(modes[2])
	}
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("never"), 0o644); os.Geteuid() != 0 && !errors.Is(err, os.ErrPermission) {
		t.Errorf("what may not be written to is replaced: %v", err)
	}
	alone(t, dir, "file", "link")
}

func TestReplaceKeepsTheOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Replace(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 1234, 4321); err != nil {
		t.Skipf("only root may give files away: %v", err)
	}
	if err := Replace(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if now := info.Sys().(*syscall.Stat_t); now.Uid != 1234 || now.Gid != 4321 {
		t.Errorf("it belongs to %d:%d", now.Uid, now.Gid)
	}
}

// TestReplaceNoFile: what only can be written to is written to.
func TestReplaceNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Replace(path, []byte("content"), 0o600) }()
	pipe, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if got, err := io.ReadAll(pipe); err != nil || string(got) != "content" {
		t.Errorf("through the pipe came %q, %v", got, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
