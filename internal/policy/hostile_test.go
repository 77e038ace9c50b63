package policy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/policy"
)

var twoChanges = plan(change("t.a", `{"size":1,"name":"x"}`, `{}`), change("t.b", `{"size":2}`, `{"name":true}`))

// judged evaluates one package; what it says of a plan that it does not pass.
func judged(t testing.TB, o policy.Options, rego string, decisions ...string) (*policy.Decision, diag.List) {
	t.Helper()
	p, diags := policy.PrepareSource("p", policy.Mandatory, policy.Source{Dir: "policy", Decisions: decisions, Files: map[string][]byte{"a.rego": []byte("package main\n" + rego)}})
	if diags.HasErrors() {
		return &policy.Decision{}, diags
	}
	d, err := policy.ParsePlan([]byte(twoChanges), map[string]any{"actor": "x"})
	if err != nil {
		t.Fatal(err)
	}
	return policy.Judge(context.Background(), []*policy.Policy{p}, d, o)
}

// TestHostile has policies that want to do harm, or do it by mistake. None of them
// lets a plan pass, breaks the process, or goes on for ever.
func TestHostile(t *testing.T) {
	numbers := "numbers.range(1, 100000)"
	for _, c := range []struct{ name, rego, want string }{
		{"recursion", "f(x) := f(x)\ndeny contains f(1)", "recursive"},
		{"recursion of rules", "deny contains \"x\" if a\na if b\nb if a", "recursive"},
		{"loops in loops", "deny contains x if { some x in " + numbers + "; some y in " + numbers + "; x * y == -1 }", "takes more than"},
		{"an empty comprehension of a lot", "deny contains \"x\" if count([1 | some x in " + numbers + "; some y in " + numbers + "; x + y == 0]) > 0", "takes more than"},
		{"a function that does not stop", "edges := {sprintf(\"%d\", [i]): [sprintf(\"%d\", [j]) | some j in numbers.range(1, 9); j != i] | some i in numbers.range(1, 9)}\ndeny contains \"x\" if count(graph.reachable_paths(edges, [\"1\"])) == 0", "takes more than"},
		{"a loop in an exception", "deny contains \"x\"\nexception contains [\"\"] if { some x in " + numbers + "; some y in " + numbers + "; x * y == -1 }", "takes more than"},
		{"text that doubles", "t0 := \"0123456789abcdef\"\n" + doubling(40) + "deny contains \"x\" if count(t40) == 1", "would be too large|takes more than"},
		{"a list that doubles", "t0 := [1]\n" + strings.NewReplacer(`concat("", [`, "array.concat(", "])", ")").Replace(doubling(40)) + "deny contains \"x\" if count(t40) == 1", "memory|takes more than"},
		{"rules in conflict", "a := 1\na := 2 if input.format_version\ndeny contains \"x\" if a == 3", "conflict|multiple"},
		{"functions in conflict", "f(x) := 1\nf(x) := 2 if x\ndeny contains \"x\" if f(true) == 3", "conflict|multiple"},
		{"keys in conflict", "deny contains x if { o := {k: v | some v in [1, 2]; k := \"a\"}; x := o.a; x == 3 }", "object keys must be unique"},
		{"too many messages", "deny contains x if some x in " + numbers, "more than 10000 messages|takes more than"},
		{"messages that are too long", "deny contains sprintf(\"%d%s\", [i, concat(\"\", [\"x\" | some j in numbers.range(1, 10000)])]) if some i in numbers.range(1, 5000)", "more than 10000 messages|takes more than"},
		{"the network", "deny contains \"x\" if http.send({\"method\": \"GET\", \"url\": \"http://localhost\"}).status_code == 1", "undefined function http.send"},
		{"names of hosts", "deny contains \"x\" if net.lookup_ip_addr(\"localhost\")", "undefined function net.lookup_ip_addr"},
		{"the process", "deny contains \"x\" if opa.runtime().env.HOME == \"\"", "undefined function opa.runtime"},
		{"files, by a schema", "deny contains \"x\" if json.match_schema({}, {\"$ref\": \"file:///etc/passwd\"})[0] == false", "undefined function json.match_schema"},
		{"files, by conftest", "deny contains \"x\" if parse_config_file(\"/etc/passwd\")", "undefined function parse_config_file"},
		{"a shift by a lot", "deny contains \"x\" if bits.lsh(1, 99999999999999) == 0", "would be too large|takes more than"},
		{"a replacement by a lot", "long := concat(\"\", [\"xy\" | some i in numbers.range(1, 20000)])\ndeny contains \"x\" if count(replace(long, \"x\", long)) == 0", "would be too large|takes more than"},
		{"a range of a lot", "deny contains \"x\" if count(numbers.range(1, 1e15)) == 0", "takes more than|memory"},
		{"all addresses", "deny contains \"x\" if count(net.cidr_expand(\"::/1\")) == 0", "takes more than|memory"},
		{"a pattern that is no pattern", "deny contains \"x\" if regex.match(\"(\", \"x\")", ""},
		{"invalid UTF-8", "deny contains \"\xff\xfe\"", "illegal utf-8|invalid|UTF"},
		{"a NUL", "deny contains \"a\x00b\"", ""},
		{"unsafe variables", "deny contains x if not y", "unsafe"},
		{"no package", "\npackage other\ndeny contains 1", "package"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			out, diags := judged(t, policy.Options{Time: 300 * time.Millisecond, Memory: 1 << 30}, c.rego)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			if c.want == "" { // what it says counts; OPA takes what cannot be for undefined
				return
			}
			if !diags.HasErrors() {
				t.Fatalf("it is let pass: %v", out)
			}
			for want := range strings.SplitSeq(c.want, "|") {
				if strings.Contains(diags.Err().Error(), want) {
					return
				}
			}
			t.Errorf("got %v, want %s", diags.Err(), c.want)
		})
	}
}

