package project

import (
	"context"
	"os"
	"path/filepath"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/builtin"
	"github.com/tutti-dev/tutti/internal/configs/modules"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/providers/install"
)

// Factory returns the project's providers: the built-in one, and processes of
// those that are installed.
func (p *Directory) Factory() providers.Factory {
	p.starting.Lock()
	defer p.starting.Unlock()
	if p.Providers != nil {
		return p.Providers
	}
	pool, err := providers.NewPool(providers.PoolOptions{
		BuiltIn: map[addrs.Provider]providers.Provider{
			builtin.Address: builtin.New(builtin.Options{WorkingDir: p.WorkDir, Functions: functions.TerraformProviderFunctions()}),
		},
		Find: func(_ context.Context, addr addrs.Provider) (providers.Installed, error) {
			found, diags := p.Installer(nil).Find(addr, p.InstallOptions())
			if diags.HasErrors() {
				return providers.Installed{}, diags.Err()
			}
			return providers.Installed{Version: found.Version, Executable: found.Executable, Digest: found.Digest}, nil
		},
		CacheDir: schemaCache(), Dir: p.Dir, Known: p.knownSchemas(),
	})
	if err != nil {
		return brokenFactory{err}
	}
	p.Providers = pool
	return pool
}

// schemaCache is the folder where schemas of providers are kept between
// commands. A provider whose schemas depend on more than its program needs
// TUTTI_SCHEMA_CACHE=off.
func schemaCache() string {
	if os.Getenv("TUTTI_SCHEMA_CACHE") == "off" {
		return ""
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "tutti")
}

// brokenFactory stands for a pool that could not be made.
type brokenFactory struct{ err error }

func (f brokenFactory) Acquire(context.Context, addrs.Provider, bool) (providers.Provider, error) {
	return nil, f.err
}

func (f brokenFactory) Schemas(context.Context, addrs.Provider) (*providers.Schemas, diag.List) {
	return nil, diag.FromError(f.err)
}

func (f brokenFactory) Close() error { return nil }

// Installer installs and finds providers as the user's configuration says, or
// from the mirrors given alone.
func (p *Directory) Installer(mirrors []string) *install.Installer {
	if len(mirrors) > 0 {
		return &install.Installer{Config: p.CLIConfig.ForMirrors(mirrors...)}
	}
	if p.installing == nil {
		p.installing = &install.Installer{Config: p.CLIConfig}
	}
	return p.installing
}

// InstallOptions say where providers of the directory are installed.
func (p *Directory) InstallOptions() install.Options {
	return install.Options{DataDir: p.DataDir, LockFile: p.Place(LockFileName)}
}

// knownSchemas are shared by the stacks of a project.
func (p *Directory) knownSchemas() *providers.KnownSchemas {
	if p.Ensemble == nil {
		return nil
	}
	return &p.Ensemble.schemas
}

// ProviderLock says which build of a provider is installed.
func (p *Directory) ProviderLock(_ context.Context, addr addrs.Provider) (plans.ProviderLock, bool) {
	found, diags := p.Installer(nil).Find(addr, p.InstallOptions())
	if diags.HasErrors() {
		return plans.ProviderLock{}, false
	}
	return plans.ProviderLock{Version: found.Version, Digest: found.Digest}, true
}

// services are the hosts and credentials that modules are downloaded with.
func (p *Directory) services() modules.Services {
	return modules.Services{Tokens: p.CLIConfig.Tokens, Overrides: p.CLIConfig.Services}
}
