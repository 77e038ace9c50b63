package project

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// stateFile is the tfstate file that other tools keep for the selected
// environment.
type stateFile struct {
	path string
	// export says that the configuration or an option names the file, or that the
	// environment asks for it: it is kept up to date, at out.
	export bool
	out    string
	backup string // where an option puts what the file held before
}

// stateFileVariable is the environment variable that, set to "on", has the state
// file written after every change where Terraform would have it, for tools that
// read it there instead of asking the program.
const stateFileVariable = "TUTTI_STATE_FILE"

// UseStateFile makes the project work on a tfstate file that an option names,
// instead of the state of the environment. What is written goes to out, and what was
// there before to backup; where these are empty, the file is kept up to date, and the
// backup beside it.
func (p *Directory) UseStateFile(path, out, backup string) {
	if path == "" && out == "" {
		return
	}
	p.File = &stateFile{path: path, out: out, backup: backup, export: true}
	if path == "" {
		p.File.path = p.stateFile().path
	}
	if p.File.out == "" {
		p.File.out = p.File.path
	}
	if p.File.backup == "" {
		p.File.backup = p.File.out + ".backup"
	}
}

// stateFile finds where the configuration, read or not, has its state file.
func (p *Directory) stateFile() stateFile {
	if p.File != nil && p.File.export {
		return *p.File
	}
	path, folder, explicit := "terraform.tfstate", "terraform.tfstate.d", os.Getenv(stateFileVariable) == "on"
	var backend *configs.Backend
	if p.Loaded != nil {
		backend = p.Loaded.Root.Backend
	} else if has, err := configs.HasConfig(p.RootDir()); err == nil && has {
		if m, _ := configs.LoadModule(p.RootDir(), nil); m != nil {
			backend = m.Backend
		}
	}
	if backend != nil && backend.Type == "local" {
		attrs, _ := backend.Config.JustAttributes()
		constant := func(name string) string {
			if attr := attrs[name]; attr != nil {
				if v, diags := attr.Expr.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
					return v.AsString()
				}
			}
			return ""
		}
		if text := constant("path"); text != "" {
			path, explicit = text, true
		}
		if text := constant("workspace_dir"); text != "" {
			folder = text
		}
	}
	if p.Environment != DefaultEnvironment {
		path = filepath.Join(folder, p.Environment, "terraform.tfstate")
	}
	path = p.Place(path)
	return stateFile{path: path, export: explicit, out: path}
}

// adopt takes over the state file of another tool, once: when the store knows
// nothing yet about the environment. The file is left as it was. A file that
// has moved on since is worth a warning.
func (p *Directory) adopt(ctx context.Context) diag.List {
	file := p.stateFile()
	data, err := os.ReadFile(file.path)
	if errors.Is(err, os.ErrNotExist) || len(bytes.TrimSpace(data)) == 0 && err == nil {
		return nil
	}
	if err != nil {
		return diag.Errorf("Cannot read state file", "There is a state file beside this configuration, but it cannot be read: %s.", files.Reason(err))
	}
	have, err := p.Opened.State(ctx, p.Key())
	if err != nil {
		return diag.FromError(err)
	}
	st, err := states.Decode(data)
	if err != nil {
		if have.Serial > 0 {
			return nil // adopted before: what became of the file does not matter
		}
		return diag.InFile(file.path+" cannot be adopted", diag.FromError(err))
	}
	if have.Serial > 0 && p.File == nil {
		if have.Lineage == st.Lineage && st.Serial > have.Serial {
			return diag.Warningf("State file is newer", "%s was changed by another tool after Tutti adopted it: it has serial %d, Tutti's own state has %d. What the other tool did is not known here. To take the file over, run:\n    tutti state push %[1]s", file.path, st.Serial, have.Serial)
		}
		return nil
	}
	if have.Lineage == st.Lineage && have.Serial == st.Serial && have.Serial > 0 {
		return nil
	}
	if err := p.Opened.Write(ctx, p.Key(), WholeState(p.Session.Actor(), p.Key(), have, st, "adopt")); err != nil {
		return diag.Errorf("Cannot adopt state", "%s cannot be brought into Tutti's own store: %s.", file.path, err)
	}
	if p.File != nil {
		return nil // named on purpose: nothing to tell
	}
	p.Session.Tell(fmt.Sprintf("Adopted the state in %s (%d objects) into %s/. The file stays as it is.\n\n", file.path, len(st.Instances), p.StoreDir()))
	return nil
}

// Export writes the state file that the configuration names, after a change.
func (p *Directory) Export(ctx context.Context) diag.List {
	file := p.stateFile()
	if !file.export || p.File == nil && p.Stack != "" && !p.IsStack() {
		return nil // the file in this directory is not that of another stack
	}
	st, diags := p.State(ctx)
	if diags.HasErrors() {
		return diags
	}
	if before, err := os.ReadFile(file.out); err == nil && file.backup != "" && file.backup != "-" {
		if err := files.Replace(file.backup, before, 0o600); err != nil {
			return diag.Warningf("Cannot write backup", "What the state file held before could not be kept: %s.", err)
		}
	}
	if err := WriteState(file.out, st); err != nil {
		return diag.Warningf("Cannot write state file", "The state is safe in Tutti's own store, but the file that the configuration names could not be brought up to date: %s.", err)
	}
	return nil
}

// WriteState writes a state as a tfstate file, all or nothing.
func WriteState(path string, st *states.State) error {
	data, err := states.Encode(st)
	if err != nil {
		return err
	}
	if dir := filepath.Dir(path); dir != "." {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return files.Replace(path, data, 0o600)
}

// WholeState is the write that makes one state be as another.
func WholeState(actor string, key states.Key, have, want *states.State, cause string) states.Write {
	w := states.Write{
		Cause: cause, Lineage: want.Lineage, Serial: want.Serial, TerraformVersion: want.TerraformVersion,
		CheckResults: want.CheckResults, Outputs: map[string]*states.Output{},
	}
	for _, inst := range want.Sorted() {
		w.Changes = append(w.Changes, states.Change{Object: inst.Object, Before: have.Instances[inst.Object], After: inst})
	}
	for _, inst := range have.Sorted() {
		if want.Instances[inst.Object] == nil {
			w.Changes = append(w.Changes, states.Change{Object: inst.Object, Before: inst})
		}
	}
	for name := range have.Outputs {
		w.Outputs[name] = nil
	}
	for name, o := range want.Outputs {
		w.Outputs[name] = o
	}
	w.Events = StateEvents(actor, key, cause, w.Changes)
	return w
}
