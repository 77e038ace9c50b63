package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	yaml "github.com/zclconf/go-cty-yaml"
)

// commandIn finds what of a line is a command of this program.
var commandIn = regexp.MustCompile("(?:^|[\\s`'\"(])(tutti [a-z][^`'|&;>)]*)")

// TestCommandsInDocs: the commands that documents tell people to type exist, with
// their options, and so do the combinations that need a server.
func TestCommandsInDocs(t *testing.T) {
	for _, file := range []string{"ci.md", "server.md"} {
		text, err := os.ReadFile("../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		found, code := 0, false
		for i, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(line, "```") {
				code = !code
			}
			for _, m := range commandIn.FindAllStringSubmatch(line, -1) {
				if !code && !strings.Contains(line, "`"+m[1]) {
					continue // prose
				}
				found++
				line := strings.TrimSpace(strings.Split(m[1], " #")[0])
				if wrong := checkCommand(strings.Fields(line)[1:]); wrong != "" {
					t.Errorf("docs/%s:%d: %s: %s", file, i+1, line, wrong)
				}
			}
		}
		if found < 5 {
			t.Errorf("docs/%s: only %d commands were found", file, found)
		}
	}
}

// checkCommand says what is wrong with a command line; empty for nothing.
func checkCommand(words []string) string {
	cmd, name, rest := commands().resolve(words)
	if name == "" || cmd.setup == nil {
		return "there is no such command"
	}
	f := newFlagSet(name)
	cmd.setup(f)
	cmd.registerScope(newApp(nil, nil, nil, nil), f)
	upload := false
	for _, word := range rest {
		option, ok := strings.CutPrefix(word, "-")
		if !ok || option == "" {
			continue
		}
		option, _, _ = strings.Cut(option, "=")
		upload = upload || option == "upload"
		if f.set.Lookup(option) == nil {
			return "there is no option -" + option
		}
	}
	if _, able := remoteOptions[name]; upload && !able {
		return "it does not run against a server"
	}
	return ""
}

// TestRemoteOptionsExist: the commands that run against a server have the options
// that are said to mean something there.
func TestRemoteOptionsExist(t *testing.T) {
	for name, options := range remoteOptions {
		for _, option := range options {
			if wrong := checkCommand(append(strings.Fields(name), "-"+option)); wrong != "" {
				t.Errorf("tutti %s: %s", name, wrong)
			}
		}
	}
}

// TestSnippetsAreYAML: what is to be put into files of CI systems can be read.
func TestSnippetsAreYAML(t *testing.T) {
	text, err := os.ReadFile("../../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(found) != 3 {
		t.Errorf("%d snippets", len(found))
	}
	for _, m := range found {
		ty, err := yaml.Standard.ImpliedType([]byte(m[1]))
		if err != nil || !ty.IsObjectType() {
			t.Errorf("%v in\n%s", err, m[1])
		}
	}
}
