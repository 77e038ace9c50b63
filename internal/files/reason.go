package files

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/tutti-dev/tutti/internal/diag"
)

// Reason is a sentence, without its full stop, that says why something with a file could
// not be done: the system's words name its calls, which tell people nothing. What is no
// error of a file keeps its words.
func Reason(err error) string {
	problem, ok := err.(*fs.PathError) //nolint:errorlint // what wraps one says more than this would
	if !ok {
		return diag.Sentence(strings.TrimSuffix(err.Error(), "."))
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
