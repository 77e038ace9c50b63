package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/modules"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/providers/install"
	"github.com/tutti-dev/tutti/internal/secrets"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/states"
)

// The names of what lies beside a configuration.
const (
	storeDir        = ".tutti"
	lockFileName    = ".terraform.lock.hcl"
	environmentFile = "environment" // in the data folder, as other tools keep it
	defaultEnv      = "default"
)

// project is the directory a command works on: its configuration, store,
// environment and providers, each opened when first needed. Close gives all
// back. It is the working directory, or that of a stack of a project; what
// belongs to it is found with place.
type project struct {
	app      *App
	dir      string    // of the configuration; empty for the working directory
	dataDir  string    // .terraform, or what TF_DATA_DIR says
	workDir  string    // absolute
	ensemble *ensemble // the project that this is a stack of; nil for none
	closing  bool      // closes the ensemble as well
	adopted  bool      // of a stack: adopt was done

	cliConfig *install.Config
	keyring   *secrets.Keyring

	installing *install.Installer

	// Several steps of a workflow may be about one stack at the same time.
	opening, loading, starting sync.Mutex

	loaded      *configs.Config
	opened      *sqlite.Store
	providers   *providers.Pool
	stack       string // empty for a plain directory
	declared    string // what the project calls the stack: like stack, but for a plain directory in a project made for it
	environment string
	file        *stateFile // named by an option; nil where none is
	priced      *pricing   // see project.pricing

	toldUnreadable bool // that values of the state cannot be read was said
}

// place is where something lies that belongs to the configuration.
func (p *project) place(name string) string {
	if p.dir == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.dir, name)
}

// openProject opens what a command works on that is about one configuration:
// the working directory or, in a project, the stack that is selected.
func (a *App) openProject() (*project, diag.List) {
	e, diags := a.openEnsemble()
	if diags.HasErrors() {
		return nil, diags
	}
	if e == nil {
		return a.openDirectory("")
	}
	if len(e.names) != 1 {
		e.Close()
		return nil, diag.Errorf("Which stack?", "This project has several stacks, and this command works on one: choose it with -stack=NAME. Declared are: %s.", strings.Join(e.graph.Order, ", "))
	}
	return e.only(), diags
}

// openRoot opens what a command works on that is about no configuration: the
// working directory or the root of the project.
func (a *App) openRoot() (*project, diag.List) {
	e, diags := a.findEnsemble()
	if diags.HasErrors() {
		return nil, diags
	}
	if e == nil {
		return a.openDirectory("")
	}
	e.root.ensemble, e.root.closing = e, true
	return e.root, diags
}

// openDirectory opens a directory as it is.
func (a *App) openDirectory(dir string) (*project, diag.List) {
	workDir, err := filepath.Abs(dir)
	if err != nil {
		return nil, diag.Errorf("Cannot find the working directory", "%s.", err)
	}
	p := &project{app: a, dir: dir, dataDir: filepath.Join(dir, ".terraform"), workDir: workDir}
	if data := os.Getenv("TF_DATA_DIR"); data != "" {
		p.dataDir = p.place(data)
	}
	cliConfig, diags := install.LoadConfig(os.Environ())
	if diags.HasErrors() {
		return nil, diags
	}
	a.remark(append(diags, cliConfig.OverrideWarning()...))
	p.cliConfig = cliConfig
	keys := secrets.FromEnvironment()
	keys.Marker = markerOf(p.storeDir())
	p.keyring = secrets.NewKeyring(keys)
	p.environment, err = p.selectedEnvironment()
	if err != nil {
		return nil, diag.Errorf("Cannot read the selected environment", "%s.", err)
	}
	return p, nil
}

// Close ends provider processes and closes the store.
func (p *project) Close() {
	if p.closing {
		p.closing = false
		p.ensemble.Close()
		return
	}
	if p.providers != nil {
		_ = p.providers.Close()
	}
	if p.opened != nil && !p.isStack() {
		_ = p.opened.Close()
	}
}

// selectedEnvironment is what -env, TF_WORKSPACE or the last "workspace select"
// say.
func (p *project) selectedEnvironment() (string, error) {
	if p.app.environment != "" {
		return p.app.environment, nil
	}
	if name := os.Getenv("TF_WORKSPACE"); name != "" {
		return name, nil
	}
	data, err := os.ReadFile(filepath.Join(p.dataDir, environmentFile))
	if errors.Is(err, os.ErrNotExist) {
		return defaultEnv, nil
	}
	if err != nil {
		return "", err
	}
	if name := strings.TrimSpace(string(data)); name != "" {
		return name, nil
	}
	return defaultEnv, nil
}

// key names the state that is worked on. Every command has it from here.
func (p *project) key() states.Key { return p.keyIn(p.environment) }

// keyIn names the state in another environment than the selected one.
func (p *project) keyIn(environment string) states.Key {
	stack := p.stack
	if p.file != nil {
		// A file of its own is a state of its own.
		stack = "file:" + p.file.path
	}
	return states.Key{Stack: stack, Environment: environment}
}

