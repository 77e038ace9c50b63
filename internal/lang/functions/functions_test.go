package functions

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/tutti-dev/tutti/internal/lang/marks"
)

// check evaluates expressions and compares what the console would show, or the
// error message, with what is wanted.
func check(t *testing.T, ctx *hcl.EvalContext, cases [][2]string) {
	t.Helper()
	for _, c := range cases {
		got := ""
		v, diags := evaluate(c[0], ctx)
		if diags.HasErrors() {
			got = "error: " + diags[0].Detail
		} else {
			got = consoleText(v)
		}
		if got != c[1] {
			t.Errorf("%s\n got %s\nwant %s", c[0], got, c[1])
		}
	}
}

func TestFunctionsNewerThanTheCorpus(t *testing.T) {
	check(t, scope(Options{}, nil), [][2]string{
		{`convert([], list(string))`, "tolist([])"},
		{`convert(["1", 2], set(number))`, "toset([\n  1,\n  2,\n])"},
		{`convert("x", number)`, `error: Invalid value for "value" parameter: a number is required.`},
		{`convert({ a = 1 }, object({ a = string }))`, "{\n  \"a\" = \"1\"\n}"},
		{`convert({ a = {} }, map(object({ b = optional(string), c = optional(string, "d") })))`,
			"tomap({\n  \"a\" = {\n    \"b\" = tostring(null)\n    \"c\" = \"d\"\n  }\n})"},
		{`convert({}, object({ c = optional(string, "d") }))`, "{\n  \"c\" = \"d\"\n}"},
		{`convert([{}], list(object({ a = optional(list(object({ n = optional(number, 1) })), [{}]) })))`,
			"tolist([\n  {\n    \"a\" = tolist([\n      {\n        \"n\" = 1\n      },\n    ])\n  },\n])"},
		{`convert(null, string)`, "tostring(null)"},
		{`convert(local.unknown, string)`, "(known after apply)"},
		{`convert([1, "a"], list(any))`, "tolist([\n  \"1\",\n  \"a\",\n])"},
		{`convert(["a", sensitive("b")], list(string))`, "tolist([\n  \"a\",\n  (sensitive value),\n])"},
		{`convert(sensitive({}), object({ c = optional(string, "d") }))`, "(sensitive value)"},
		{`base64gunzip(base64gzip("hello"))`, `"hello"`},
		{`base64gunzip("!")`, `error: Call to function "base64gunzip" failed: failed to decode base64 data "!".`},
		{`base64gunzip(sensitive("!"))`, `error: Call to function "base64gunzip" failed: failed to decode base64 data (sensitive value).`},
		{`base64gunzip("aGVsbG8gd29ybGQ=")`, `error: Call to function "base64gunzip" failed: failed to read gzip data: gzip: invalid header.`},
		{`cidrcontains("192.168.2.0/20", "192.168.2.1")`, "true"},
		{`cidrcontains("192.168.2.0/20", "192.168.2.0/22")`, "true"},
		{`cidrcontains("192.168.2.0/20", "192.126.2.1")`, "false"},
		{`cidrcontains("192.168.0.0/22", "192.168.0.0/20")`, "false"},
		{`cidrcontains("fe80::/48", "fe80::1")`, "true"},
		{`cidrcontains("fe80::/48", "fe81::/64")`, "false"},
		{`cidrcontains("fe80::/48", "10.0.0.1")`, `error: Call to function "cidrcontains" failed: address family mismatch: fe80::/48 vs. 10.0.0.1.`},
		{`cidrcontains("10.0.0.0", "10.0.0.1")`, `error: Invalid value for "containing_prefix" parameter: invalid CIDR expression: invalid CIDR address: 10.0.0.0.`},
		{`cidrcontains("10.0.0.0/8", "x")`, `error: Invalid value for "contained_ip_or_prefix" parameter: invalid IP address or prefix: x.`},
		{`urldecode("a+b%2Fc%3Fd%3D%C3%A9")`, `"a b/c?d=é"`},
		{`urldecode(urlencode("ä&=+ %"))`, `"ä&=+ %"`},
		{`urldecode("%zz")`, `error: Call to function "urldecode" failed: failed to decode URL-encoded data "%zz".`},
		{`urldecode("%FF")`, `error: Call to function "urldecode" failed: the result of decoding the provided string is not valid UTF-8.`},
		{`element(["a", "b", "c"], -1)`, `"c"`},
		{`element([1, "b", true], -5)`, `"b"`},
		{`contains(["a", null], null)`, "true"},
		{`contains(["a"], null)`, "false"},
		{`contains(["a", local.unknown], null)`, "(known after apply)"},
		{`contains(["a"], local.unknown)`, "(known after apply)"},
		{`signum(-0.5)`, "-1"},
		{`log(-1, 10)`, `error: Call to function "log" failed: the result is not a real number.`},
		{`pow(-1, 0.5)`, `error: Call to function "pow" failed: the result is not a real number.`},
		{`bcrypt("a", 5, 6)`, `error: Call to function "bcrypt" failed: bcrypt() takes no more than two arguments.`},
		{`bcrypt("a", 99)`, `error: Call to function "bcrypt" failed: error occurred generating password crypto/bcrypt: cost 99 is outside allowed inclusive range 4..31.`},
		{`cidrsubnets("0.0.0.0/0", 1, 1)`, "tolist([\n  \"0.0.0.0/1\",\n  \"128.0.0.0/1\",\n])"},
		{`templatestring(local.obj[local.tmpl], {})`, `error: Invalid value for "template" parameter: invalid template expression: main.tf:1,25-37: Invalid index; The given key does not identify an element in this collection value..`},
		{`tonumber(var.eph)`, `error: Invalid value for "v" parameter: cannot convert this ephemeral string to number.`},
		{`base64decode(var.eph)`, `error: Call to function "base64decode" failed: failed to decode base64 data (ephemeral value).`},
		{`type(1)`, `error: There is no function named "type".`},
		{`lookup(tomap({ a = 1 }), sensitive("b"))`, `error: Call to function "lookup" failed: lookup failed to find key (sensitive value).`},
	})
}

