package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/tutti-dev/tutti/internal/files"
)

// The scripts ask the program itself: "tutti __complete WORD…" prints what the
// last word may become, one candidate a line, and the line ":files" where file
// names are wanted as well.
const (
	bashScript = `_tutti() {
  local cur="${COMP_WORDS[COMP_CWORD]}" line files=0
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then files=1; else COMPREPLY+=("$(printf %q "$line")"); fi
  done < <(tutti __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if ((files)); then
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
    compopt -o filenames 2>/dev/null
  fi
}
complete -o nosort -F _tutti tutti
`
	zshScript = `#compdef tutti
_tutti() {
  local -a lines; local line files=0
  for line in ${(f)"$(tutti __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"}; do
    if [[ $line == :files ]]; then files=1; else lines+=("$line"); fi
  done
  (( ${#lines} )) && compadd -- "${lines[@]}"
  (( files )) && _files
}
compdef _tutti tutti
`
	fishScript = `function __tutti_complete
  set -l words (commandline -opc) (commandline -ct)
  for line in (tutti __complete $words[2..-1] 2>/dev/null)
    if test "$line" = :files
      __fish_complete_path (commandline -ct)
    else
      echo $line
    end
  end
end
complete -c tutti -f -a '(__tutti_complete)'
`
)

// completionCommand is "tutti completion SHELL".
func completionCommand() *command {
	return &command{
		name: "completion", args: "SHELL", summary: "Print a completion script for bash, zsh or fish",
		about: `The script completes commands, options, environments, resource addresses and runs. To have it in every new shell, add the line below to the start file of your shell, or run tutti -install-autocomplete, which does that for you.`,
		example: `
source <(tutti completion bash)       # ~/.bashrc
source <(tutti completion zsh)        # ~/.zshrc
tutti completion fish | source        # ~/.config/fish/config.fish
`,
		minArgs: 1, maxArgs: 1,
		complete: func(*App, []string) []string { return []string{"bash", "fish", "zsh"} },
		setup: func(*flagSet) action {
			return func(_ context.Context, app *App, args []string) int {
				script := map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[args[0]]
				if script == "" {
					return app.failf("Unknown shell", "There are completion scripts for bash, zsh and fish, not for %q.", args[0])
				}
				fmt.Fprint(app.Out, script)
				return exitOK
			}
		},
	}
}

// completeWord is the hidden command of the completion scripts.
const completeWord = "__complete"

// completions prints the candidates for the last of words. It bypasses flag
// parsing, because the words are somebody else's command line.
func (a *App) completions(words []string) int {
	if len(words) == 0 {
		words = []string{""}
	}
	done, last := words[:len(words)-1], words[len(words)-1]
	for len(done) > 0 && strings.HasPrefix(done[0], "-chdir=") {
		if os.Chdir(strings.TrimPrefix(done[0], "-chdir=")) != nil {
			return exitOK
		}
		done = done[1:]
	}
	cmd, name, rest := a.root.resolve(done)
	var list []string
	files := false
	switch {
	case len(rest) == 0 && len(cmd.sub) > 0:
		for _, s := range cmd.sub {
			if !s.hidden {
				list = append(list, s.name)
			}
		}
		if name == "" && strings.HasPrefix(last, "-") {
			list = []string{"-chdir=", "-help", "-version"}
		}
	case cmd.setup == nil:
	case strings.HasPrefix(last, "-"):
		list = flagCandidates(cmd, last)
	case cmd.complete != nil:
		list = cmd.complete(a, rest)
	default:
		files = cmd.maxArgs != 0
	}
	sort.Strings(list)
	for _, s := range list {
		if strings.HasPrefix(s, last) {
			fmt.Fprintln(a.Out, s)
		}
	}
	if files {
		fmt.Fprintln(a.Out, ":files")
	}
	return exitOK
}

func flagCandidates(cmd *command, last string) []string {
	f := newFlagSet(cmd.name)
	cmd.setup(f)
	cmd.registerScope(newApp(nil, nil, nil, nil), f)
	dash := "-"
	if strings.HasPrefix(last, "--") {
		dash = "--"
	}
	list := []string{dash + "help"}
	for _, d := range f.docs {
		switch {
		case d.Text == "":
		case d.Boolean:
			list = append(list, dash+d.Name)
		default:
			list = append(list, dash+d.Name+"=")
		}
	}
	return list
}

// installCompletion adds the completion script to the start files of the shells
// this user has, or takes it away again.
func (a *App) installCompletion(install bool) int {
	home, err := os.UserHomeDir()
	if err != nil {
		return a.failf("Cannot find the home directory", "%s.", err)
	}
	lines := map[string]string{
		filepath.Join(home, ".bashrc"):                        "source <(tutti completion bash)",
		filepath.Join(home, ".zshrc"):                         "source <(tutti completion zsh)",
		filepath.Join(home, ".config", "fish", "config.fish"): "tutti completion fish | source",
	}
	files := make([]string, 0, len(lines))
	for file := range lines {
		files = append(files, file)
	}
	sort.Strings(files)
	touched := 0
	for _, file := range files {
		changed, err := editStartFile(file, lines[file], install)
		if err != nil {
			return a.failf("Cannot change the start file of a shell", "%s.", err)
		}
		if changed {
			touched++
			fmt.Fprintf(a.Out, "Changed %s\n", file)
		}
	}
	if touched == 0 {
		fmt.Fprintln(a.Out, "Nothing to change: no start file of bash, zsh or fish needs it.")
	}
	return exitOK
}

// editStartFile adds or removes one line of an existing file.
func editStartFile(file, line string, install bool) (bool, error) {
	raw, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	text := string(raw)
	has := strings.Contains("\n"+text, "\n"+line+"\n")
	if has == install {
		return false, nil
	}
	if install {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		text += line + "\n"
	} else {
		text = strings.TrimPrefix(strings.Replace("\n"+text, "\n"+line+"\n", "\n", 1), "\n")
	}
	info, err := os.Stat(file)
	if err != nil {
		return false, err
	}
	return true, files.Replace(file, []byte(text), info.Mode().Perm())
}
