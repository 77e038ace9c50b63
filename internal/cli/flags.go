package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// flagSet is the standard flag set with what the help and the completion need
// to know about each flag.
type flagSet struct {
	set   *flag.FlagSet
	docs  []flagDoc
	group string
	// anyID says that the second argument is taken as it is, also where it looks like
	// a flag: ids of objects may begin with anything.
	anyID bool
}

// flagDoc describes one flag to people.
type flagDoc struct {
	Name    string
	Value   string // placeholder of the value; empty for switches
	Text    string // empty for flags that are accepted but not advertised
	Group   string
	Boolean bool
}

func newFlagSet(name string) *flagSet {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	return &flagSet{set: set}
}

// heading starts a new group of flags in the help.
func (f *flagSet) heading(title string) { f.group = title }

func (f *flagSet) describe(name, value, text string, boolean bool) {
	f.docs = append(f.docs, flagDoc{Name: name, Value: value, Text: text, Group: f.group, Boolean: boolean})
}

// toggle registers a switch; *p is the default.
func (f *flagSet) toggle(p *bool, name, text string) {
	f.set.BoolVar(p, name, *p, "")
	f.describe(name, "", text, true)
}

// text registers a flag with a string value; *p is the default.
func (f *flagSet) text(p *string, name, value, text string) {
	f.set.StringVar(p, name, *p, "")
	f.describe(name, value, text, false)
}

// number registers a flag with an integer value; *p is the default.
func (f *flagSet) number(p *int, name, value, text string) {
	f.set.IntVar(p, name, *p, "")
	f.describe(name, value, text, false)
}

// duration registers a flag with a duration value; *p is the default.
func (f *flagSet) duration(p *time.Duration, name, value, text string) {
	f.set.DurationVar(p, name, *p, "")
	f.describe(name, value, text, false)
}

// list registers a flag that may be given several times.
func (f *flagSet) list(p *[]string, name, value, text string) {
	f.set.Func(name, "", func(s string) error {
		*p = append(*p, s)
		return nil
	})
	f.describe(name, value, text, false)
}

// each registers a flag that may be given several times and is handed to fn in
// the order of the command line.
func (f *flagSet) each(name, value, text string, fn func(string) error) {
	f.set.Func(name, "", fn)
	f.describe(name, value, text, false)
}

// accept registers switches that other tools give and that mean nothing here.
func (f *flagSet) accept(names ...string) {
	for _, name := range names {
		f.set.BoolFunc(name, "", func(string) error { return nil })
		f.describe(name, "", "", true)
	}
}

// acceptText is accept for flags with a value.
func (f *flagSet) acceptText(names ...string) {
	for _, name := range names {
		f.set.Func(name, "", func(string) error { return nil })
		f.describe(name, "", "", false)
	}
}

// errHelp is returned by parse when -help was among the arguments.
var errHelp = errors.New("help requested")

// parse reads flags and arguments in any order; "--" ends the flags.
func (f *flagSet) parse(args []string) ([]string, error) {
	var positional []string
	for {
		if f.anyID && len(positional) == 1 && len(args) > 0 && !f.knows(args[0]) {
			positional, args = append(positional, args[0]), args[1:]
			continue
		}
		if err := f.set.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, errHelp
			}
			return nil, flagError(err)
		}
		rest := f.set.Args()
		if len(rest) == 0 {
			return positional, nil
		}
		if len(args) > len(rest) && args[len(args)-len(rest)-1] == "--" {
			return append(positional, rest...), nil
		}
		positional = append(positional, rest[0])
		args = rest[1:]
	}
}

// knows reports whether an argument is one of the flags, or "--".
func (f *flagSet) knows(arg string) bool {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	return !strings.HasPrefix(arg, "-") || arg == "--" || name == "help" || name == "h" || f.set.Lookup(name) != nil
}

// flagError rewords the standard library's messages for people.
func flagError(err error) error {
	msg := err.Error()
	if name, ok := strings.CutPrefix(msg, "flag provided but not defined: "); ok {
		return &unknownFlagError{name: strings.TrimLeft(name, "-")}
	}
	if name, ok := strings.CutPrefix(msg, "flag needs an argument: "); ok {
		return fmt.Errorf("the option %s needs a value", name)
	}
	if m := invalidValue.FindStringSubmatch(msg); m != nil {
		value, name, why := m[1], m[2], m[3]
		if why == "parse error" || why == "value out of range" {
			return fmt.Errorf("the option -%s does not take the value %s", name, value)
		}
		return fmt.Errorf("the option -%s: %s", name, why)
	}
	return err
}

// invalidValue is what the standard library says of a value that a flag does not take.
var invalidValue = regexp.MustCompile(`^invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?-([^:]+): (.*)$`)

// unknownFlagError says that a command has no such flag.
type unknownFlagError struct{ name string }

func (e *unknownFlagError) Error() string { return "there is no option -" + e.name }

// splitWords splits the value of TF_CLI_ARGS the way a shell would: spaces
// separate, single and double quotes and backslashes protect.
func splitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	inWord, escaped := false, false
	for _, r := range s {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("unbalanced quotes in %s", strconv.Quote(s))
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
