package providers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

func testAddress() addrs.Provider { return addrs.DefaultProvider("test") }

// pooled is a pool whose only provider is this test binary.
type pooled struct {
	*Pool
	t     *testing.T
	calls string
	cache string
	finds int
}

// newPooled serves a protocol; extra is added to the provider's environment.
func newPooled(t *testing.T, protocol, cache string, extra ...string) *pooled {
	t.Helper()
	p := &pooled{t: t, calls: filepath.Join(t.TempDir(), "calls"), cache: cache}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.Pool, err = NewPool(PoolOptions{
		Find: func(context.Context, addrs.Provider) (Installed, error) {
			p.finds++
			return Installed{Version: "1.0.0", Executable: program, Digest: "digest-" + protocol}, nil
		},
		CacheDir: cache,
		Environ:  append(os.Environ(), append(extra, serveVariable+"="+protocol, callsVariable+"="+p.calls)...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// called counts the calls of a method, or of "start".
func (p *pooled) called(name string) int {
	data, err := os.ReadFile(p.calls)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return 0
		}
		p.t.Fatal(err)
	}
	n := 0
	for _, line := range strings.Split(string(data), "\n") {
		if line == name {
			n++
		}
	}
	return n
}

func (p *pooled) acquire(shared bool) Provider {
	p.t.Helper()
	provider, err := p.Acquire(p.t.Context(), testAddress(), shared)
	if err != nil {
		p.t.Fatal(err)
	}
	return provider
}

func noErrors(t *testing.T, diags diag.List) {
	t.Helper()
	if diags.HasErrors() {
		t.Fatalf("unexpected errors: %s", diags.Err())
	}
}

// named is a thing before it is made.
func named(name string) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"id": cty.NullVal(cty.String), "name": cty.StringVal(name), "secret": cty.NullVal(cty.String),
		"part": cty.ListValEmpty(thingType.AttributeType("part").ElementType()),
	})
}

func eachProtocol(t *testing.T, test func(t *testing.T, protocol string)) {
	for _, protocol := range []string{"5", "6"} {
		t.Run("protocol "+protocol, func(t *testing.T) {
			t.Parallel()
			test(t, protocol)
		})
	}
}

func TestSchemasOfBothProtocols(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string) {
		s, diags := newPooled(t, protocol, "").Schemas(t.Context(), testAddress())
		noErrors(t, diags)
		thing := s.ResourceTypes["test_thing"]
		if thing.Version != 2 || !thing.Block.ImpliedType().Equals(thingType) {
			t.Errorf("version %d, type %#v", thing.Version, thing.Block.ImpliedType())
		}
		secret := thing.Block.Attributes["secret"]
		if !secret.Sensitive || !secret.WriteOnly || !secret.Optional || secret.DeprecationMessage != "use a key" {
			t.Errorf("secret: %+v", secret)
		}
		if thing.Identity == nil || thing.Identity.Version != 1 || !thing.Identity.Attributes["id"].Required {
			t.Errorf("identity: %+v", thing.Identity)
		}
		if !s.Capabilities.PlanDestroy || s.Functions["shout"].ReturnType != cty.String {
			t.Errorf("capabilities %+v, functions %+v", s.Capabilities, s.Functions)
		}
		if _, ok := s.EphemeralResources["test_ticket"]; !ok {
			t.Error("no ephemeral resource type")
		}
	})
}

func TestSharedUsersShareOneProcess(t *testing.T) {
	p := newPooled(t, "6", "")
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			provider, err := p.Acquire(t.Context(), testAddress(), true)
			if err != nil {
				t.Error(err)
				return
			}
			defer provider.Close()
			if diags := provider.ValidateResourceConfig(t.Context(), "test_thing", named("a")); diags.HasErrors() {
				t.Error(diags.Err())
			}
		})
	}
	wait.Wait()
	if starts, schemas := p.called("start"), p.called("GetProviderSchema"); starts != 1 || schemas != 1 {
		t.Errorf("%d processes were asked for schemas %d times", starts, schemas)
	}
}

func TestOwnersGetProcessesOfTheirOwn(t *testing.T) {
	p := newPooled(t, "6", "")
	shared, first, second := p.acquire(true), p.acquire(false), p.acquire(false)
	for _, owner := range []Provider{first, second} {
		noErrors(t, owner.Configure(t.Context(), ConfigureRequest{TerraformVersion: "1.15.0", Config: cty.ObjectVal(map[string]cty.Value{"region": cty.NullVal(cty.String)})}))
	}
	if starts := p.called("start"); starts != 2 {
		t.Errorf("%d processes, want 2: the first owner takes the shared one", starts)
	}
	// The shared process outlives its owner as long as somebody uses it.
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	noErrors(t, shared.ValidateResourceConfig(t.Context(), "test_thing", named("a")))
	if err := shared.Close(); err != nil {
		t.Fatal(err)
	}
	if diags := first.ValidateResourceConfig(t.Context(), "test_thing", named("a")); !diags.HasErrors() {
		t.Error("a process that nobody uses any more still answers")
	}
	noErrors(t, p.acquire(true).ValidateResourceConfig(t.Context(), "test_thing", named("a")))
}

