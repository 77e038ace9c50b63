package actions

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/tutti-dev/tutti/internal/files"
)

const (
	maxArtifact = 100 << 20

	artifactMissing = "Tutti.ArtifactMissing"
	artifactRefused = "Tutti.ArtifactRefused"
)

// checkPatterns refuses patterns before anything is run.
func checkPatterns(patterns []string) error {
	for _, pattern := range patterns {
		clean := path.Clean(pattern)
		switch {
		case pattern == "" || !doublestar.ValidatePattern(pattern):
			return invalid("%q is not a pattern of artifacts.", pattern)
		case path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../"):
			return Errorf(artifactRefused, "The artifacts %q lie outside the directory of the step.", pattern)
		}
	}
	return nil
}

// keepArtifacts keeps the files that the patterns match, each once. It goes on
// after an error and returns the first.
func (p *process) keepArtifacts(c *Call) error {
	if len(p.artifacts) == 0 {
		return nil
	}
	// A root does not lead outside, not by symbolic links either.
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	var failures []error
	kept := map[string]bool{}
	for _, pattern := range p.artifacts {
		var found, folders int
		keep := func(name string, entry fs.DirEntry) error {
			if files.InStore(name) {
				return nil
			}
			if info, err := root.Stat(name); entry.IsDir() || err == nil && info.IsDir() {
				folders++
				return nil
			}
			found++
			if kept[name] {
				return nil
			}
			kept[name] = true
			if err := keepArtifact(root, name, c); err != nil {
				failures = append(failures, err)
			}
			return nil
		}
		// Links are not followed while looking: a link to a folder may lead round
		// in circles.
		err := doublestar.GlobWalk(root.FS(), path.Clean(pattern), keep, doublestar.WithNoFollow())
		if info, lookErr := root.Lstat(path.Clean(pattern)); found+folders == 0 && lookErr == nil {
			// A link that leads nowhere or outside is named: say so.
			err = keep(path.Clean(pattern), fs.FileInfoToDirEntry(info))
		}
		switch {
		case err != nil:
			failures = append(failures, fmt.Errorf("cannot look for the artifacts %q: %w", pattern, err))
		case found == 0 && folders > 0:
			failures = append(failures, Errorf(artifactMissing, "No files match %q, only directories: write %q for what is in them.", pattern, path.Join(pattern, "**")))
		case found == 0:
			failures = append(failures, Errorf(artifactMissing, "No files in %s match %q.", p.dir, pattern))
		}
	}
	for _, err := range failures {
		if !isNamed(err, artifactMissing) {
			return p.hide(err)
		}
	}
	if len(failures) > 0 {
		return p.hide(failures[0])
	}
	return nil
}

func keepArtifact(root *os.Root, name string, c *Call) error {
	refused := func(format string, args ...any) error {
		return Errorf(artifactRefused, "The artifact %q "+format+".", append([]any{name}, args...)...)
	}
	// Not to wait for the other end of a pipe.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		var why *fs.PathError
		if errors.As(err, &why) {
			err = why.Err
		}
		return refused("cannot be read: %s", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return refused("cannot be read: %s", err)
	case !info.Mode().IsRegular():
		return refused("is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxArtifact+1))
	switch {
	case err != nil:
		return refused("cannot be read: %s", err)
	case len(data) > maxArtifact:
		return refused("has more than %d MiB", maxArtifact>>20)
	}
	if err := c.Artifact(name, data); err != nil {
		return fmt.Errorf("cannot keep the artifact %q: %w", name, err)
	}
	return nil
}

// hide hides secrets in an error.
func (p *process) hide(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{e.Name, p.mask.Text(e.Cause)}
	}
	if hidden := p.mask.Text(err.Error()); hidden != err.Error() {
		return errors.New(hidden)
	}
	return err
}
