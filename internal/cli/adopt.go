package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
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

// useStateFile makes the project work on a tfstate file that an option names,
// instead of the state of the environment.
func (p *project) useStateFile(o *stateOptions) {
	if o.state == "" && o.stateOut == "" {
		return
	}
	p.file = &stateFile{path: o.state, out: o.stateOut, backup: o.backup, export: true}
	if o.state == "" {
		p.file.path = p.stateFile().path
	}
	if p.file.out == "" {
		p.file.out = p.file.path
	}
	if p.file.backup == "" {
		p.file.backup = p.file.out + ".backup"
	}
}

// stateFile finds where the configuration, read or not, has its state file.
func (p *project) stateFile() stateFile {
	if p.file != nil && p.file.export {
		return *p.file
	}
	path, folder, explicit := "terraform.tfstate", "terraform.tfstate.d", os.Getenv(stateFileVariable) == "on"
	var backend *configs.Backend
	if p.loaded != nil {
		backend = p.loaded.Root.Backend
	} else if has, err := configs.HasConfig(p.rootDir()); err == nil && has {
		if m, _ := configs.LoadModule(p.rootDir(), nil); m != nil {
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
	if p.environment != defaultEnv {
		path = filepath.Join(folder, p.environment, "terraform.tfstate")
	}
	path = p.place(path)
	return stateFile{path: path, export: explicit, out: path}
}

// adopt takes over the state file of another tool, once: when the store knows
// nothing yet about the environment. The file is left as it was. A file that
// has moved on since is worth a warning.
func (p *project) adopt(ctx context.Context) diag.List {
	file := p.stateFile()
	data, err := os.ReadFile(file.path)
	if errors.Is(err, os.ErrNotExist) || len(bytes.TrimSpace(data)) == 0 && err == nil {
		return nil
	}
	if err != nil {
		return diag.Errorf("Cannot read state file", "There is a state file beside this configuration, but it cannot be read: %s.", fileReason(err))
	}
	have, err := p.opened.State(ctx, p.key())
	if err != nil {
		return diag.FromError(err)
	}
	st, err := states.Decode(data)
	if err != nil {
		if have.Serial > 0 {
			return nil // adopted before: what became of the file does not matter
		}
		return inFile(file.path+" cannot be adopted", diag.FromError(err))
	}
	if have.Serial > 0 && p.file == nil {
		if have.Lineage == st.Lineage && st.Serial > have.Serial {
			return diag.Warningf("State file is newer", "%s was changed by another tool after Tutti adopted it: it has serial %d, Tutti's own state has %d. What the other tool did is not known here. To take the file over, run:\n    tutti state push %[1]s", file.path, st.Serial, have.Serial)
		}
		return nil
	}
	if have.Lineage == st.Lineage && have.Serial == st.Serial && have.Serial > 0 {
		return nil
	}
	if err := p.opened.Write(ctx, p.key(), wholeState(p.app.actor(), p.key(), have, st, "adopt")); err != nil {
		return diag.Errorf("Cannot adopt state", "%s cannot be brought into Tutti's own store: %s.", file.path, err)
	}
	if p.file != nil {
		return nil // named on purpose: nothing to tell
	}
	p.app.tell(fmt.Sprintf("Adopted the state in %s (%d objects) into %s/. The file stays as it is.\n\n", file.path, len(st.Instances), p.storeDir()))
	return nil
}

// wholeState is the write that makes one state be as another.
func wholeState(actor string, key states.Key, have, want *states.State, cause string) states.Write {
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
	w.Events = stateEvents(actor, key, cause, w.Changes)
	return w
}

// export writes the state file that the configuration names, after a change.
func (p *project) export(ctx context.Context) diag.List {
	file := p.stateFile()
	if !file.export || p.file == nil && p.stack != "" && !p.isStack() {
		return nil // the file in this directory is not that of another stack
	}
	st, diags := p.state(ctx)
	if diags.HasErrors() {
		return diags
	}
	if before, err := os.ReadFile(file.out); err == nil && file.backup != "" && file.backup != "-" {
		if err := replaceFile(file.backup, before, 0o600); err != nil {
			return diag.Warningf("Cannot write backup", "What the state file held before could not be kept: %s.", err)
		}
	}
	if err := writeState(file.out, st); err != nil {
		return diag.Warningf("Cannot write state file", "The state is safe in Tutti's own store, but the file that the configuration names could not be brought up to date: %s.", err)
	}
	return nil
}

// writeState writes a state as a tfstate file, all or nothing.
func writeState(path string, st *states.State) error {
	data, err := states.Encode(st)
	if err != nil {
		return err
	}
	if dir := filepath.Dir(path); dir != "." {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return replaceFile(path, data, 0o600)
}
