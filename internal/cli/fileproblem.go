package cli

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/sqlite"
)

// fileReason is a sentence, without its full stop, that says why something with a file
// could not be done: the system's words name its calls, which tell people nothing. What
// is no error of a file keeps its words.
func fileReason(err error) string {
	problem, ok := err.(*fs.PathError) // what wraps one says more than this would
	if !ok {
		return capital(strings.TrimSuffix(err.Error(), "."))
	}
	name := problem.Path
	switch {
	case errors.Is(err, fs.ErrNotExist) && (problem.Op == "chdir" || problem.Op == "mkdir"):
		return "There is no directory " + name
	case errors.Is(err, fs.ErrNotExist) && problem.Op == "stat":
		return "There is no file or directory " + name
	case errors.Is(err, fs.ErrNotExist):
		return "There is no file " + name
	case errors.Is(err, fs.ErrPermission):
		return "Access to " + name + " is not permitted"
	case errors.Is(err, syscall.EISDIR):
		return name + " is a directory, not a file"
	case errors.Is(err, syscall.ENOTDIR):
		return name + " is not a directory"
	}
	return name + ": " + problem.Err.Error()
}

// capital is a text as the beginning of a sentence.
func capital(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

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
	return diag.Errorf(summary, "%s.", fileReason(err))
}

// written is writeProblem for what may have been written.
func written(path string, err error) diag.List {
	if err == nil {
		return nil
	}
	return writeProblem(path, err)
}

// storeProblem says that the store in a directory cannot be used.
func storeProblem(dir string, err error) diag.List {
	const summary = "Cannot open the store"
	path := filepath.Join(dir, "store.db")
	_, reason, cut := strings.Cut(err.Error(), path+": ")
	if !cut {
		reason = strings.TrimPrefix(err.Error(), "cannot open the store: ")
	}
	switch {
	case errors.Is(err, sqlite.ErrLayout):
		return diag.Errorf(summary, "%s cannot be read by this version of Tutti: %s. Use that version, or a newer one.", path, reason)
	case errors.Is(err, sqlite.ErrNoStore):
		return diag.Errorf(summary, "%s is not a store of Tutti, or is damaged. \"tutti store restore FILE\" puts a backup in its place, where there is one; keep a copy of the file until then.", path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return diag.Errorf(summary, "Tutti needs to write into the directory %s, also to read what is in the store, and may not: %s. Work as the user whom it belongs to.", dir, reason)
	}
	return diag.Errorf(summary, "%s: %s.", path, strings.TrimSuffix(reason, "."))
}
