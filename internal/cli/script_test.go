package cli_test

import (
	"database/sql"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tutti-dev/tutti/internal/cli"
	_ "modernc.org/sqlite" // for what scripts do to stores
)

// TestMain makes this test binary the program "tutti" of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tutti":  func() { os.Exit(cli.Main(os.Args[1:])) },
		"browse": browse,
		"seen":   func() { os.Exit(seen()) },
	})
}

// TestScripts runs the stories in testdata/script: each a directory of files,
// what is typed, and what is seen.
func TestScripts(t *testing.T) {
	mirror := providerMirror()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Condition: func(cond string) (bool, error) {
			return cond == "providers" && mirror != "" || cond == "dex" && dexProgram() != "", nil
		},
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			if err := os.MkdirAll(home, 0o755); err != nil {
				return err
			}
			config := filepath.Join(env.WorkDir, "cli.tfrc")
			if err := os.WriteFile(config, []byte(cliConfig(mirror)), 0o600); err != nil {
				return err
			}
			name, group, err := tester()
			if err != nil {
				return err
			}
			env.Setenv("TESTER", name)
			env.Setenv("TESTERS", group)
			env.Setenv("HOME", home)
			env.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "config"))
			env.Setenv("TF_CLI_CONFIG_FILE", config)
			env.Setenv("MIRROR", mirror)
			env.Setenv("COLUMNS", "80")
			dex := &dexProcess{}
			env.Values[dexKey{}] = dex
			env.Defer(dex.stop)
			return nil
		},
		Cmds:          map[string]func(ts *testscript.TestScript, neg bool, args []string){"sql": changeStore, "dex": startDex, "idtoken": idToken},
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

// tester is who runs the tests, and a group they are in: roles are granted to
// whom the operating system says it is, and to nobody else.
func tester() (name, group string, err error) {
	u, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil {
		return "", "", err
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return "", "", err
	}
	return u.Username, g.Name, nil
}

// changeStore is "sql STATEMENT": it does to the store of the current directory
// what nobody should.
func changeStore(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sql STATEMENT")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(filepath.Join(".tutti", "store.db")))
	ts.Check(err)
	_, err = db.Exec(args[0])
	ts.Check(err)
	ts.Check(db.Close())
}

// providerMirror is the filesystem mirror of real provider plugins that the
// workshop builds; empty where it has not.
func providerMirror() string {
	dir, err := filepath.Abs(filepath.Join("..", "..", ".cache", "providers"))
	if err != nil {
		return ""
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) == 0 {
		return ""
	}
	return dir
}

// cliConfig makes the scripts find providers in the mirror and nowhere else.
func cliConfig(mirror string) string {
	if mirror == "" {
		mirror = os.DevNull + "/none"
	}
	return "provider_installation {\n  filesystem_mirror {\n    path = \"" + filepath.ToSlash(mirror) + "\"\n  }\n}\n"
}
