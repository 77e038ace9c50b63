package sources

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/fsnotify/fsnotify"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

// The types of the events of files.
const (
	FileCreated = "file.created"
	FileChanged = "file.changed"
	FileRemoved = "file.removed"
)

// MaxFiles is how many files one source may watch.
const MaxFiles = 10_000

// Files watches the files of a directory and of those below it, and tells which came,
// have another content, or went: also those that did so while nobody watched. A file
// that is being written is told when it stays as it is for a while. Links are followed
// by nobody, and only regular files count.
type Files struct {
	Name      string
	Directory string
	// Patterns are for paths below the directory, with slashes, "**" and braces, as those
	// of fileset(). None are for all files.
	Patterns []string
	// Settle is how long a file must not change before it is told.
	Settle time.Duration
}

// Check says what is wrong with the settings; nil if nothing is.
func (f *Files) Check() error {
	if f.Directory == "" {
		return errors.New("there is no directory")
	}
	if f.Settle < 0 || f.Settle > time.Hour {
		return errors.New("the time to settle must be between none and an hour")
	}
	for _, pattern := range f.Patterns {
		if !doublestar.ValidatePattern(pattern) {
			return fmt.Errorf("%q is no pattern for paths", pattern)
		}
	}
	return nil
}

// knownFiles is what has been told.
type knownFiles struct {
	Told  int64           `json:"told"` // how many events
	Files map[string]file `json:"files"`
}

// file is what is known of one.
type file struct {
	Size   int64     `json:"size"`
	Time   time.Time `json:"time"`
	Digest string    `json:"sha256"`
}

// Run watches until ctx is cancelled.
func (f *Files) Run(ctx context.Context, inbox Inbox, trouble func(error)) {
	persist(ctx, trouble, func(ctx context.Context, h *health) error {
		known := &knownFiles{Files: map[string]file{}}
		memory, err := inbox.Memory(ctx)
		if err != nil {
			return err
		}
		first := memory == nil
		if !first {
			if err := json.Unmarshal(memory, known); err != nil {
				return fmt.Errorf("what the source %s remembered cannot be read: %w", f.Name, err)
			}
		}
		watcher, err := fsnotify.NewWatcher()
		if err != nil {
			return err
		}
		defer watcher.Close()
		for {
			// What is watched is set up before it is looked at, so that nothing falls
			// between the two.
			found, err := f.scan(watcher)
			if err != nil {
				return err
			}
			told, settling, err := f.compare(known, found, first, time.Now())
			if err != nil {
				return err
			}
			if len(told) > 0 || first {
				if memory, err = json.Marshal(known); err != nil {
					return err
				}
				if first {
					// What was there before anybody watched is no news.
					told = nil
				}
				if err := inbox.Take(ctx, told, memory); err != nil {
					return err
				}
				first = false
			}
			h.well()
			var later <-chan time.Time
			if settling {
				later = time.After(max(f.Settle/2, 10*time.Millisecond))
			}
			select {
			case <-ctx.Done():
				return nil
			case <-later:
			case _, open := <-watcher.Events:
				if !open {
					return errors.New("the files cannot be watched any more")
				}
				drain(watcher)
			case err := <-watcher.Errors:
				// Too many changes at once are found by looking again.
				if err != nil && !errors.Is(err, fsnotify.ErrEventOverflow) {
					return err
				}
			}
		}
	})
}

// drain takes what has come already: one look is for all of it.
func drain(watcher *fsnotify.Watcher) {
	for {
		select {
		case _, open := <-watcher.Events:
			if !open {
				return
			}
		default:
			return
		}
	}
}

// scan looks at all files, and watches their directories.
func (f *Files) scan(watcher *fsnotify.Watcher) (map[string]fs.FileInfo, error) {
	root, err := os.OpenRoot(f.Directory)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	watched := map[string]bool{}
	for _, name := range watcher.WatchList() {
		watched[name] = true
	}
	found := map[string]fs.FileInfo{}
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			if name != "." && errors.Is(err, fs.ErrNotExist) {
				return nil // it went meanwhile
			}
			return err
		}
		if entry.IsDir() {
			if files.InStore(name) {
				return fs.SkipDir // it would tell of what telling changes
			}
			if at := path.Join(f.Directory, name); !watched[at] {
				if err := watcher.Add(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			return nil
		}
		if !entry.Type().IsRegular() || !f.matches(name) {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(found) == MaxFiles {
			return fmt.Errorf("there are more than %d files to watch in %s: narrow the patterns", MaxFiles, f.Directory)
		}
		found[name] = info
		return nil
	})
	return found, err
}

// compare says what is new, and brings what is known up to that. It reports whether a
// file has still to settle.
func (f *Files) compare(known *knownFiles, found map[string]fs.FileInfo, first bool, now time.Time) (told []webhooks.Received, settling bool, err error) {
	for _, name := range slices.Sorted(maps.Keys(found)) {
		info := found[name]
		before, existed := known.Files[name]
		if existed && before.Size == info.Size() && before.Time.Equal(info.ModTime()) {
			continue
		}
		if age := now.Sub(info.ModTime()); !first && age >= 0 && age < f.Settle {
			settling = true
			continue
		}
		after, err := f.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile: the next look tells
		}
		if err != nil {
			return nil, false, err
		}
		known.Files[name] = after
		kind := FileCreated
		if existed {
			if kind = FileChanged; before.Digest == after.Digest {
				continue
			}
		}
		if told, err = f.tell(known, told, kind, name, after, now); err != nil {
			return nil, false, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known.Files)) {
		if _, there := found[name]; !there {
			before := known.Files[name]
			delete(known.Files, name)
			if told, err = f.tell(known, told, FileRemoved, name, before, now); err != nil {
				return nil, false, err
			}
		}
	}
	return told, settling, nil
}

// read looks at a file and its content. Its size is what was read: it may be written
// meanwhile, and is found to be different then at the next look.
func (f *Files) read(name string) (file, error) {
	root, err := os.OpenRoot(f.Directory)
	if err != nil {
		return file{}, err
	}
	defer root.Close()
	opened, err := root.Open(name)
	if err != nil {
		return file{}, err
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return file{}, err
	}
	h := sha256.New()
	size, err := io.Copy(h, opened)
	if err != nil {
		return file{}, err
	}
	return file{size, info.ModTime().UTC(), hex.EncodeToString(h.Sum(nil))}, nil
}

func (f *Files) tell(known *knownFiles, told []webhooks.Received, kind, name string, about file, now time.Time) ([]webhooks.Received, error) {
	known.Told++
	data, err := json.Marshal(map[string]any{"path": name, "size": about.Size, "modified": about.Time.Format(time.RFC3339Nano), "sha256": about.Digest})
	if err != nil {
		return nil, err
	}
	return append(told, webhooks.Received{Event: events.Event{
		// What is told in vain because the inbox did not take it has the same number again.
		ID:      digest(f.Name, strconv.FormatInt(known.Told, 10)),
		Source:  "/files/" + f.Name,
		Type:    kind,
		Subject: name,
		Time:    now,
		Data:    data,
	}}), nil
}

// matches reports whether a path is one of those to watch.
func (f *Files) matches(name string) bool {
	if len(f.Patterns) == 0 {
		return true
	}
	for _, pattern := range f.Patterns {
		if doublestar.MatchUnvalidated(pattern, name) {
			return true
		}
	}
	return false
}
