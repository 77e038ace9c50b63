package cli

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
)

// writeProblem says that a file could not be written. The system may have been asked
// about one beside it, that takes its name in the end.
func writeProblem(path string, err error) diag.List {
	summary := "Cannot write " + path
	dir := filepath.Dir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return diag.Errorf(summary, "There is no directory %s. Make it, or give another name.", dir)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return diag.Errorf(summary, "Nothing may be written into the directory %s.", dir)
	}
	return diag.Errorf(summary, "%s.", files.Reason(err))
}

// written is writeProblem for what may have been written.
func written(path string, err error) diag.List {
	if err == nil {
		return nil
	}
	return writeProblem(path, err)
}
