package functions

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/zclconf/go-cty/cty/function"
)

// pathFunctions are those that work on the text of paths and do not look at
// any file.
func pathFunctions() map[string]function.Function {
	return map[string]function.Function{
		"basename": stringFunc(func(args []string) (string, error) {
			return filepath.Base(args[0]), nil
		}, "path"),
		"dirname": stringFunc(func(args []string) (string, error) {
			return filepath.Dir(args[0]), nil
		}, "path"),
		"pathexpand": stringFunc(func(args []string) (string, error) {
			return expandHome(args[0])
		}, "path"),
	}
}

// expandHome replaces a leading ~ by the user's home directory.
func expandHome(path string) (string, error) {
	if !strings.HasPrefix(path, "~") {
		return path, nil
	}
	if len(path) > 1 && path[1] != '/' && path[1] != '\\' {
		return "", errors.New("cannot expand user-specific home dir")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("cannot find the home directory: %w", err)
	}
	return filepath.Join(home, path[1:]), nil
}
