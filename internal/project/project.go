package project

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/modules"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/providers/install"
	"github.com/tutti-dev/tutti/internal/secrets"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/states"
)

// The names of what lies beside a configuration.
const (
	storeDir           = ".tutti"
	LockFileName       = ".terraform.lock.hcl"
	environmentFile    = "environment" // in the data folder, as other tools keep it
	DefaultEnvironment = "default"
)

// Directory is what a command works on: its configuration, store,
// environment and providers, each opened when first needed. Close gives all
// back. It is the working directory, or that of a stack of a project; what
// belongs to it is found with [Directory.Place].
type Directory struct {
	Session  *Session
	Dir      string    // of the configuration; empty for the working directory
	DataDir  string    // .terraform, or what TF_DATA_DIR says
	WorkDir  string    // absolute
	Ensemble *Ensemble // the project that this is a stack of; nil for none
	closing  bool      // closes the ensemble as well
	adopted  bool      // of a stack: adopt was done

	CLIConfig *install.Config
	Keyring   *secrets.Keyring

	installing *install.Installer

	// Several steps of a workflow may be about one stack at the same time.
	opening, loading, starting sync.Mutex

	Loaded      *configs.Config
	Opened      *sqlite.Store
	Providers   *providers.Pool
	Stack       string // empty for a plain directory
	Declared    string // what the project calls the stack: like stack, but for a plain directory in a project made for it
	Environment string
	File        *stateFile // named by an option; nil where none is

	toldUnreadable bool // that values of the state cannot be read was said
}

// Place is where something lies that belongs to the configuration.
func (p *Directory) Place(name string) string {
	if p.Dir == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.Dir, name)
}

// OpenProject opens what a command works on that is about one configuration:
// the working directory or, in a project, the stack that is selected.
func (s *Session) OpenProject() (*Directory, diag.List) {
	e, diags := s.OpenEnsemble()
	if diags.HasErrors() {
		return nil, diags
	}
	if e == nil {
		return s.OpenDirectory("")
	}
	if len(e.Names) != 1 {
		e.Close()
		return nil, diag.Errorf("Which stack?", "This project has several stacks, and this command works on one: choose it with -stack=NAME. Declared are: %s.", strings.Join(e.Graph.Order, ", "))
	}
	return e.only(), diags
}

// OpenRoot opens what a command works on that is about no configuration: the
// working directory or the root of the project.
func (s *Session) OpenRoot() (*Directory, diag.List) {
	e, diags := s.FindEnsemble()
	if diags.HasErrors() {
		return nil, diags
	}
	if e == nil {
		return s.OpenDirectory("")
	}
	e.Root.Ensemble, e.Root.closing = e, true
	return e.Root, diags
}

// OpenDirectory opens a directory as it is.
func (s *Session) OpenDirectory(dir string) (*Directory, diag.List) {
	workDir, err := filepath.Abs(dir)
	if err != nil {
		return nil, diag.Errorf("Cannot find the working directory", "%s.", err)
	}
	p := &Directory{Session: s, Dir: dir, DataDir: filepath.Join(dir, ".terraform"), WorkDir: workDir}
	if data := os.Getenv("TF_DATA_DIR"); data != "" {
		p.DataDir = p.Place(data)
	}
	cliConfig, diags := install.LoadConfig(os.Environ())
	if diags.HasErrors() {
		return nil, diags
	}
	s.remark(append(diags, cliConfig.OverrideWarning()...))
	p.CLIConfig = cliConfig
	keys := secrets.FromEnvironment()
	keys.Marker = markerOf(p.StoreDir())
	p.Keyring = secrets.NewKeyring(keys)
	p.Environment, err = p.selectedEnvironment()
	if err != nil {
		return nil, diag.Errorf("Cannot read the selected environment", "%s.", err)
	}
	return p, nil
}

// Close ends provider processes and closes the store.
func (p *Directory) Close() {
	if p.closing {
		p.closing = false
		p.Ensemble.Close()
		return
	}
	if p.Providers != nil {
		_ = p.Providers.Close()
	}
	if p.Opened != nil && !p.IsStack() {
		_ = p.Opened.Close()
	}
}

// selectedEnvironment is what -env, TF_WORKSPACE or the last "workspace select"
// say.
func (p *Directory) selectedEnvironment() (string, error) {
	if p.Session.Environment != "" {
		return p.Session.Environment, nil
	}
	if name := os.Getenv("TF_WORKSPACE"); name != "" {
		return name, nil
	}
	data, err := os.ReadFile(filepath.Join(p.DataDir, environmentFile))
	if errors.Is(err, os.ErrNotExist) {
		return DefaultEnvironment, nil
	}
	if err != nil {
		return "", err
	}
	if name := strings.TrimSpace(string(data)); name != "" {
		return name, nil
	}
	return DefaultEnvironment, nil
}

