// Package tutti_test holds the tests that look at the house as a whole: who may
// import whom, and what the program depends on.
package tutti_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

const module = "github.com/tutti-dev/tutti"

// floors says on which floor each room stands. A room imports only rooms of
// lower floors; a room is a directory below internal/ (with all that is in it),
// unless a longer path of its own is listed.
var floors = map[string]int{
	"cmd/tutti": 11,

	"internal/cli":       10,
	"internal/cli/views": 5, // rendering: knows documents, not the wiring

	"internal/project":     6, // what is worked on, opened
	"internal/gate":        7, // what is to be done, held to the rules of a project
	"internal/operations":  8, // planning, carrying out, driving runs
	"internal/server/work": 9, // what a server does beyond its store

	"internal/server":            5,
	"internal/sqlite":            5,
	"internal/postgres":          5,
	"internal/notify":            5, // events out
	"internal/triggers":          5,
	"internal/triggers/webhooks": 1, // requests to events: pure, for the server and the command line
	"internal/triggers/sources":  4, // what is watched: for the server, which has an inbox for it
	"internal/gitops":            5,
	"internal/observer":          5,

	"internal/runs":  4,
	"internal/tests": 4,

	"internal/engine": 3,
	"internal/flow":   3,
	"internal/stacks": 3, // how the stacks of a project hang together
	"internal/policy": 3,
	// Who somebody is who comes with a token, for commands and servers alike.
	"internal/access/identities": 3,

	"internal/lang":       2,
	"internal/lang/marks": 1, // vocabulary: what sensitive and ephemeral mean on a value
	"internal/plans":      2,
	"internal/builtin":    2,
	"internal/asl":        2,
	"internal/frontdoors": 2,
	"internal/targets":    2,
	"internal/access":     2,
	"internal/secrets":    2,

	"internal/configs":   1,
	"internal/states":    1,
	"internal/providers": 1,
	"internal/workflow":  1,
	"internal/scaling":   1,
	"internal/schedules": 1,

	"client": 0, // of the server's API; for programs of others as well

	"internal/telemetry":       0, // what is being done, for tools that watch
	"internal/events":          0,
	"internal/events/patterns": 0, // which events fit: pure
	"internal/events/windows":  0, // when events over time fire: pure
	"internal/egress":          0, // which networks requests may go to
	"internal/files":           0, // writing files whole or not at all
	"internal/addrs":           0,
	"internal/diag":            0,
}

// forbidden are pairs that stay apart whatever their floors.
var forbidden = [][2]string{
	{"internal/engine", "internal/workflow"},
	{"internal/workflow", "internal/engine"},
	{"internal/states", "internal/configs"},
}

// outside says which directories are not rooms of the program: what they
// contain may import anything, and nothing in the house may import them.
var outside = []string{"test", "tools", "bench", "testdata", "examples"}

type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func TestFloors(t *testing.T) {
	for _, p := range listPackages(t) {
		room, floor, ok := roomOf(p.ImportPath)
		if !ok {
			if !isOutside(p.ImportPath) {
				t.Errorf("%s stands on no floor: add it to the table in layering_test.go", p.ImportPath)
			}
			continue
		}
		for _, imp := range p.Imports {
			checkImport(t, p.ImportPath, room, floor, imp)
		}
	}
}

func checkImport(t *testing.T, pkg, room string, floor int, imp string) {
	t.Helper()
	if imp != module && !strings.HasPrefix(imp, module+"/") {
		return
	}
	if isOutside(imp) {
		t.Errorf("%s imports %s, which is not part of the program", pkg, imp)
		return
	}
	other, otherFloor, ok := roomOf(imp)
	if !ok || other == room {
		return
	}
	if otherFloor >= floor {
		// Packages inside one floor-0 or shared room family stay readable when
		// small, but a side door between rooms of one floor never is.
		if !(floor == 0 && otherFloor == 0) {
			t.Errorf("%s (floor %d) imports %s (floor %d): imports go down only", pkg, floor, imp, otherFloor)
		}
	}
	for _, pair := range forbidden {
		if room == pair[0] && other == pair[1] {
			t.Errorf("%s imports %s: %s and %s stay apart", pkg, imp, pair[0], pair[1])
		}
	}
}

// roomOf finds the longest listed path that contains the package.
func roomOf(importPath string) (room string, floor int, ok bool) {
	rel := strings.TrimPrefix(importPath, module+"/")
	for path := rel; path != "." && path != ""; path = filepath.Dir(path) {
		if floor, ok := floors[path]; ok {
			return path, floor, true
		}
	}
	return "", 0, false
}

func isOutside(importPath string) bool {
	rel := strings.TrimPrefix(importPath, module+"/")
	if rel == module {
		return true // the root has tests only
	}
	for _, dir := range outside {
		if rel == dir || strings.HasPrefix(rel, dir+"/") {
			return true
		}
	}
	return false
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []goPackage
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// TestDependencies holds docs/dependencies.md against what the module requires
// directly: every one has a line with its reason, and nothing else is listed.
func TestDependencies(t *testing.T) {
	raw, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	used := directModules(t, mod)
	listed := listedDependencies(t)
	for _, path := range used {
		if listed[path] == "" {
			t.Errorf("docs/dependencies.md has no reason for %s", path)
		}
		delete(listed, path)
	}
	for path := range listed {
		t.Errorf("docs/dependencies.md lists %s, which nothing imports directly", path)
	}
}

// directModules returns the required modules that packages of this module
// import, tests included. It does not trust the "indirect" comments.
func directModules(t *testing.T, mod *modfile.File) []string {
	t.Helper()
	var paths []string
	for _, r := range mod.Require {
		paths = append(paths, r.Mod.Path)
	}
	// Longest first, so that a/b/v5 is preferred to a/b.
	sort.Slice(paths, func(i, j int) bool { return len(paths[i]) > len(paths[j]) })
	used := map[string]bool{}
	for _, p := range listPackages(t) {
		for _, imports := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
			for _, imp := range imports {
				for _, path := range paths {
					if imp == path || strings.HasPrefix(imp, path+"/") {
						used[path] = true
						break
					}
				}
			}
		}
	}
	out := make([]string, 0, len(used))
	for path := range used {
		out = append(out, path)
	}
	sort.Strings(out)
	return out
}

// listedDependencies reads the table rows "| `module` | reason |".
func listedDependencies(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	row := regexp.MustCompile("^\\| `([^`]+)` \\| (.+) \\|$")
	out := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if m := row.FindStringSubmatch(lines.Text()); m != nil {
			out[m[1]] = strings.TrimSpace(m[2])
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
