//go:build unix

package bench

import (
	"context"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// BenchmarkFloor makes the calls that planning and applying 5,000 new resources
// needs, and nothing else: what cannot be saved. It is the work of the provider's
// process and of encoding what is said to it.
func BenchmarkFloor(b *testing.B) {
	const n, atOnce = 5000, 64
	version := "3.7.2"
	program, err := filepath.Abs(filepath.Join("..", ".cache", "providers", "registry.terraform.io", "hashicorp", "random", version,
		runtime.GOOS+"_"+runtime.GOARCH, "terraform-provider-random_v"+version))
	if err != nil {
		b.Fatal(err)
	}
	began, before := time.Now(), used()
	pool, err := providers.NewPool(providers.PoolOptions{
		Find: func(context.Context, addrs.Provider) (providers.Installed, error) {
			return providers.Installed{Version: version, Executable: program}, nil
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	provider, err := pool.Acquire(b.Context(), addrs.DefaultProvider("random"), false)
	if err != nil {
		b.Fatal(err)
	}
	schemas, diags := provider.Schemas(b.Context())
	if diags.HasErrors() {
		b.Fatal(diags.Err())
	}
	if diags := provider.Configure(b.Context(), providers.ConfigureRequest{TerraformVersion: "1.15.0", Config: cty.EmptyObjectVal}); diags.HasErrors() {
		b.Fatal(diags.Err())
	}
	const typ = "random_pet"
	ty := schemas.ResourceTypes[typ].Block.ImpliedType()
	object := func(unknown bool) cty.Value {
		values := map[string]cty.Value{}
		for name, attr := range ty.AttributeTypes() {
			values[name] = cty.NullVal(attr)
		}
		values["length"] = cty.NumberIntVal(3)
		if unknown {
			values["id"] = cty.UnknownVal(cty.String)
			values["separator"] = cty.StringVal("-")
		}
		return cty.ObjectVal(values)
	}
	config, proposed := object(false), object(true)
	var next, failed atomic.Int64
	var wait sync.WaitGroup
	for range atOnce {
		wait.Go(func() {
			for next.Add(1) <= n {
				if provider.ValidateResourceConfig(b.Context(), typ, config).HasErrors() {
					failed.Add(1)
				}
				plan := provider.PlanResourceChange(b.Context(), providers.PlanRequest{TypeName: typ, Prior: cty.NullVal(ty), Config: config, Proposed: proposed})
				apply := provider.ApplyResourceChange(b.Context(), providers.ApplyRequest{
					TypeName: typ, Prior: cty.NullVal(ty), Planned: plan.Planned, Config: config, PlannedPrivate: plan.Private,
				})
				if plan.Diags.HasErrors() || apply.Diags.HasErrors() {
					failed.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if err := pool.Close(); err != nil || failed.Load() > 0 {
		b.Fatalf("%d failed; closing: %v", failed.Load(), err)
	}
	after := used()
	b.Logf("%.2f CPU s (%.2f of it on our side), %.2f s", (after.own + after.children - before.own - before.children).Seconds(),
		(after.own - before.own).Seconds(), time.Since(began).Seconds())
	b.ReportMetric((after.own + after.children - before.own - before.children).Seconds(), "CPU-s")
}

// usage is processor time.
type usage struct{ own, children time.Duration }

func used() usage {
	get := func(who int) time.Duration {
		var r syscall.Rusage
		if syscall.Getrusage(who, &r) != nil {
			return 0
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return usage{get(syscall.RUSAGE_SELF), get(syscall.RUSAGE_CHILDREN)}
}