// Key names the state that is worked on. Every command has it from here.
func (p *Directory) Key() states.Key { return p.KeyIn(p.Environment) }

// KeyIn names the state in another environment than the selected one.
func (p *Directory) KeyIn(environment string) states.Key {
	stack := p.Stack
	if p.File != nil {
		// A file of its own is a state of its own.
		stack = "file:" + p.File.path
	}
	return states.Key{Stack: stack, Environment: environment}
}

// UseKey has the project work on the state of a run.
func (p *Directory) UseKey(key states.Key) {
	p.Stack, p.Environment = key.Stack, key.Environment
}

// Aside is the same directory and store for work on another state beside this
// one. It is not to be closed.
func (p *Directory) Aside(key states.Key) *Directory {
	return &Directory{
		Session: p.Session, Dir: p.Dir, DataDir: p.DataDir, WorkDir: p.WorkDir, CLIConfig: p.CLIConfig, Keyring: p.Keyring,
		installing: p.installing, Opened: p.Opened, Stack: key.Stack, Environment: key.Environment,
	}
}

// Config loads the configuration. Its source text is what diagnostics quote
// from then on.
func (p *Directory) Config(ctx context.Context) (*configs.Config, diag.List) {
	p.loading.Lock()
	defer p.loading.Unlock()
	if p.Loaded != nil {
		return p.Loaded, nil
	}
	has, err := configs.HasConfig(p.RootDir())
	if err != nil {
		return nil, diag.FromError(err)
	}
	if !has {
		return nil, diag.Errorf("No configuration files", "The directory %s contains no configuration files (*.tf, *.tf.json). Change to a directory that does, or give one with -chdir=DIR in front of the command.", p.WorkDir)
	}
	manifest, err := modules.ReadManifest(p.DataDir)
	if err != nil {
		return nil, diag.FromError(err)
	}
	cfg, diags := configs.Load(".", configs.LoadOptions{Resolve: manifest.Resolve("."), TerraformVersion: TerraformVersion, Base: p.Dir})
	if cfg != nil {
		p.Quote(cfg.Files)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	p.Loaded = cfg
	return cfg, append(diags, p.checkBackend(ctx, cfg)...)
}

// RootDir is the directory of the root module.
func (p *Directory) RootDir() string {
	if p.Dir == "" {
		return "."
	}
	return p.Dir
}

// ConfigOrEmpty is [Directory.Config] for commands that can do without one.
func (p *Directory) ConfigOrEmpty(ctx context.Context) (*configs.Config, diag.List) {
	if has, err := configs.HasConfig(p.RootDir()); err == nil && has {
		return p.Config(ctx)
	}
	return configs.Load(".", configs.LoadOptions{Snapshot: map[string][]byte{}})
}

// checkBackend refuses settings about where state is kept that cannot be
// honoured: state lives in Tutti's own store.
func (p *Directory) checkBackend(ctx context.Context, cfg *configs.Config) diag.List {
	b := cfg.Root.Backend
	if b == nil || b.Type == "local" || p.hasState(ctx) {
		return nil
	}
	what := "The backend \"" + b.Type + "\""
	if b.Type == "cloud" {
		what = "A cloud block"
	}
	return diag.ErrorAt(b.DeclRange, "State is kept in Tutti's own store",
		"%s has no use here: Tutti keeps state in its own store (%s/ in this directory), with a row per resource, history and encryption. To bring the existing state in, get it as a file with the tool that manages it now and push it:\n\n    terraform state pull > current.tfstate\n    tutti state push current.tfstate\n\nThen remove this block, or keep it for other tools in a file that overrides it here (for example backend_override.tf with terraform { backend \"local\" {} }).", what, storeDir)
}

// hasState reports whether the store holds a state already. A foreign backend's
// block is then left alone, so that other tools can still read the files.
func (p *Directory) hasState(ctx context.Context) bool {
	if !p.HasStore() && (p.Ensemble == nil || p.Ensemble.Host == nil) {
		return false
	}
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return false
	}
	st, err := store.State(ctx, p.Key())
	return err == nil && st.Serial > 0
}

// HasStore reports whether anything was written to the store yet.
func (p *Directory) HasStore() bool {
	_, err := os.Stat(filepath.Join(p.StoreDir(), "store.db"))
	return err == nil
}

