package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/archives"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/stacks"
)

// Speculative plans: a client sends the files of a project as it would have them, and
// the server plans them as if they were its own. The plan is looked at, and cannot be
// applied: it is kept as the document that clients are shown, and no more.

const (
	// sentPrefix and speculatedPrefix begin the keys of what is kept, for a while.
	sentPrefix       = "configuration/"
	speculatedPrefix = "speculative/"
	// sentFor is how long it is kept.
	sentFor = 24 * time.Hour
)

// errNotSpeculative says that a server does not plan what clients send.
var errNotSpeculative = fmt.Errorf("%w: this server plans no configurations that clients send: it was not started with -speculative-plans", api.ErrForbidden)

// Keep implements [api.Work].
func (w *serverWork) Keep(ctx context.Context, who access.Identity, archive []byte) (string, time.Time, error) {
	if !w.speculative {
		return "", time.Time{}, errNotSpeculative
	}
	if err := w.mayPlanSomething(ctx, who); err != nil {
		return "", time.Time{}, err
	}
	dir, err := actions.TakeScratch()
	if err != nil {
		return "", time.Time{}, err
	}
	defer actions.GiveBackScratch(dir)
	if err := archives.Unpack(archive, dir); err != nil { // so that whoever sent it is told
		return "", time.Time{}, diag.Errorf("Invalid configuration", "What was sent cannot be unpacked: %s.", err).Err()
	}
	sum := sha256.Sum256(archive)
	id, expires := hex.EncodeToString(sum[:]), time.Now().Add(sentFor).UTC()
	data, err := json.Marshal(archive)
	if err != nil {
		return "", time.Time{}, err
	}
	return id, expires, w.runner.Store.Cache(ctx, sentPrefix+id, data, true, expires)
}

// mayPlanSomething refuses who may plan nothing of the project anywhere.
func (w *serverWork) mayPlanSomething(ctx context.Context, who access.Identity) error {
	list, err := w.Stacks(ctx)
	if err != nil {
		return err
	}
	if environment, err := w.Environment(ctx); err == nil && environment != "" {
		list = append(list, api.StackState{Environment: environment})
	}
	err = fmt.Errorf("%w: %s may plan nothing here", api.ErrForbidden, who.Subject)
	for _, s := range list {
		if w.Authorize(ctx, who, access.Plan, s.Environment, s.Stack) == nil {
			return nil
		}
	}
	return err
}

// maySpeculate refuses to plan a configuration that is not there, or not wanted, or
// for somebody who may plan nothing.
func (w *serverWork) maySpeculate(ctx context.Context, who access.Identity, id string) error {
	if !w.speculative {
		return errNotSpeculative
	}
	if err := w.mayPlanSomething(ctx, who); err != nil {
		return err
	}
	if _, known, err := w.runner.Store.Cached(ctx, sentPrefix+id, time.Now()); err != nil || !known {
		return fmt.Errorf("%w: no configuration %s is kept: send it (again)", api.ErrNotFound, id)
	}
	return nil
}

// speculated finds what was planned of a configuration.
func speculated(ctx context.Context, store *sqlite.Store, digest string) (*api.Plan, bool) {
	data, known, err := store.Cached(ctx, speculatedPrefix+digest, time.Now())
	if err != nil || !known {
		return nil, false
	}
	out := &api.Plan{}
	if json.Unmarshal(data, out) != nil {
		return nil, false
	}
	for i := range out.Parts {
		if readPart(&out.Parts[i], modeOf(out.Kind)) != nil {
			return nil, false
		}
	}
	return out, true
}

// readPart reads what a part of a plan was made of from its documents, as far as they
// say it.
func readPart(part *api.PlanPart, mode plans.Mode) (err error) {
	if part.Plan, err = planFromThere(part.Document, mode); err != nil {
		return err
	}
	if len(part.Decision) > 0 {
		part.Judged = &policy.Decision{}
		if err := json.Unmarshal(part.Decision, part.Judged); err != nil {
			return err
		}
	}
	if len(part.Cost) > 0 {
		part.Priced = &cost.Estimate{}
		return json.Unmarshal(part.Cost, part.Priced)
	}
	return nil
}

// speculate plans a configuration that was sent, or lies in another directory, in a
// directory of its own.
func (r *stackRunner) speculate(ctx context.Context, req runs.StackRequest) (runs.StackPlan, error) {
	store, diags := r.root.store(ctx)
	if diags.HasErrors() {
		return runs.StackPlan{}, diags.Err()
	}
	dir, err := r.copyOf(ctx, store, req)
	if err != nil {
		return runs.StackPlan{}, err
	}
	defer actions.GiveBackScratch(dir)
	log := newLogView(req.Log)
	defer log.settle()
	e, diags := r.guest(store, dir)
	if diags.HasErrors() {
		diags = (&ensemble{root: &project{dir: dir}}).asSent(diags)
		log.show(diags, nil)
		return runs.StackPlan{}, problem("Tutti.PlanFailed", diags)
	}
	defer e.closeMembers()
	names, diags := e.graph.Select(req.Stacks)
	e.names = names
	o := &ensembleOperation{ensemble: e, app: e.root.app, view: log, plans: map[string]*loadedPlan{}, named: len(req.Stacks) > 0, by: req}
	po, err := r.options(ctx, req)
	if err != nil {
		return runs.StackPlan{}, err
	}
	e.give(&po.variableOptions)
	// Whoever may not plan a stack has nothing of it read or run.
	if diags = append(diags, o.may(access.Plan)...); !diags.HasErrors() {
		diags = append(diags, o.install(ctx, log)...)
	}
	if !diags.HasErrors() {
		diags = append(diags, o.planSent(ctx, po)...)
	}
	diags = e.asSent(diags)
	if log.show(diags, e.sentSources()); diags.HasErrors() {
		return runs.StackPlan{}, problem("Tutti.PlanFailed", diags)
	}
	if err := o.keepSpeculated(ctx, store, po.kind()); err != nil {
		return runs.StackPlan{}, err
	}
	n := o.totals()
	return runs.StackPlan{Digest: o.shared.Digest, Add: n.Add, Change: n.Change, Destroy: n.Destroy, Changes: o.changes(), Stacks: o.names}, nil
}

