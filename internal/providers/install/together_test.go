package install

import (
	"archive/zip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// archiveOf makes an archive with the program of a provider.
func archiveOf(t *testing.T, program string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "package.zip")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	entry, err := w.Create("terraform-provider-null_v3.1.0")
	if err == nil {
		_, err = entry.Write([]byte(program))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// together does something many times at once.
func together(t *testing.T, do func(i int) error) {
	t.Helper()
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range 16 {
		all.Go(func() {
			<-begin
			if err := do(i); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	all.Wait()
}

// Processes that put the same package into a cache do not fail for it, nor take it away
// from one that has begun to use it, and leave nothing else there.
func TestPackagesOfSeveral(t *testing.T) {
	whole, broken := archiveOf(t, "#!/bin/true"), archiveOf(t, "#!/bin/fal")
	folder := t.TempDir()
	dir, linked := filepath.Join(folder, "linux_amd64"), filepath.Join(folder, "project")
	program := filepath.Join(dir, "terraform-provider-null_v3.1.0")
	// One who was killed has left something.
	left, before := filepath.Join(folder, ".unpack-1"), time.Now().Add(-2*unpackingTakes)
	if err := errors.Join(os.MkdirAll(filepath.Join(left, "package"), 0o700), os.Chtimes(left, before, before)); err != nil {
		t.Fatal(err)
	}
	for round := range 20 {
		if round%2 == 1 {
			// What is not the same is replaced.
			if err := unpackInto(broken, dir); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.RemoveAll(linked); err != nil {
			t.Fatal(err)
		}
		if round%3 == 1 {
			if err := os.MkdirAll(filepath.Join(linked, "a folder of before"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		together(t, func(int) error {
			if err := unpackInto(whole, dir); err != nil {
				return err
			}
			if text, err := os.ReadFile(program); err != nil || string(text) != "#!/bin/true" {
				return fmt.Errorf("the program is %q: %w", text, err)
			}
			if err := link(dir, linked); err != nil {
				return err
			}
			_, err := os.Stat(filepath.Join(linked, filepath.Base(program)))
			return err
		})
	}
	if list, err := os.ReadDir(folder); err != nil || len(list) != 2 {
		t.Errorf("what is left is %v, %v", list, err)
	}
}

// Who logs in to several hosts at once is logged in to all of them.
func TestCredentialsOfSeveral(t *testing.T) {
	c, home := new(Config), t.TempDir()
	together(t, func(i int) error {
		return c.StoreToken(t.Context(), home, fmt.Sprintf("host%d.example.com", i), "secret")
	})
	together(t, func(i int) error {
		found, err := c.ForgetToken(t.Context(), home, fmt.Sprintf("host%d.example.com", i))
		if err == nil && !found {
			err = fmt.Errorf("the login at host %d is gone", i)
		}
		return err
	})
}
