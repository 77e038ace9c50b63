package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
)

// exitUnformatted is fmt -check's answer that something is to be done.
const exitUnformatted = 3

// formatOptions are the flags of fmt.
type formatOptions struct {
	list, write, diff, check, recursive bool
}

func fmtCommand() *command {
	return &command{
		name: "fmt", args: "[PATH...]", summary: "Rewrite configuration files in the standard style", maxArgs: -1,
		about: `Formats files in the language's native syntax: configuration (.tf, .tofu, .tutti.hcl), variables (.tfvars) and tests (.tftest.hcl, .tuttitest.hcl). Without a path, those of the current directory; a directory means the files in it; - means standard input.

With -check nothing is written, and the exit code is 3 if a file is not in the standard style.`,
		setup: func(f *flagSet) action {
			o := &formatOptions{list: true, write: true}
			f.toggle(&o.list, "list", "Whether to list the files that differ; off with -.")
			f.toggle(&o.write, "write", "Whether to write the files; off with - and -check.")
			f.toggle(&o.diff, "diff", "Show the differences.")
			f.toggle(&o.check, "check", "Only check.")
			f.toggle(&o.recursive, "recursive", "Files in subdirectories as well.")
			return o.run
		},
	}
}

func (o *formatOptions) run(_ context.Context, app *App, args []string) int {
	if len(args) == 0 {
		args = []string{"."}
	}
	if o.check {
		o.write = false
	}
	var diags diag.List
	sources := map[string][]byte{}
	changed := false
	format := func(name string, src []byte, inPlace string) {
		sources[name] = src
		_, parseDiags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
		if parseDiags.HasErrors() {
			diags = append(diags, diag.FromHCL(parseDiags)...)
			return
		}
		out := configs.Format(src)
		differs := !bytes.Equal(out, src)
		changed = changed || differs
		if inPlace == "" {
			o.showStdin(app.Out, src, out)
			return
		}
		if differs {
			diags = append(diags, o.settle(app.Out, inPlace, src, out)...)
		}
	}
	for _, arg := range args {
		if arg == "-" {
			src, err := io.ReadAll(app.In)
			if err != nil {
				return app.failf("Cannot read standard input", "%s.", err)
			}
			format("<stdin>", src, "")
			continue
		}
		found, err := o.files(arg)
		if err != nil {
			diags = append(diags, diag.Errorf("Cannot format "+arg, "%s.", files.Reason(err))...)
		}
		for _, file := range found {
			src, err := os.ReadFile(file)
			if err != nil {
				diags = append(diags, diag.Errorf("Cannot read file", "%s.", files.Reason(err))...)
				continue
			}
			format(file, src, file)
		}
	}
	if len(diags) > 0 {
		app.Diagnostics(diags, sources)
	}
	switch {
	case diags.HasErrors():
		return exitChanges // 2, as Terraform's fmt answers for files it cannot read
	case o.check && changed:
		return exitUnformatted
	}
	return exitOK
}

// showStdin prints what became of standard input.
func (o *formatOptions) showStdin(w io.Writer, src, out []byte) {
	switch {
	case o.diff:
		_, _ = w.Write(unifiedDiff("<stdin>", src, out))
	case !o.check:
		_, _ = w.Write(out)
	}
}

// settle lists, shows and writes one file that is not in the standard style.
func (o *formatOptions) settle(w io.Writer, file string, src, out []byte) diag.List {
	if o.list {
		fmt.Fprintln(w, file)
	}
	if o.diff {
		_, _ = w.Write(unifiedDiff(file, src, out))
	}
	if !o.write {
		return nil
	}
	info, err := os.Stat(file)
	if err == nil {
		err = files.Replace(file, out, info.Mode().Perm())
	}
	if err != nil {
		return diag.Errorf("Cannot write file", "%s.", err)
	}
	return nil
}

// unifiedDiff returns the difference as patch reads it.
func unifiedDiff(file string, before, after []byte) []byte {
	text := diff.Diff("old/"+filepath.ToSlash(file), before, "new/"+filepath.ToSlash(file), after)
	if _, rest, ok := bytes.Cut(text, []byte("\n")); ok { // without the "diff" line
		return rest
	}
	return text
}

// files lists what an argument means: the file itself, or the files of a
// directory.
func (o *formatOptions) files(arg string) ([]string, error) {
	info, err := os.Stat(arg)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("there is no file or directory of that name")
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if !isFormattable(arg) {
			return nil, fmt.Errorf("only .tf, .tofu, .tfvars, .tftest.hcl, .tutti.hcl and .tuttitest.hcl files can be formatted")
		}
		return []string{arg}, nil
	}
	var files []string
	err = filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != arg && (!o.recursive || isHidden(d.Name())) {
				return filepath.SkipDir
			}
			return nil
		}
		if isFormattable(path) && !isHidden(d.Name()) {
			files = append(files, path)
		}
		return nil
	})
	return files, err
}

func isFormattable(name string) bool {
	for _, suffix := range []string{".tf", ".tofu", ".tfvars", ".tftest.hcl", ".tofutest.hcl", ".tfmock.hcl", ".tfquery.hcl", ".tutti.hcl", ".tuttitest.hcl"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// isHidden reports names that editors and tools use for themselves.
func isHidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") ||
		(strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#"))
}
