package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// seen is the program "seen" of the scripts: "seen ARGS" is "tutti ARGS", with all
// that somebody at a terminal of 80 columns sees on standard output. What differs
// from run to run has a name in capital letters instead, and the table of changes
// of a plan is left out: other scripts look at that.
func seen() int {
	var screen bytes.Buffer
	cmd := exec.Command("tutti", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, &screen, &screen
	err := cmd.Run()
	fmt.Print(stable(screen.String()))
	if err != nil && cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return cmd.ProcessState.ExitCode()
}

var (
	planTable = regexp.MustCompile(`(?s)\n?(Tutti used the selected providers|Tutti will perform the following actions:).*?\n(Plan: |No changes)`)
	noteBelow = regexp.MustCompile(`\n─+\n\n(Note: the plan was not saved|Saved the plan to)[^\n]*\n([^\n]+\n)*`)
	varying   = []struct {
		what *regexp.Regexp
		name string
	}{
		{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "DIGEST"},
		{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "ID"},
		{regexp.MustCompile(`\b([Rr]uns? |logs |resume |retry |watch |\()[0-9a-z]{12}\b`), "${1}RUN"},
		{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d([+-]\d\d:\d\d|Z)?`), "TIME"},
		{regexp.MustCompile(`\b(after |in )(\d+m)?\d+(\.\d+)?m?s\b`), "${1}A WHILE"},
	}
)

// stable replaces what differs from run to run.
func stable(text string) string {
	text = planTable.ReplaceAllString(text, "\n$2")
	text = noteBelow.ReplaceAllString(text, "\n($1 …)\n")
	for _, v := range varying {
		text = v.what.ReplaceAllString(text, v.name)
	}
	if name := os.Getenv("TESTER"); name != "" {
		text = regexp.MustCompile(`(user:|by |: |; )`+regexp.QuoteMeta(name)+`\b`).ReplaceAllString(text, "${1}TESTER")
	}
	if dir := os.Getenv("WORK"); dir != "" {
		text = strings.ReplaceAll(text, dir, "WORK")
	}
	return text
}
