package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// errNoInput says that a question could not be asked.
var errNoInput = errors.New("input is not possible here")

// prompter asks people questions on the terminal, one line per answer. The
// reader is shared so that several questions read one pipe line by line.
type prompter struct {
	in  *bufio.Reader
	fd  int
	out io.Writer
}

func (t *terminal) prompter() *prompter {
	p := &prompter{in: bufio.NewReader(t.In), fd: -1, out: t.Out}
	if f, ok := t.In.(*os.File); ok {
		p.fd = int(f.Fd())
	}
	return p
}

// ask prints the question and returns the answer without its line end. Secret
// answers are not echoed on a terminal. The end of input or the end of ctx is
// errNoInput.
func (p *prompter) ask(ctx context.Context, question string, secret bool) (string, error) {
	fmt.Fprint(p.out, question)
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		if secret && p.fd >= 0 && term.IsTerminal(p.fd) {
			raw, err := term.ReadPassword(p.fd)
			fmt.Fprintln(p.out)
			got <- answer{string(raw), err}
			return
		}
		text, err := p.in.ReadString('\n')
		if err != nil && text != "" {
			err = nil
		}
		got <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(p.out)
		return "", errNoInput
	case a := <-got:
		if a.err != nil {
			fmt.Fprintln(p.out)
			return "", errNoInput
		}
		return strings.TrimRight(a.text, "\r\n"), nil
	}
}

// confirm asks for the word "yes"; anything else is no.
func (p *prompter) confirm(ctx context.Context, question, explanation string) (bool, error) {
	text, err := p.ask(ctx, fmt.Sprintf("\n%s\n  %s\n  Only 'yes' will be accepted to approve.\n\n  Enter a value: ", question, explanation), false)
	return strings.TrimSpace(text) == "yes", err
}