func doubling(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "t%d := concat(\"\", [t%d, t%d])\n", i+1, i, i)
	}
	return b.String()
}

// pieces are what hostile policies are put together from.
var pieces = []string{
	"package main\n", "package other.deep\n", "import rego.v1\n", "import future.keywords\n", "import input.plan as tfplan\n", "import data.other.deep\n", "import input as deny\n",
	"deny contains msg if { some rc in input.resource_changes; msg := rc.address }\n", "deny[msg] { msg := \"old\" }\n", "deny := 7\n", "deny := {\"msg\": 1}\n", "default deny := null\n",
	"deny if input.resource_changes[_].change.after.name\n", "deny.x.y contains 1\n", "deny[x] := y if { x := input.tfplan; y := input }\n", "deny contains input\n", "deny contains data\n",
	"violation contains {\"msg\": {\"msg\": []}, \"details\": 3, \"resource\": {\"address\": 1}}\n", "warn_x contains {1, {2}, {{}}}\n", "warn contains sprintf(\"%d %s %v %\", [input, null, data])\n",
	"exception contains [\"\", \"x\", 1, null]\n", "exception := {\"x\": [\"\"]}\n", "exception contains rules if rules := input\n", "f(x) := f(x)\n", "f(x) := x.change.after else := 1\n", "deny contains f(rc) if some rc in input.resource_changes\n",
	"allow := true\n", "default allow := false\n", "allow if { every rc in input.resource_changes { rc.change.after.size < 9 } }\n", "x := y\ny := x\n", "x := 1\nx := 2\n", "x contains y if walk(input, [_, y])\n", "deny contains x\n",
	"# METADATA\n# title: 1\n# custom: {severity: []}\n", "# METADATA\n# scope: package\n# entrypoint: true\n", "# METADATA\n# scope: [\n", "deny contains rego.metadata.rule() if true\n", "deny contains rego.metadata.chain() if true\n",
	"deny contains x if { x := json.marshal(input.resource_changes[_].change.after) }\n", "deny contains x if { x := input.resource_changes[_].change.after with input as {\"resource_changes\": []} }\n", "deny contains x if { x := data.main.deny with input as {} }\n",
	"deny contains regex.replace(input.resource_changes[_].address, \"(a*)*\", \"$0$0\")\n", "deny contains x if { x := object.union(input, input.resource_changes[0].change.after) }\n", "deny contains x if { input.resource_changes[0].change.after == input.resource_changes[1].change.after; x := 1 }\n",
	"deny contains http.send({})\n", "deny contains opa.runtime()\n", "deny contains time.now_ns()\n", "deny contains rand.intn(\"x\", 9)\n", "deny contains 1e999\n", "deny contains -0\n", "deny contains 1/0\n", "deny contains \"\\ud800\"\n",
	"{", "}", "[", "]", "(", ")", "\"", "`", ":=", " if ", " contains ", " not ", "\x00", "\xff", "\u2028", "_", "[_]", ".", " else := ", " with input as ", " some x in ", strings.Repeat("[", 500), strings.Repeat("{\"a\":", 300), strings.Repeat("not ", 50),
}

// always denies, whatever stands beside it.
const always = "package last_word\n\ndeny contains \"never\"\n"

// hostile evaluates a text beside a rule that denies: whatever the text is, the
// plan must not pass.
func hostile(t testing.TB, text string, d *policy.Document) {
	t.Helper()
	p, diags := policy.Prepare("p", policy.Mandatory, "policy", map[string][]byte{"a.rego": []byte(text), "z.rego": []byte(always)})
	if diags.HasErrors() {
		return
	}
	out, diags := policy.Judge(context.Background(), []*policy.Policy{p}, d, policy.Options{Time: 2 * time.Second, Memory: 1 << 30})
	if !diags.HasErrors() && !out.Blocked() {
		t.Fatalf("%q lets a plan pass that is denied: %v", text, out)
	}
	for _, f := range out.Findings {
		if !utf8.ValidString(f.Message) {
			t.Fatalf("%q says %q", text, f.Message)
		}
	}
	out.Encode()
}

func hostileDocument(t testing.TB) *policy.Document {
	d, err := policy.ParsePlan([]byte(twoChanges), map[string]any{"actor": "x"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTenThousandHostilePolicies puts policies together at random.
func TestTenThousandHostilePolicies(t *testing.T) {
	tried := 10_000
	if testing.Short() {
		tried /= 10
	}
	d := hostileDocument(t)
	var all sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(w)))
			for range tried / workers {
				text := "package main\n"
				if random.IntN(10) == 0 {
					text = ""
				}
				for range 1 + random.IntN(6) {
					piece := pieces[random.IntN(len(pieces))]
					if random.IntN(20) == 0 {
						piece = piece[random.IntN(len(piece)):]
					}
					text += piece
				}
				hostile(t, text, d)
			}
		})
	}
	all.Wait()
}

// FuzzPolicy looks for a policy that lets pass what is denied, or breaks the
// evaluation.
func FuzzPolicy(f *testing.F) {
	for i, piece := range pieces {
		f.Add("package main\n" + piece + pieces[(i*7+3)%len(pieces)])
	}
	d := hostileDocument(f)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "last_word") {
			return // it may make exceptions to the rule that denies
		}
		hostile(t, text, d)
	})
}
