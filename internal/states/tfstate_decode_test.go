package states

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
)

const oneInstance = `{"version":4,"serial":7,"lineage":"l","resources":[{"mode":"managed","type":"a","name":"b","provider":"provider[\"x.y/z/w\"]","instances":[%s]}]}`

func TestDecodeProblems(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"empty":             {" \n", "is empty"},
		"not JSON":          {"{\n  \"version\": hunter2", "line 2, column"},
		"no version":        {"{}", "no \"version\""},
		"odd version":       {`{"version":4.5}`, "not a whole number"},
		"future":            {`{"version":5}`, "format version 5"},
		"ancient":           {`{"version":2}`, "too old"},
		"encrypted":         {`{"serial":1,"encrypted_data":"x"}`, "tofu state pull"},
		"wrong type":        {`{"version":4,"serial":"hunter2"}`, `"serial" has the wrong type`},
		"duplicate":         {fmt.Sprintf(oneInstance, `{"attributes":{}},{"attributes":{}}`), "the object a.b twice"},
		"duplicate deposed": {fmt.Sprintf(oneInstance, `{"deposed":"01","attributes":{}},{"deposed":"01","attributes":{}}`), "deposed object 01) twice"},
		"status":            {fmt.Sprintf(oneInstance, `{"status":"odd","attributes":{}}`), `status "odd"`},
		"no attributes":     {fmt.Sprintf(oneInstance, `{}`), "no attributes"},
		"array attributes":  {fmt.Sprintf(oneInstance, `{"attributes":["hunter2"]}`), "no attributes"},
		"key":               {fmt.Sprintf(oneInstance, `{"index_key":1.5,"attributes":{}}`), "string or a whole number"},
		"dependency":        {fmt.Sprintf(oneInstance, `{"dependencies":["x"],"attributes":{}}`), "not a resource address"},
		"path":              {fmt.Sprintf(oneInstance, `{"sensitive_attributes":[[{"type":"odd"}]],"attributes":{}}`), "path step type"},
		"mode":              {`{"version":4,"resources":[{"mode":"odd"}]}`, `mode "odd"`},
		"name":              {`{"version":4,"resources":[{"mode":"data","type":"a","name":"b.c"}]}`, "not a valid name"},
		"module":            {`{"version":4,"resources":[{"module":"x","mode":"data","type":"a","name":"b"}]}`, "not a module address"},
		"no provider":       {`{"version":4,"resources":[{"mode":"data","type":"a","name":"b","instances":[{}]}]}`, "no provider"},
		"provider":          {`{"version":4,"resources":[{"mode":"data","type":"a","name":"b","provider":"odd","instances":[{}]}]}`, "cannot be understood"},
		"output type":       {`{"version":4,"outputs":{"o":{"value":"hunter2"}}}`, "no valid type"},
		"output value":      {`{"version":4,"outputs":{"o":{"value":"hunter2","type":"bool"}}}`, "does not have the output's type"},
	} {
		t.Run(name, func(t *testing.T) {
			state, err := Decode([]byte(test.text))
			if state != nil || err == nil {
				t.Fatal("it was accepted")
			}
			text := ""
			for _, d := range diag.FromError(err) {
				text += d.Summary + ": " + d.Detail + "\n"
			}
			if !strings.Contains(text, test.want) || strings.Contains(text, "hunter2") {
				t.Errorf("got %q, want %q", text, test.want)
			}
		})
	}
}

func TestDecodeOddities(t *testing.T) {
	text := "\xef\xbb\xbf" + fmt.Sprintf(oneInstance,
		`{"index_key":2.0,"attributes":{"n" : 1.50, "e":1E3}},{"index_key":"k","provider":"module.m.provider.aws.west","attributes_flat":{"id":"x"},"dependencies":["module.m[\"k\"].a.c[0]","a.b","a.b"]}`)
	state, err := Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	resource := addrs.AbsResource{Resource: addrs.Resource{Mode: addrs.Managed, Type: "a", Name: "b"}}
	if got := string(state.Current(resource.Instance(addrs.IntKey(2))).Attributes); got != `{"n":1.50,"e":1E3}` {
		t.Errorf("attributes are %s", got)
	}
	other := state.Current(resource.Instance(addrs.StringKey("k")))
	if got := other.Provider.String(); got != `module.m.provider["registry.terraform.io/hashicorp/aws"].west` {
		t.Errorf("provider is %s", got)
	}
	if got := fmt.Sprint(other.Dependencies); got != "[a.b module.m.a.c]" {
		t.Errorf("dependencies are %s", got)
	}
}

