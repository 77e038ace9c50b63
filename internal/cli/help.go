package cli

import (
	"context"
	"fmt"
	"strings"
)

const helpWidth = 79

// helpCommand is "tutti help [COMMAND]".
func helpCommand() *command {
	return &command{
		name: "help", args: "[COMMAND]", summary: "Tell more about a command", maxArgs: -1,
		about: "Without a command, lists the commands.",
		setup: func(*flagSet) action {
			return func(_ context.Context, app *App, args []string) int {
				if len(args) == 0 {
					app.rootHelp()
					return exitOK
				}
				cmd, name, rest := app.root.resolve(args)
				return app.help(cmd, name, rest)
			}
		},
	}
}

// help prints the help of a command, or says that there is none of that name.
func (a *App) help(cmd *command, name string, rest []string) int {
	if name == "" || (cmd.setup == nil && len(rest) > 0) {
		return a.withoutCommand(cmd, name, rest)
	}
	a.commandHelp(cmd, name)
	return exitOK
}

// rootHelp lists the commands.
func (a *App) rootHelp() {
	var b strings.Builder
	b.WriteString("Tutti plans and applies infrastructure written for Terraform, as durable runs.\n\n")
	b.WriteString("Usage: tutti [global options] COMMAND [options] [arguments]\n")
	b.WriteString("\nMain commands:\n")
	writeCommands(&b, a.root.sub, func(c *command) bool { return c.main })
	b.WriteString("\nOther commands:\n")
	writeCommands(&b, a.root.sub, func(c *command) bool { return !c.main })
	b.WriteString("\nGlobal options, before the command:\n")
	writeTerms(&b, [][2]string{
		{"-chdir=DIR", "Work in another directory."},
		{"-help", "Show this text, or the help of a command."},
		{"-version", "Same as the version command."},
		{"-install-autocomplete", "Add completion to the start files of your shells; -uninstall-autocomplete takes it away."},
	})
	b.WriteString("\nMore about a command: tutti help COMMAND\n")
	fmt.Fprint(a.Out, b.String())
}

// commandHelp prints one command's help.
func (a *App) commandHelp(cmd *command, name string) {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n", usageLine(cmd, name))
	b.WriteString("\n" + wrap(cmd.summary+".", "  ", helpWidth) + "\n")
	for _, p := range strings.Split(strings.TrimSpace(cmd.about), "\n\n") {
		if p != "" {
			b.WriteString("\n" + wrap(p, "  ", helpWidth) + "\n")
		}
	}
	if len(cmd.sub) > 0 {
		b.WriteString("\nCommands:\n")
		writeCommands(&b, cmd.sub, func(*command) bool { return true })
	}
	if cmd.setup != nil {
		f := newFlagSet(name)
		cmd.setup(f)
		cmd.registerScope(newApp(nil, nil, nil, nil), f)
		writeFlags(&b, f.docs)
	}
	if cmd.example != "" {
		b.WriteString("\nExamples:\n")
		for _, line := range strings.Split(strings.Trim(cmd.example, "\n"), "\n") {
			b.WriteString(strings.TrimRight("  "+line, " ") + "\n")
		}
	}
	fmt.Fprint(a.Out, b.String())
}

func usageLine(cmd *command, name string) string {
	parts := []string{"tutti"}
	if name != "" {
		parts = append(parts, name)
	}
	if cmd.setup == nil {
		return strings.Join(append(parts, "COMMAND [options] [arguments]"), " ")
	}
	parts = append(parts, "[options]")
	if cmd.args != "" {
		parts = append(parts, cmd.args)
	}
	return strings.Join(parts, " ")
}

func writeCommands(b *strings.Builder, list []*command, keep func(*command) bool) {
	var terms [][2]string
	for _, c := range list {
		if !c.hidden && keep(c) {
			terms = append(terms, [2]string{c.name, c.summary})
		}
	}
	writeTerms(b, terms)
}

// writeFlags lists the flags under their headings, in order of registration.
func writeFlags(b *strings.Builder, docs []flagDoc) {
	var order []string
	groups := map[string][][2]string{}
	for _, d := range docs {
		if d.Text == "" {
			continue
		}
		term := "-" + d.Name
		if d.Value != "" {
			term += "=" + d.Value
		}
		if _, ok := groups[d.Group]; !ok {
			order = append(order, d.Group)
		}
		groups[d.Group] = append(groups[d.Group], [2]string{term, d.Text})
	}
	for _, g := range order {
		title := g
		if title == "" {
			title = "Options"
		}
		fmt.Fprintf(b, "\n%s:\n", title)
		writeTerms(b, groups[g])
	}
}

// writeTerms writes a two-column list; a term too long for its column gets a
// line of its own.
func writeTerms(b *strings.Builder, terms [][2]string) {
	width := 0
	for _, t := range terms {
		if len(t[0]) <= 24 {
			width = max(width, len(t[0]))
		}
	}
	indent := strings.Repeat(" ", width+4)
	for _, t := range terms {
		text := wrap(t[1], indent, helpWidth)
		if len(t[0]) > width {
			fmt.Fprintf(b, "  %s\n%s\n", t[0], text)
			continue
		}
		fmt.Fprintf(b, "  %-*s  %s\n", width, t[0], strings.TrimPrefix(text, indent))
	}
}

// wrap breaks text into lines of at most width columns, each with the indent.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+len(word) > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