func TestPlanning(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("x", 3600))
	ctx := scope(Options{PureOnly: true, PlanTimestamp: at}, nil)
	check(t, ctx, [][2]string{
		{`timestamp()`, "(known after apply)"},
		{`uuid()`, "(known after apply)"},
		{`bcrypt("x")`, "(known after apply)"},
		{`core::uuid()`, "(known after apply)"},
		{`uuid() == null`, "false"},
		{`bcrypt(sensitive("x"))`, "(sensitive value)"},
		{`plantimestamp()`, `"2026-03-04T04:06:07Z"`},
	})
	check(t, scope(Options{}, nil), [][2]string{
		{`plantimestamp()`, "(known after apply)"},
		{`plantimestamp() == null`, "false"},
		{`timecmp(timestamp(), "2020-01-01T00:00:00Z")`, "1"},
		{`uuid() == uuid()`, "false"},
	})
}

// mayBeNull are the functions that can return null, or that return what they
// were given.
var mayBeNull = map[string]bool{
	"can": true, "convert": true, "element": true, "ephemeralasnull": true, "flatten": true, "jsondecode": true,
	"list": true, "lookup": true, "map": true, "nonsensitive": true, "one": true, "regex": true,
	"sensitive": true, "templatefile": true, "templatestring": true, "try": true,
	"timeadd": true, "tobool": true, "tolist": true, "tomap": true, "tonumber": true, "toset": true, "tostring": true,
	"yamldecode": true, "yamlencode": true,
}

func TestUnknownResultsAreNotNull(t *testing.T) {
	for name, f := range Table(Options{PureOnly: true}) {
		if mayBeNull[strings.TrimPrefix(name, CoreNamespace)] {
			continue
		}
		v, err := f.Call(unknownArgs(f))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if v.Type() != cty.DynamicPseudoType && !v.IsKnown() && v.Range().CouldBeNull() {
			t.Errorf("%s: an unknown result may be null", name)
		}
	}
}

