package plans

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	"pgregory.net/rapid"
)

// samePlan compares plans by value: numbers and marks included.
var samePlan = cmp.Options{
	cmp.Comparer(func(a, b cty.Value) bool {
		if a == cty.NilVal || b == cty.NilVal {
			return a == b
		}
		return a.RawEquals(b)
	}),
	cmp.Comparer(func(a, b cty.Type) bool {
		if a == cty.NilType || b == cty.NilType {
			return a == b
		}
		return a.Equals(b)
	}),
	cmp.Comparer(func(a, b cty.Path) bool { return a.Equals(b) || len(a)+len(b) == 0 }),
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreFields(Plan{}, "Digest"),
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := genPlan().Draw(t, "plan")
		data, err := Encode(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, got, samePlan); diff != "" {
			t.Fatalf("the plan came back changed:\n%s", diff)
		}
		if got.Digest != p.Digest || len(p.Digest) != 64 {
			t.Fatalf("digest %q became %q", p.Digest, got.Digest)
		}
		again, err := Encode(got, nil)
		if err != nil || !bytes.Equal(data, again) {
			t.Fatalf("encoding is not deterministic (%v)", err)
		}
	})
}

func TestValuesRoundTrip(t *testing.T) {
	key := newTestSealer(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		values := map[string]cty.Value{}
		for i := range rapid.IntRange(0, 3).Draw(t, "values") {
			values[fmt.Sprint("v", i)] = genInput().Draw(t, "value")
		}
		data, err := EncodeValues(values, key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeValues(data, key)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(values, got, samePlan); diff != "" {
			t.Fatalf("the values came back changed:\n%s", diff)
		}
	})
	data, err := EncodeValues(map[string]cty.Value{"v": cty.StringVal("open sesame").Mark(marks.Sensitive)}, key)
	if err != nil || bytes.Contains(data, []byte("sesame")) {
		t.Errorf("not sealed (%v)", err)
	}
	if _, err := DecodeValues(data, nil); !errors.Is(err, ErrSealed) {
		t.Errorf("without key: %v", err)
	}
	if _, err := Decode(data, key); !errors.Is(err, ErrNotPlan) {
		t.Errorf("as a plan: %v", err)
	}
	if _, err := EncodeValues(map[string]cty.Value{"v": cty.StringVal("x").Mark(marks.Ephemeral)}, key); err == nil {
		t.Error("an ephemeral value was stored")
	}
}

// A plan with every field set to something: a field that the layout forgets
// comes back empty.
func TestEveryFieldIsEncoded(t *testing.T) {
	p := fullPlan()
	noZeroFields(t, "Plan", reflect.ValueOf(*p))
	data, err := Encode(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got, samePlan); diff != "" {
		t.Fatal(diff)
	}
	if got.Prior.Sorted()[0] != got.Adjust[0].Before {
		t.Error("the prior state and the rows to adjust no longer share their objects")
	}
}

// noZeroFields fails for fields of our own structs that the test plan leaves
// at their zero values.
func noZeroFields(t *testing.T, name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			noZeroFields(t, name, v.Elem())
		}
	case reflect.Slice:
		if v.Len() > 0 {
			noZeroFields(t, name+"[0]", v.Index(0))
		}
	case reflect.Struct:
		pkg := v.Type().PkgPath()
		if !strings.Contains(pkg, "tutti/internal/plans") && !strings.Contains(pkg, "tutti/internal/states") {
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if v.Field(i).IsZero() && f.Name != "Digest" && f.Name != "Problems" { // known only when it is read
				t.Errorf("%s.%s is not set by the test", name, f.Name)
			}
			noZeroFields(t, name+"."+f.Name, v.Field(i))
		}
	}
}

func TestSealedPlanHidesAndVerifies(t *testing.T) {
	p := fullPlan()
	plain, err := Encode(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(plain, []byte("open sesame")) {
		t.Fatal("the test's secret is not in the plan")
	}
	open := p.Digest
	key := newTestSealer(t, 1)
	sealed, err := Encode(p, key)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("open sesame")) || bytes.Contains(sealed, []byte("registry.terraform.io")) {
		t.Error("the sealed plan shows its content")
	}
	if p.Digest != open {
		t.Error("sealing changes the digest")
	}
	if got, err := Decode(sealed, key); err != nil || got.Digest != open {
		t.Errorf("Decode: %v", err)
	}
	if _, err := Decode(sealed, nil); !errors.Is(err, ErrSealed) {
		t.Errorf("without key: %v", err)
	}
	if _, err := Decode(sealed, newTestSealer(t, 2)); !errors.Is(err, ErrSealed) {
		t.Errorf("with another key: %v", err)
	}
}