// sentName is what a file is called in the project that was sent.
func (e *ensemble) sentName(name string) string {
	if rel, err := filepath.Rel(e.root.dir, name); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return name
}

// asSent has diagnostics name files as whoever sent them knows them.
func (e *ensemble) asSent(diags diag.List) diag.List {
	out := slices.Clone(diags)
	for i := range out {
		for _, at := range []**hcl.Range{&out[i].Subject, &out[i].Context} {
			if *at != nil {
				rng := **at
				rng.Filename = e.sentName(rng.Filename)
				*at = &rng
			}
		}
	}
	return out
}

// sentSources is the text that such diagnostics quote.
func (e *ensemble) sentSources() map[string][]byte {
	out := map[string][]byte{}
	for name, src := range e.root.app.quoted() {
		out[e.sentName(name)] = src
	}
	return out
}

// copyOf puts the files that a request is about into a new directory, from which
// nothing of a checkout, an earlier plan or a state beside them is read.
func (r *stackRunner) copyOf(ctx context.Context, store *sqlite.Store, req runs.StackRequest) (string, error) {
	var archive []byte
	if req.Directory != "" {
		var err error
		if archive, err = archives.Pack(r.root.place(req.Directory)); err != nil {
			return "", actions.Errorf("Tutti.PlanFailed", "The files in the directory %q cannot be taken: %s.", req.Directory, err)
		}
	} else {
		data, known, err := store.Cached(ctx, sentPrefix+req.Configuration, time.Now())
		if err != nil {
			return "", err
		}
		if !known || json.Unmarshal(data, &archive) != nil {
			return "", actions.Errorf("Tutti.PlanFailed", "No configuration %q is kept: it is sent to a server, which keeps it for a day.", req.Configuration)
		}
	}
	dir, err := actions.TakeScratch()
	if err != nil {
		return "", err
	}
	if err := archives.Unpack(archive, dir); err != nil {
		actions.GiveBackScratch(dir)
		return "", err
	}
	return dir, nil
}

// guest is the project in a directory that a client's files were unpacked to, beside
// the server's own: it has the server's states to plan from, and is held to the
// server's rules.
func (r *stackRunner) guest(store *sqlite.Store, dir string) (*ensemble, diag.List) {
	declared, diags := projects.Load(dir)
	if declared == nil || diags.HasErrors() {
		return nil, diags
	}
	if len(declared.Stacks) == 0 {
		files := map[string][]byte{filepath.Join(dir, changeFile): fmt.Appendf(nil, "stack %q {\n  source = \"./\"\n}\n", directoryName)}
		for name, src := range declared.Files {
			files[name] = src
		}
		if declared, diags = projects.Parse(dir, files); diags.HasErrors() {
			return nil, diags
		}
	}
	if diags := stacks.CheckEnvironment(declared, r.root.environment); diags.HasErrors() {
		return nil, diags
	}
	root := &project{
		app: r.root.app.fresh(), dir: dir, dataDir: filepath.Join(dir, ".terraform"), workDir: dir, cliConfig: r.root.cliConfig, keyring: r.root.keyring,
		opened: store, environment: r.root.environment,
	}
	e, diags := newEnsemble(root, declared)
	if diags.HasErrors() {
		return nil, diags
	}
	e.host = r.root.costRoot()
	root.ensemble = e
	return e, diags
}

// install brings the modules and providers that the stacks need, which are not sent.
func (o *ensembleOperation) install(ctx context.Context, log *logView) diag.List {
	var diags diag.List
	for _, name := range o.names {
		if _, d := o.module(name); d.HasErrors() {
			diags = append(diags, d...)
			continue
		}
		diags = append(diags, (&initOptions{get: true}).prepareWith(ctx, o.member(name), log.watcher.Tell)...)
	}
	return diags
}

// planSent plans the stacks and shows their plans.
func (o *ensembleOperation) planSent(ctx context.Context, po *planOptions) diag.List {
	diags := o.plan(ctx, po, po.kind())
	if o.shared != nil {
		o.show(ctx, po.mode(), diags)
	}
	if diags.HasErrors() {
		return diags
	}
	diags = append(diags, o.foretell(ctx, po.kind())...)
	diags = append(diags, o.finish(po.mode())...)
	_, d := o.encode()
	return append(diags, d...)
}

// keepSpeculated keeps of the plan what clients are shown.
func (o *ensembleOperation) keepSpeculated(ctx context.Context, store *sqlite.Store, kind string) error {
	out := api.Plan{Digest: o.shared.Digest, Environment: o.environment, Kind: kind}
	for _, part := range o.shared.Stacks {
		one, err := o.operation(part.Name).part(ctx, o.plans[part.Name], runOptions{kind: kind})
		if err != nil {
			return err
		}
		out.Parts = append(out.Parts, one)
	}
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return store.Cache(ctx, speculatedPrefix+out.Digest, data, true, time.Now().Add(sentFor))
}
