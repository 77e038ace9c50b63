package cli

import (
	"context"
	"strings"

	"github.com/tutti-dev/tutti/internal/diag"
)

// action does a command's work with the arguments left after the flags, and
// returns the exit code.
type action func(ctx context.Context, app *App, args []string) int

// command is one entry of the command table.
type command struct {
	name    string // the last word: "list" of "state list"
	args    string // placeholders in the usage line, after the options
	summary string // one line, no full stop
	about   string // paragraphs of the help, separated by empty lines
	example string // literal lines shown at the end of the help

	minArgs, maxArgs int // maxArgs -1: any number
	// setup registers the flags and returns the action, which sees their values
	// through its closure. It is nil for commands that only have subcommands.
	setup func(f *flagSet) action
	// complete proposes values for the next argument; nil: file names.
	complete func(app *App, args []string) []string

	scope  scope // what of a project it works on
	sub    []*command
	main   bool // listed first in the help
	hidden bool
}

// scope says what of a project a command works on, and so which flags select it.
type scope byte

const (
	noScope      scope = iota // nothing that a project tells apart
	wholeScope                // the project, in an environment
	stackScope                // one stack
	severalScope              // stacks, all where none is named
)

// registerScope registers the flags that select stacks and the environment.
func (c *command) registerScope(a *App, f *flagSet) {
	if c.scope == noScope {
		return
	}
	f.heading("Project")
	switch c.scope {
	case stackScope:
		f.list(&a.Stacks, "stack", "NAME", "The stack of the project to work on.")
	case severalScope:
		f.list(&a.Stacks, "stack", "NAME", "Only this stack of the project. May be given several times.")
	}
	if f.set.Lookup("env") == nil {
		f.text(&a.Environment, "env", "NAME", "Work in this environment instead of the selected one.")
	}
}

// find returns the subcommand of that name, or nil.
func (c *command) find(name string) *command {
	for _, s := range c.sub {
		if s.name == name {
			return s
		}
	}
	return nil
}

// resolve follows words down the table. It returns the command, its full name
// and the words that are left.
func (c *command) resolve(words []string) (cmd *command, name string, rest []string) {
	var path []string
	for len(words) > 0 && len(c.sub) > 0 {
		next := c.find(words[0])
		if next == nil {
			break
		}
		c, path, words = next, append(path, words[0]), words[1:]
	}
	return c, strings.Join(path, " "), words
}

// suggest returns the visible subcommand most like word, or "" where none is.
func (c *command) suggest(word string) string {
	var names []string
	for _, s := range c.sub {
		if !s.hidden {
			names = append(names, s.name)
		}
	}
	return diag.Nearest(word, names)
}