// unknownArgs are unknown arguments of the right types.
func unknownArgs(f function.Function) []cty.Value {
	params := f.Params()
	if p := f.VarParam(); p != nil {
		params = append(params, *p)
		if p.Name == "sets" {
			params = append(params, *p)
		}
	}
	args := make([]cty.Value, len(params))
	for i, p := range params {
		ty := p.Type
		switch {
		case ty.HasDynamicTypes() && ty.IsListType():
			ty = cty.List(cty.String)
		case ty.HasDynamicTypes() && ty.IsSetType():
			ty = cty.Set(cty.String)
		case ty == cty.DynamicPseudoType && (p.Name == "number" || p.Name == "v" || p.Name == "default"):
			ty = cty.String
		case ty == cty.DynamicPseudoType && (strings.Contains(p.Name, "ap") || p.Name == "vars"):
			ty = cty.Map(cty.String)
		case ty == cty.DynamicPseudoType:
			ty = cty.List(cty.String)
		}
		args[i] = cty.UnknownVal(ty)
	}
	return args
}

func TestMarksReachEveryResult(t *testing.T) {
	strip := map[string]bool{"nonsensitive": true, "issensitive": true, "ephemeralasnull": true, "type": true,
		"can": true, "try": true, "convert": true, "tolist": true, "toset": true, "tomap": true, "templatestring": true, "list": true, "map": true}
	for name, f := range Table(Options{PureOnly: true}) {
		args := unknownArgs(f)
		if strip[strings.TrimPrefix(name, CoreNamespace)] || len(args) == 0 {
			continue
		}
		for i := range args {
			args[i] = args[i].Mark(marks.Ephemeral)
		}
		v, err := f.Call(args)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !marks.Contains(v, marks.Ephemeral) {
			t.Errorf("%s loses the marks of its arguments", name)
		}
	}
}

func TestUnknownSecretsStaySecret(t *testing.T) {
	check(t, scope(Options{}, nil), [][2]string{
		{`file(sensitive(local.unknown))`, "(sensitive value)"},
		{`values(sensitive(local.unknown))`, "(sensitive value)"},
		{`merge(sensitive(local.unknown), {})`, "(sensitive value)"},
		{`tostring(sensitive(local.unknown))`, "(sensitive value)"},
		{`lookup(sensitive(local.unknown), "a", 1)`, "(sensitive value)"},
		{`templatefile(sensitive(local.unknown), {})`, "(sensitive value)"},
		{`templatefile("x", sensitive(local.unknown))`, "(sensitive value)"},
		{`base64decode(sensitive(local.unknown))`, "(sensitive value)"},
		{`base64decode(local.unknown)`, "(known after apply)"},
	})
}

func TestEveryFunctionHasACorpusEntry(t *testing.T) {
	text := ""
	for _, name := range []string{"testdata/console.txt", "testdata/errors.txt", "functions_test.go"} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text += string(raw)
	}
	for name := range Table(Options{ConsoleMode: true}) {
		if !strings.HasPrefix(name, CoreNamespace) && !strings.Contains(text, name+"(") {
			t.Errorf("%s is not tested", name)
		}
	}
}

func TestTablesAreIndependent(t *testing.T) {
	first := Table(Options{})
	delete(first, "upper")
	if _, ok := Table(Options{})["upper"]; !ok {
		t.Error("changing one table changed another")
	}
}

func TestTableIsSafeForConcurrentUse(t *testing.T) {
	dir := fixture(t)
	ctx := scope(Options{BaseDir: dir}, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				v, diags := evaluate(`templatefile("loop.tmpl", { name = upper("n"), xs = sort(["b", "a"]) })`, ctx)
				if diags.HasErrors() || v.AsString() != "hello N [a][b]  tail" {
					t.Errorf("%#v %s", v, diags)
				}
			}
		})
	}
	wg.Wait()
}