// useKey has the project work on the state of a run.
func (p *project) useKey(key states.Key) {
	p.stack, p.environment = key.Stack, key.Environment
}

// aside is the same directory and store for work on another state beside this
// one. It is not to be closed.
func (p *project) aside(key states.Key) *project {
	return &project{
		app: p.app, dir: p.dir, dataDir: p.dataDir, workDir: p.workDir, cliConfig: p.cliConfig, keyring: p.keyring,
		installing: p.installing, opened: p.opened, stack: key.Stack, environment: key.Environment,
	}
}

// config loads the configuration. Its source text is what diagnostics quote
// from then on.
func (p *project) config(ctx context.Context) (*configs.Config, diag.List) {
	p.loading.Lock()
	defer p.loading.Unlock()
	if p.loaded != nil {
		return p.loaded, nil
	}
	has, err := configs.HasConfig(p.rootDir())
	if err != nil {
		return nil, diag.FromError(err)
	}
	if !has {
		return nil, diag.Errorf("No configuration files", "The directory %s contains no configuration files (*.tf, *.tf.json). Change to a directory that does, or give one with -chdir=DIR in front of the command.", p.workDir)
	}
	manifest, err := modules.ReadManifest(p.dataDir)
	if err != nil {
		return nil, diag.FromError(err)
	}
	cfg, diags := configs.Load(".", configs.LoadOptions{Resolve: manifest.Resolve("."), TerraformVersion: terraformVersion, Base: p.dir})
	if cfg != nil {
		p.quote(cfg.Files)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	p.loaded = cfg
	return cfg, append(diags, p.checkBackend(ctx, cfg)...)
}

// rootDir is the directory of the root module.
func (p *project) rootDir() string {
	if p.dir == "" {
		return "."
	}
	return p.dir
}

// configOrEmpty is config for commands that can do without one.
func (p *project) configOrEmpty(ctx context.Context) (*configs.Config, diag.List) {
	if has, err := configs.HasConfig(p.rootDir()); err == nil && has {
		return p.config(ctx)
	}
	return configs.Load(".", configs.LoadOptions{Snapshot: map[string][]byte{}})
}

// checkBackend refuses settings about where state is kept that cannot be
// honoured: state lives in Tutti's own store.
func (p *project) checkBackend(ctx context.Context, cfg *configs.Config) diag.List {
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
func (p *project) hasState(ctx context.Context) bool {
	if !p.hasStore() && (p.ensemble == nil || p.ensemble.host == nil) {
		return false
	}
	store, diags := p.store(ctx)
	if diags.HasErrors() {
		return false
	}
	st, err := store.State(ctx, p.key())
	return err == nil && st.Serial > 0
}

// hasStore reports whether anything was written to the store yet.
func (p *project) hasStore() bool {
	_, err := os.Stat(filepath.Join(p.storeDir(), "store.db"))
	return err == nil
}

// storeDir is where the store lies: one for all stacks of a project.
func (p *project) storeDir() string {
	if p.isStack() {
		return p.ensemble.root.place(storeDir)
	}
	return p.place(storeDir)
}

// isStack reports whether this is a stack of a project.
func (p *project) isStack() bool { return p.ensemble != nil && p != p.ensemble.root }

// store opens the state store and adopts a state file that other tools left
// beside the configuration.
func (p *project) store(ctx context.Context) (*sqlite.Store, diag.List) {
	p.opening.Lock()
	defer p.opening.Unlock()
	if p.opened != nil {
		return p.opened, nil
	}
	if p.isStack() {
		store, diags := p.ensemble.root.store(ctx)
		if diags.HasErrors() {
			return nil, diags
		}
		p.opened = store
		return store, append(diags, p.adoptStack(ctx)...)
	}
	store, err := sqlite.Open(ctx, p.storeDir(), sqlite.Options{Hider: p.keyring, Now: time.Now})
	if err != nil {
		return nil, storeProblem(p.storeDir(), err)
	}
	p.opened = store
	if p.ensemble != nil {
		return store, nil // state files lie beside the stacks
	}
	return store, p.adopt(ctx)
}

// state reads the state of the selected environment.
func (p *project) state(ctx context.Context) (*states.State, diag.List) {
	store, diags := p.store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	st, err := store.State(ctx, p.key())
	if err != nil {
		return nil, append(diags, diag.FromError(err)...)
	}
	if st.TerraformVersion == "" {
		st.TerraformVersion = terraformVersion
	}
	if len(st.Problems) > 0 && !p.toldUnreadable {
		p.toldUnreadable = true
		p.app.show(unreadable(st, diag.Warning, "They are shown as null."))
	}
	return st, diags
}

// unreadable says which values of a state could not be read.
func unreadable(st *states.State, severity diag.Severity, consequence string) diag.List {
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