// TestDecodeVersion3 reads a file as Terraform 0.11 wrote it.
func TestDecodeVersion3(t *testing.T) {
	data, err := os.ReadFile("testdata/version3.tfstate")
	if err != nil {
		t.Fatal(err)
	}
	state, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, i := range state.Sorted() {
		fmt.Fprintf(&got, "%s %s v%d %c id=%s deps=%v private=%s\n", i.Object, i.Provider, i.SchemaVersion, i.Status, i.Flatmap["id"], i.Dependencies, i.Private)
	}
	want := `data.aws_ami.a provider["registry.terraform.io/hashicorp/aws"] v0 R id=ami-1 deps=[] private=
aws_instance.web[0] provider["registry.terraform.io/hashicorp/aws"].west v1 T id=i-1 deps=[aws_vpc.v data.aws_ami.a] private={"timeouts":{"create":60}}
aws_instance.web[0] (deposed object 00000001) provider["registry.terraform.io/hashicorp/aws"].west v0 R id=i-0 deps=[aws_vpc.v data.aws_ami.a] private=
module.net.module.sub.aws_vpc.v module.net.module.sub.provider["registry.terraform.io/hashicorp/aws"] v0 R id=vpc-1 deps=[] private=
`
	if got.String() != want {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
	if o := state.Outputs["ids"]; o == nil || string(o.Value) != `["i-1"]` || string(o.Type) != `["list","string"]` {
		t.Errorf("output is %+v", o)
	}
}

// FuzzDecode holds that Decode never panics, and that what it reads comes back
// the same after being written.
func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/roundtrip/*.tfstate")
	for _, name := range append(files, "testdata/version3.tfstate") {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(fmt.Sprintf(oneInstance, `{"attributes":{},"dependencies":["a.b","a.c"]}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		state, err := Decode(data)
		if (err == nil) != (state != nil) {
			t.Fatalf("state %v with error %v", state, err)
		}
		if state == nil {
			return
		}
		first, err := Encode(state)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(first)
		if err != nil {
			t.Fatalf("cannot read what was written: %v\n%s", err, first)
		}
		second, err := Encode(again)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Fatalf("written again it differs:\n%s\n%s", first, second)
		}
	})
}

func node(name string) addrs.ConfigResource {
	return addrs.ConfigResource{Resource: addrs.Resource{Mode: addrs.Managed, Type: "t", Name: name}}
}

func stateOf(edges map[string]string) *State {
	s := New()
	for name, dependencies := range edges {
		r := node(name).Resource
		object := addrs.Object{Instance: addrs.AbsResource{Resource: r}.Instance(addrs.NoKey)}
		instance := &Instance{Object: object, Attributes: []byte("{}"), Status: Ready}
		for _, dependency := range strings.Fields(dependencies) {
			instance.Dependencies = append(instance.Dependencies, node(dependency))
		}
		s.Instances[object] = instance
	}
	return s
}

func TestClosure(t *testing.T) {
	s := stateOf(map[string]string{
		"a": "", "b": "a", "c": "b", "d": "b gone", "e": "c d", "self": "self a", "x": "y", "y": "z", "z": "x a", "w": "z",
	})
	got := map[string]string{}
	for r, list := range Closure(s) {
		var names []string
		for _, d := range list {
			names = append(names, d.Resource.Name)
		}
		got[r.Resource.Name] = strings.Join(names, " ")
	}
	want := map[string]string{
		"a": "", "b": "a", "c": "a b", "d": "a b gone", "e": "a b c d gone", "self": "a",
		"x": "a y z", "y": "a x z", "z": "a x y", "w": "a x y z",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestInstancesOfOwn holds that an instance with fewer dependencies than the
// other instances of its resource is written with its own.
func TestInstancesOfOwn(t *testing.T) {
	s := stateOf(map[string]string{"a": "", "b": "a", "c": ""})
	r := addrs.AbsResource{Resource: node("r").Resource}
	for i, dependency := range []string{"b", "c"} {
		object := addrs.Object{Instance: r.Instance(addrs.IntKey(i))}
		s.Instances[object] = &Instance{Object: object, Attributes: []byte("{}"), Dependencies: []addrs.ConfigResource{node(dependency)}}
	}
	out, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(out)), "")
	for _, want := range []string{`"index_key":0,"schema_version":0,"attributes":{},"sensitive_attributes":[],"dependencies":["t.a","t.b"]`,
		`"index_key":1,"schema_version":0,"attributes":{},"sensitive_attributes":[],"dependencies":["t.c"]`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

// BenchmarkEncode writes ten thousand instances, each resource with the one
// before it as dependency in groups of ten.
func BenchmarkEncode(b *testing.B) {
	edges := map[string]string{}
	for i := range 10_000 {
		edges[fmt.Sprintf("r%d", i)] = ""
		if i%10 != 0 {
			edges[fmt.Sprintf("r%d", i)] = fmt.Sprintf("r%d", i-1)
		}
	}
	s := stateOf(edges)
	b.ResetTimer()
	for b.Loop() {
		if _, err := Encode(s); err != nil {
			b.Fatal(err)
		}
	}
}
