package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/states"
)

// stacksThere are the stacks on the server that -stack selects, all unless given, in an
// environment; in all of them where none is named.
func (a *App) stacksThere(ctx context.Context, environment string) ([]client.Stack, diag.List) {
	list, err := persist(ctx, func(ctx context.Context) (*client.PageStack, error) { return a.remote.ListStacks(ctx) })
	if err != nil {
		return nil, a.remote.diagnose(err)
	}
	var out []client.Stack
	found := map[string]bool{}
	var names, environments []string
	for _, s := range list.Items {
		names, environments = append(names, s.Name), append(environments, s.Environment)
		if (environment == "" || s.Environment == environment) && (len(a.Stacks) == 0 || slices.Contains(a.Stacks, s.Name)) {
			out, found[s.Name] = append(out, s), true
		}
	}
	for _, wanted := range a.Stacks {
		if !found[wanted] {
			return nil, diag.Errorf("No such stack", "The project on the server has no stack %q.%s %s", wanted, diag.DidYouMean(wanted, names), thereAre(names))
		}
	}
	if environment != "" && environment != a.remote.session.Environment && len(list.Items) > 0 && !slices.Contains(environments, environment) {
		return nil, diag.Errorf("No such environment", "The project on the server has no environment %q.%s %s", environment, diag.DidYouMean(environment, environments), thereAre(environments))
	}
	return out, nil
}

// thereAre lists names in a sentence, each once.
func thereAre(names []string) string {
	names = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(names))), func(name string) bool { return name == "" })
	if len(names) == 0 {
		return "It has none."
	}
	return "There are: " + strings.Join(names, ", ") + "."
}

// pathOf is how a stack is named in the paths of a server.
func pathOf(stack string) string {
	if stack == "" {
		return "-"
	}
	return stack
}

// alike reads what a client was told as what the server has told, which is written alike.
func alike[T any](told any) (T, error) {
	var out T
	data, err := json.Marshal(told)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	return out, err
}

// showThere shows what looks at stacks on the server have found.
func (o *driftOptions) showThere(ctx context.Context, app *App) int {
	app.jsonOut, app.prose = o.json, !o.json
	environment := app.Environment
	if environment == "" {
		environment = os.Getenv("TF_WORKSPACE")
	}
	var diags diag.List
	if o.now || o.reset {
		if environment, diags = app.environmentThere(environment); diags.HasErrors() {
			return app.fail(diags)
		}
	}
	list, diags := app.stacksThere(ctx, environment)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	docs := []*api.Drift{}
	for _, s := range list {
		doc, d := o.lookThere(ctx, app, s)
		if diags = append(diags, d...); doc != nil && (doc.Looked != nil || doc.Problem != "" || doc.Observed) {
			docs = append(docs, doc)
		}
	}
	return o.report(app, docs, diags)
}

// lookThere is what is known of one stack, after doing what the options ask for.
func (o *driftOptions) lookThere(ctx context.Context, app *App, s client.Stack) (*api.Drift, diag.List) {
	path := pathOf(s.Name)
	known, err := persist(ctx, func(ctx context.Context) (*client.Drift, error) {
		if o.now || o.reset {
			return app.remote.ObserveStack(ctx, s.Environment, path, client.ObserveRequest{Reset: o.reset})
		}
		return app.remote.GetDrift(ctx, s.Environment, path)
	})
	for ticks := time.NewTicker(200 * time.Millisecond); err == nil && o.now && known.Looking; {
		select {
		case <-ctx.Done():
			return nil, diag.Errorf("Interrupted", "The server still looks at %s: \"tutti drift\" shows what it finds.", project.PlaceOf(states.Key{Stack: s.Name, Environment: s.Environment}))
		case <-ticks.C:
		}
		known, err = persist(ctx, func(ctx context.Context) (*client.Drift, error) { return app.remote.GetDrift(ctx, s.Environment, path) })
	}
	if err != nil {
		return nil, app.remote.diagnose(err)
	}
	doc, err := alike[*api.Drift](known)
	if err != nil {
		return nil, diag.FromError(err)
	}
	if o.now && doc.Problem != "" {
		return doc, diag.Errorf("Cannot look at the stack", "%s: %s.", project.PlaceOf(states.Key{Stack: s.Name, Environment: s.Environment}), strings.TrimSuffix(doc.Problem, "."))
	}
	return doc, nil
}

// listObjectsThere lists the objects of stacks on the server.
func (a *App) listObjectsThere(ctx context.Context, args []string, targets []addrs.Target) int {
	environment, diags := a.environmentThere(a.Environment)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	list, diags := a.stacksThere(ctx, environment)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	if len(list) > 1 && len(args) > 0 {
		return a.failf("Which stack?", "Addresses are those of one stack: choose it with -stack=NAME.")
	}
	if len(list) == 0 {
		list = []client.Stack{{Environment: environment}} // a plain directory without a state
	}
	for _, s := range list {
		objects, err := persist(ctx, func(ctx context.Context) (*client.PageObject, error) {
			return a.remote.ListObjects(ctx, s.Environment, pathOf(s.Name))
		})
		if err != nil {
			return a.fail(a.remote.diagnose(err))
		}
		st := states.New()
		for _, o := range objects.Items {
			inst := &states.Instance{}
			inst.Object.Deposed = addrs.DeposedKey(o.Deposed)
			if inst.Object.Instance, err = addrs.ParseResourceInstance(strings.TrimSuffix(o.Address, fmt.Sprintf(" (deposed %s)", o.Deposed))); err != nil {
				return a.fail(diag.FromError(err))
			}
			st.Instances[inst.Object] = inst
		}
		found, diags := matching(st, targets)
		if diags.HasErrors() {
			return a.fail(diags)
		}
		prefix := ""
		if len(list) > 1 {
			prefix = "stack." + s.Name + "."
		}
		printAddresses(a.Out, prefix, found)
	}
	return exitOK
}

// listDeliveriesThere lists what the server told others, or is to.
func (a *App) listDeliveriesThere(ctx context.Context, q runs.DeliveryQuery, asJSON bool) int {
	query := client.ListDeliveriesQuery{Notify: q.Notify, Status: string(q.Status), Limit: 500}
	if q.Limit > 0 && q.Limit < 500 {
		query.Limit = int64(q.Limit)
	}
	list, err := pagesOf(ctx, q.Limit, func(ctx context.Context, cursor string) ([]client.Delivery, string, error) {
		query.Cursor = cursor
		page, err := a.remote.ListDeliveries(ctx, query)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
	if err != nil {
		return a.fail(a.remote.diagnose(err))
	}
	docs, err := alike[[]api.Delivery](list)
	if err != nil {
		return a.fail(diag.FromError(err))
	}
	return a.showDeliveries(docs, asJSON)
}

func (a *App) retryDeliveryThere(ctx context.Context, id int64) int {
	d, err := persist(ctx, func(ctx context.Context) (*client.Delivery, error) {
		return a.remote.RetryDelivery(ctx, strconv.FormatInt(id, 10))
	})
	if client.IsNotFound(err) {
		return a.failf("No such delivery", "There is no delivery %d; \"tutti deliveries\" lists them.", id)
	}
	if err != nil {
		return a.fail(a.remote.diagnose(err))
	}
	fmt.Fprintf(a.Out, "Delivery %d to %s is sent again.\n", id, d.Notify)
	return exitOK
}
