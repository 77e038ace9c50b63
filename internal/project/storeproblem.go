package project

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/sqlite"
)

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