func TestCachedSchemasNeedNoProcess(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string) {
		cache := t.TempDir()
		first := newPooled(t, protocol, cache, optionalSkip+"=1")
		want, diags := first.Schemas(t.Context(), testAddress())
		noErrors(t, diags)

		second := newPooled(t, protocol, cache, optionalSkip+"=1")
		got, diags := second.Schemas(t.Context(), testAddress())
		noErrors(t, diags)
		if second.called("start") != 0 {
			t.Error("a process was started though the schemas are cached")
		}
		thing := got.ResourceTypes["test_thing"]
		if !thing.Block.ImpliedType().Equals(want.ResourceTypes["test_thing"].Block.ImpliedType()) || thing.Identity == nil || len(got.Functions) != 1 {
			t.Errorf("the cache lost something: %+v", got)
		}
	})
}

// A provider that wants to be asked for its schemas whenever it starts is asked:
// a cache would only make them old.
func TestSchemasThatMustBeAskedForAreNotCached(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string) {
		cache := t.TempDir()
		for range 2 {
			p := newPooled(t, protocol, cache)
			_, diags := p.Schemas(t.Context(), testAddress())
			noErrors(t, diags)
			noErrors(t, p.acquire(true).ValidateResourceConfig(t.Context(), "test_thing", named("a")))
			if n := p.called(schemaMethod(protocol)); n != 1 {
				t.Errorf("asked for schemas %d times, want once", n)
			}
		}
	})
}

func schemaMethod(protocol string) string {
	if protocol == "5" {
		return "GetSchema"
	}
	return "GetProviderSchema"
}

func TestProvidersThatNeedNoIntroduction(t *testing.T) {
	cache := t.TempDir()
	_, diags := newPooled(t, "6", cache, optionalSkip+"=1").Schemas(t.Context(), testAddress())
	noErrors(t, diags)
	p := newPooled(t, "6", cache, optionalSkip+"=1")
	noErrors(t, p.acquire(false).ValidateResourceConfig(t.Context(), "test_thing", named("a")))
	if n := p.called("GetProviderSchema"); n != 0 {
		t.Errorf("asked for schemas %d times though that is optional", n)
	}
}

func TestDamagedCacheIsIgnored(t *testing.T) {
	cache := t.TempDir()
	_, diags := newPooled(t, "6", cache, optionalSkip+"=1").Schemas(t.Context(), testAddress())
	noErrors(t, diags)
	files, err := filepath.Glob(filepath.Join(cache, "schemas", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("cache has %v (%v)", files, err)
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(whole)
	flipped[len(flipped)/2] ^= 0x10
	for name, data := range map[string][]byte{"empty": nil, "cut": whole[:len(whole)-3], "flipped": flipped, "foreign": []byte("something else entirely, and long enough")} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(files[0], data, 0o600); err != nil {
				t.Fatal(err)
			}
			p := newPooled(t, "6", cache, optionalSkip+"=1")
			s, diags := p.Schemas(t.Context(), testAddress())
			noErrors(t, diags)
			if len(s.ResourceTypes) != 1 || p.called("start") != 1 {
				t.Errorf("%d types after %d starts", len(s.ResourceTypes), p.called("start"))
			}
			if again, err := os.ReadFile(files[0]); err != nil || len(again) != len(whole) {
				t.Errorf("the cache was not mended: %d bytes, %v", len(again), err)
			}
		})
	}
}

func TestProviderThatDoesNotStart(t *testing.T) {
	_, err := newPooled(t, "broken", "").Acquire(t.Context(), testAddress(), true)
	if err == nil || !strings.Contains(err.Error(), "hashicorp/test") || !strings.Contains(err.Error(), "no licence found") {
		t.Errorf("error must name the provider and what it said: %v", err)
	}
}

func TestClosedPool(t *testing.T) {
	p := newPooled(t, "6", "")
	provider := p.acquire(true)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Acquire(t.Context(), testAddress(), true); err == nil {
		t.Error("a closed pool gives providers")
	}
	if diags := provider.ValidateResourceConfig(t.Context(), "test_thing", named("a")); !diags.HasErrors() || strings.Contains(diags.Err().Error(), "%!") {
		t.Errorf("after the pool is closed: %v", diags)
	}
}

func TestFunctions(t *testing.T) {
	provider := newPooled(t, "6", "").acquire(true)
	v, err := provider.CallFunction(t.Context(), "shout", []cty.Value{cty.StringVal("hey")})
	if err != nil || !v.RawEquals(cty.StringVal("HEY")) {
		t.Errorf("%#v, %v", v, err)
	}
	var blamed function.ArgError
	if _, err = provider.CallFunction(t.Context(), "shout", []cty.Value{cty.StringVal("")}); !errors.As(err, &blamed) || blamed.Index != 0 {
		t.Errorf("the first argument is to blame: %v", err)
	}
	if _, err = provider.CallFunction(t.Context(), "shout", []cty.Value{cty.StringVal("nonsense")}); err == nil || errors.As(err, &blamed) {
		t.Errorf("an argument that does not exist cannot be blamed: %v", err)
	}
	if _, err = provider.CallFunction(t.Context(), "whisper", nil); err == nil {
		t.Error("unknown function answered")
	}
}

// Each process has a certificate of its own, also where several start at once:
// what is put into the environment of one stays out of the others'.
func TestEnvironmentsAreNotShared(t *testing.T) {
	p := newPooled(t, "5", "")
	p.environ = slices.Grow(p.environ, 64)
	p.acquire(true)
	for _, entry := range p.environ[len(p.environ):cap(p.environ)] {
		if entry != "" {
			t.Errorf("%.30s… is in the environment of every process", entry)
		}
	}
}