// StoreDir is where the store lies: one for all stacks of a project.
func (p *Directory) StoreDir() string {
	if p.IsStack() {
		return p.Ensemble.Root.Place(storeDir)
	}
	return p.Place(storeDir)
}

// IsStack reports whether this is a stack of a project.
func (p *Directory) IsStack() bool { return p.Ensemble != nil && p != p.Ensemble.Root }

// Store opens the state store and adopts a state file that other tools left
// beside the configuration.
func (p *Directory) Store(ctx context.Context) (*sqlite.Store, diag.List) {
	p.opening.Lock()
	defer p.opening.Unlock()
	if p.Opened != nil {
		return p.Opened, nil
	}
	if p.IsStack() {
		store, diags := p.Ensemble.Root.Store(ctx)
		if diags.HasErrors() {
			return nil, diags
		}
		p.Opened = store
		return store, append(diags, p.adoptStack(ctx)...)
	}
	store, err := sqlite.Open(ctx, p.StoreDir(), sqlite.Options{Hider: p.Keyring, Now: time.Now})
	if err != nil {
		return nil, storeProblem(p.StoreDir(), err)
	}
	p.Opened = store
	if p.Ensemble != nil {
		return store, nil // state files lie beside the stacks
	}
	return store, p.adopt(ctx)
}

// State reads the state of the selected environment.
func (p *Directory) State(ctx context.Context) (*states.State, diag.List) {
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	st, err := store.State(ctx, p.Key())
	if err != nil {
		return nil, append(diags, diag.FromError(err)...)
	}
	if st.TerraformVersion == "" {
		st.TerraformVersion = TerraformVersion
	}
	if len(st.Problems) > 0 && !p.toldUnreadable {
		p.toldUnreadable = true
		p.Session.Show(Unreadable(st, diag.Warning, "They are shown as null."))
	}
	return st, diags
}

// Unreadable says which values of a state could not be read.
func Unreadable(st *states.State, severity diag.Severity, consequence string) diag.List {
	const most = 10
	shown := st.Problems
	more := ""
	if len(shown) > most {
		more = fmt.Sprintf("\n  … and %d more", len(shown)-most)
		shown = shown[:most]
	}
	return diag.List{{
		Severity: severity, Summary: "Values of the state cannot be read",
		Detail: consequence + " Sensitive values are sealed with a key: give the one they were written with, in TUTTI_STATE_KEY, TUTTI_STATE_KEY_FILE or TUTTI_STATE_KEY_COMMAND.\n\n  " + strings.Join(shown, "\n  ") + more,
	}}
}

// projectVariable is the environment variable that, set to "off", makes the
// directory of a stack a plain one.
const projectVariable = "TUTTI_PROJECT"

// Prior is the state to plan from. One that cannot be read in full will do for
// destroying only.
func (p *Directory) Prior(ctx context.Context, mode plans.Mode) (*states.State, diag.List) {
	prior, diags := p.State(ctx)
	if !diags.HasErrors() && len(prior.Problems) > 0 && mode != plans.Destroy {
		// Planned from nulls, everything that uses these values would change.
		diags = append(diags, Unreadable(prior, diag.Error, "A plan made without them would be wrong.")...)
	}
	return prior, diags
}

// CostRoot is the project that prices and budgets belong to: that of all stacks.
func (p *Directory) CostRoot() *Directory {
	switch {
	case p.Ensemble == nil:
		return p
	case p.Ensemble.Host != nil:
		return p.Ensemble.Host
	}
	return p.Ensemble.Root
}

// PolicyRoot is the directory whose project files have the policies.
func (p *Directory) PolicyRoot() string {
	return p.CostRoot().RootDir()
}

// markerOf is the file of a store that names its key.
func markerOf(storeDir string) string { return filepath.Join(storeDir, "key") }

const (
	// ChangeName is what the workflow of a change is called. It is no name that a
	// project could give one of its own in a file that is called ChangeFile.
	ChangeName = "change"
	// DirectoryName is the stack that stands for a plain directory there.
	DirectoryName = "directory"
	// ChangeFile is the file that the workflow of a change is in.
	ChangeFile = ".change" + projects.Suffix
)

// IsDirectory reports whether a stack stands for a plain directory, in a project
// that was made for a change of it. Its state is the directory's own.
func IsDirectory(s *projects.Stack) bool {
	return s.Name == DirectoryName && filepath.Base(s.DeclRange.Filename) == ChangeFile
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