func TestFilesAreRelativeToTheBaseDirectory(t *testing.T) {
	base := filepath.Join(t.TempDir(), "odd [name] {x}*")
	for _, dir := range []string{"sub/deep", "other", ".tutti/locks"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sub/a.txt", "sub/deep/b.txt", "other/c.md", ".tutti/store.db", ".tutti/locks/x.txt"} {
		if err := os.WriteFile(filepath.Join(base, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"sub/link.txt": "a.txt", "sub/gone.txt": "nowhere", "sub/dir.txt": "deep"} {
		if err := os.Symlink(target, filepath.Join(base, link)); err != nil {
			t.Fatal(err)
		}
	}
	check(t, scope(Options{BaseDir: base}, nil), [][2]string{
		{`file("sub/a.txt")`, `"sub/a.txt"`},
		{`file("./sub/../sub/a.txt")`, `"sub/a.txt"`},
		{`fileexists("sub/a.txt")`, "true"},
		{`fileexists("sub/link.txt")`, "true"},
		{`fileexists("sub/gone.txt")`, "false"},
		{`fileexists("sub/dir.txt")`, `error: Call to function "fileexists" failed: "sub/dir.txt" is a directory, not a file.`},
		{`join(",", fileset("sub", "*.txt"))`, `"a.txt,link.txt"`},
		{`join(",", fileset(".", "**/*.{txt,md}"))`, `"other/c.md,sub/a.txt,sub/deep/b.txt,sub/dir.txt/b.txt,sub/link.txt"`},
		{`join(",", fileset("sub", "../other/*"))`, `"../other/c.md"`},
		{`fileset("missing", "*")`, "toset([])"},
		// What is in the folder of a store is nobody else's.
		{`fileset(".", ".tutti/*")`, "toset([])"},
		{`file(".tutti/store.db")`, `error: Invalid value for "path" parameter: ".tutti/store.db" is the store of Tutti, which nothing else may open.`},
		{`filesha256("sub/../.tutti/store.db")`, `error: Call to function "filesha256" failed: "sub/../.tutti/store.db" is the store of Tutti, which nothing else may open.`},
		{`abspath("x") == abspath("./y/../x")`, "true"},
	})
	v, _ := evaluate(`abspath("x")`, scope(Options{BaseDir: base}, nil))
	if got, want := v.AsString(), filepath.ToSlash(filepath.Join(base, "x")); got != want {
		t.Errorf("abspath: got %s, want %s", got, want)
	}
	missing := filepath.Join(base, "missing")
	check(t, scope(Options{BaseDir: base}, nil), [][2]string{
		{`filemd5("missing")`, `error: Call to function "filemd5" failed: open ` + missing + `: no such file or directory.`},
		{`file(sensitive("sub"))`, `error: Invalid value for "path" parameter: failed to read file: read (sensitive value): is a directory.`},
	})
}

func TestHomeDirectory(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	if err := os.WriteFile(filepath.Join(home, "note"), []byte("at home"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, scope(Options{}, nil), [][2]string{
		{`file("~/note")`, `"at home"`},
		{`pathexpand("~/note") == "` + home + `/note"`, "true"},
		{`pathexpand("~")  == "` + home + `"`, "true"},
		{`pathexpand("~root/x")`, `error: Call to function "pathexpand" failed: cannot expand user-specific home dir.`},
	})
}

func TestTypeIsForTheConsoleOnly(t *testing.T) {
	f := Table(Options{ConsoleMode: true})["type"]
	v, err := f.Call([]cty.Value{cty.ListValEmpty(cty.String).Mark(marks.Sensitive)})
	if err != nil {
		t.Fatal(err)
	}
	ty, ok := TypeOf(v)
	if !ok || !ty.Equals(cty.List(cty.String)) {
		t.Errorf("TypeOf(%#v) = %#v, %v", v, ty, ok)
	}
	if _, ok := TypeOf(cty.StringVal("x")); ok {
		t.Error("a string is no type")
	}
}