func TestTamperingIsDetected(t *testing.T) {
	data, err := Encode(fullPlan(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 0x20
		if _, err := Decode(bad, nil); err == nil {
			t.Fatalf("a change of byte %d goes unnoticed", i)
		}
	}
	if _, err := Decode(data[:len(data)-1], nil); !errors.Is(err, ErrTampered) {
		t.Errorf("cut short: %v", err)
	}
	if _, err := Decode([]byte("PK\x03\x04"), nil); !errors.Is(err, ErrNotPlan) {
		t.Errorf("another file: %v", err)
	}
}

func TestEphemeralValuesAreRefused(t *testing.T) {
	p := &Plan{Outputs: []*OutputChange{{Name: "o", Action: Create, Before: cty.NullVal(cty.String), After: cty.StringVal("x").Mark(marks.Ephemeral)}}}
	if _, err := Encode(p, nil); err == nil || !strings.Contains(err.Error(), "Ephemeral") {
		t.Errorf("got %v", err)
	}
}

func TestNumbersAreExact(t *testing.T) {
	third, _, _ := big.ParseFloat("0.333333333333333333333333333333333333333333333333333333333333333", 10, 512, big.ToNearestEven)
	for _, v := range []cty.Value{
		cty.NumberVal(third), cty.MustParseNumberVal("1e400"), cty.NumberFloatVal(0.1),
		cty.MustParseNumberVal("123456789012345678901234567890.5"), cty.PositiveInfinity,
	} {
		p := &Plan{Variables: map[string]Variable{"n": {Value: v}}}
		data, err := Encode(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, b := v.AsBigFloat(), got.Variables["n"].Value.AsBigFloat()
		if a.Cmp(b) != 0 || a.Prec() != b.Prec() {
			t.Errorf("%v became %v", a, b)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := Encode(fullPlan(), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[headerSize:])
	small, _ := Encode(&Plan{}, nil)
	f.Add(small[headerSize:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		p, err := decodePayload(payload)
		if err != nil {
			return
		}
		if _, err := Encode(p, nil); err != nil {
			t.Fatalf("a decoded plan cannot be encoded: %v", err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	p := largePlan(10_000)
	b.ReportAllocs()
	for b.Loop() {
		data, err := Encode(p, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(data)))
	}
}

func BenchmarkDecode(b *testing.B) {
	data, err := Encode(largePlan(10_000), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Decode(data, nil); err != nil {
			b.Fatal(err)
		}
	}
}

type testSealer struct{ aead cipher.AEAD }

func newTestSealer(t *testing.T, seed byte) testSealer {
	block, err := aes.NewCipher(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return testSealer{aead}
}

func (s testSealer) Seal(plain []byte) ([]byte, error) {
	return s.aead.Seal(nil, make([]byte, s.aead.NonceSize()), plain, nil), nil
}

func (s testSealer) Open(sealed []byte) ([]byte, error) {
	return s.aead.Open(nil, make([]byte, s.aead.NonceSize()), sealed, nil)
}

var (
	testProvider = addrs.ProviderConfig{Provider: addrs.DefaultProvider("test"), Module: "net", Alias: "west"}
	testInstance = addrs.ResourceInstance{
		Module:   addrs.RootModuleInstance.Child("net", addrs.StringKey("a b")),
		Resource: addrs.Resource{Mode: addrs.Managed, Type: "test_thing", Name: "x"},
		Key:      addrs.IntKey(3),
	}
)

// fullPlan sets every field of everything a plan consists of.
func fullPlan() *Plan {
	ty := cty.Object(map[string]cty.Type{
		"id": cty.String, "any": cty.DynamicPseudoType, "tags": cty.Map(cty.String),
		"parts": cty.Set(cty.Object(map[string]cty.Type{"n": cty.Number})),
	})
	secret := cty.StringVal("open sesame").Mark(marks.Sensitive)
	inst := &states.Instance{
		Object: addrs.Object{Instance: testInstance, Deposed: "0badcafe"}, Provider: testProvider,
		SchemaVersion: 2, Attributes: json.RawMessage(`{"id":1e3}`), Flatmap: map[string]string{"a.#": "0"},
		SensitivePaths: []cty.Path{cty.GetAttrPath("tags").IndexString("k")}, Private: []byte{0, 1},
		Identity: json.RawMessage(`{}`), IdentitySchemaVersion: 1, Status: states.Tainted,
		Dependencies: []addrs.ConfigResource{testInstance.Config()}, CreateBeforeDestroy: true, Version: 9,
	}
	change := &Change{
		Object:      addrs.Object{Instance: testInstance, Deposed: "00000001"},
		PrevAddress: addrs.ResourceInstance{Resource: testInstance.Resource}, Provider: testProvider,
		Action: CreateThenDelete, Reason: ReasonReplaceByTriggers, Type: ty, SchemaVersion: 2,
		Before: cty.NullVal(ty),
		After: cty.ObjectVal(map[string]cty.Value{
			"id":    cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull("i-").NewValue(),
			"any":   cty.TupleVal([]cty.Value{secret, cty.NullVal(cty.DynamicPseudoType)}),
			"tags":  cty.MapVal(map[string]cty.Value{"k": secret, "l": cty.UnknownVal(cty.String)}),
			"parts": cty.SetVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{"n": cty.NumberFloatVal(0.5)})}),
		}),
		RequiredReplace: []cty.Path{cty.GetAttrPath("tags").IndexString("k")}, Private: []byte("p"),
		BeforeIdentity: cty.EmptyObjectVal, AfterIdentity: cty.ObjectVal(map[string]cty.Value{"id": cty.StringVal("x")}),
		Config:              cty.ObjectVal(map[string]cty.Value{"id": cty.NullVal(cty.String)}),
		CreateBeforeDestroy: true, Dependencies: []addrs.ConfigResource{testInstance.Config()},
		PriorDependencies: []addrs.ConfigResource{testInstance.Config()},
		Importing:         &Importing{ID: "i", Identity: cty.EmptyObjectVal, Unknown: true},
		GeneratedConfig:   "resource {}\n", ConfigKnown: true, DestroyLegDeposed: "00000002", Deferred: "why",
	}
	prior := states.New()
	prior.Lineage, prior.Serial, prior.TerraformVersion = "l", 8, "1.2.3"
	prior.Instances[inst.Object] = inst
	prior.Outputs["o"] = &states.Output{Value: json.RawMessage(`"v"`), Type: json.RawMessage(`"string"`), Sensitive: true}
	prior.CheckResults = json.RawMessage(`[]`)
	return &Plan{
		Mode: Normal, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Program: "1.0.0",
		StateKey: states.Key{Stack: "s", Environment: "e"}, Lineage: "l", Serial: 8,
		Variables: map[string]Variable{"v": {Value: secret, Sensitive: true, Ephemeral: true, Given: true}},
		Targets:   []addrs.Target{addrs.Target(testInstance)}, Excludes: []addrs.Target{{Module: "module.a"}},
		ForceReplace: []addrs.ResourceInstance{testInstance},
		Prior:        prior, Adjust: []states.Change{{Object: inst.Object, Before: inst, After: inst}},
		Moves:   map[addrs.ResourceInstance]addrs.ResourceInstance{testInstance: {Resource: testInstance.Resource}},
		Changes: []*Change{change}, Drift: []*Change{change},
		Outputs:    []*OutputChange{{Name: "o", Action: Update, Before: secret, After: cty.DynamicVal, Sensitive: true, Description: "d"}},
		Relevant:   []RelevantAttribute{{Resource: testInstance, Attribute: cty.GetAttrPath("tags").IndexInt(0)}},
		Checks:     []CheckResult{{Kind: "check", Module: "net", Name: "c", Status: CheckFail, Instances: []CheckInstance{{Module: testInstance.Module, Key: addrs.IntKey(1), Status: CheckFail, Problems: []string{"no"}}}}},
		Operations: []Operation{{Kind: OpCreate, Change: 1, Needs: []int{1, 2}}}, Errored: true,
		Providers: map[addrs.Provider]ProviderLock{testProvider.Provider: {Version: "1.0.0", Digest: "h1:x"}},
		Files:     map[string][]byte{"main.tf": []byte("x")}, ModulesManifest: []byte("{}"), RootDir: ".",
	}
}

// largePlan is a plan of n updates, each depending on another.
func largePlan(n int) *Plan {
	ty := cty.Object(map[string]cty.Type{
		"id": cty.String, "input": cty.DynamicPseudoType, "output": cty.DynamicPseudoType, "triggers_replace": cty.DynamicPseudoType,
	})
	p := &Plan{Mode: Normal, Prior: states.New()}
	for i := range n {
		inst := addrs.ResourceInstance{Resource: addrs.Resource{Mode: addrs.Managed, Type: "terraform_data", Name: "r"}, Key: addrs.IntKey(i)}
		deps := []addrs.ConfigResource{{Resource: addrs.Resource{Mode: addrs.Managed, Type: "terraform_data", Name: fmt.Sprint("d", i%100)}}}
		id := cty.StringVal(fmt.Sprintf("0f3d5e6a-%012d", i))
		pc := addrs.ProviderConfig{Provider: addrs.BuiltInProvider("terraform")}
		p.Changes = append(p.Changes, &Change{
			Object: addrs.Object{Instance: inst}, Provider: pc, Action: Update, Type: ty, Dependencies: deps,
			Before: cty.ObjectVal(map[string]cty.Value{"id": id, "input": cty.StringVal("old"), "output": cty.StringVal("old"), "triggers_replace": cty.NullVal(cty.DynamicPseudoType)}),
			After:  cty.ObjectVal(map[string]cty.Value{"id": id, "input": cty.StringVal("new"), "output": cty.UnknownVal(cty.String), "triggers_replace": cty.NullVal(cty.DynamicPseudoType)}),
		})
		p.Prior.Instances[addrs.Object{Instance: inst}] = &states.Instance{
			Object: addrs.Object{Instance: inst}, Provider: pc, Status: states.Ready, Dependencies: deps, Version: 1,
			Attributes: json.RawMessage(fmt.Sprintf(`{"id":"0f3d5e6a-%012d","input":{"value":"old","type":"string"},"output":{"value":"old","type":"string"},"triggers_replace":null}`, i)),
		}
		p.Operations = append(p.Operations, Operation{Kind: OpUpdate, Change: i, Needs: []int{max(0, i-1)}})
	}
	return p
}
