package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/states"
)

// stateOf makes a state from lines "ADDRESS [needs ADDRESS]".
func stateOf(t *testing.T, lines ...string) *states.State {
	t.Helper()
	st := states.New()
	for _, line := range lines {
		text, dep, _ := strings.Cut(line, " needs ")
		addr, err := addrs.ParseResourceInstance(text)
		if err != nil {
			t.Fatal(err)
		}
		inst := &states.Instance{Object: addrs.Object{Instance: addr}, Status: states.Ready, Version: 1}
		if dep != "" {
			block, err := addrs.ParseConfigResource(dep)
			if err != nil {
				t.Fatal(err)
			}
			inst.Dependencies = []addrs.ConfigResource{block}
		}
		st.Instances[inst.Object] = inst
	}
	return st
}

func TestPlanMove(t *testing.T) {
	st := stateOf(t, "a.one", "a.two[0]", "a.two[1]", `module.m["x"].a.in`, `module.m["y"].a.in`, "module.n.a.in", "module.n.module.k.a.in", "b.other")
	tests := []struct{ from, to, want string }{
		{"a.one", "a.uno", "a.one→a.uno"},
		{"a.one", "a.uno[0]", "a.one→a.uno[0]"},
		{"a.two", "a.duo", "a.two[0]→a.duo[0] a.two[1]→a.duo[1]"},
		{"a.two[1]", "a.duo", "a.two[1]→a.duo"},
		{"a.two[1]", `module.z.a.duo["k"]`, `a.two[1]→module.z.a.duo["k"]`},
		{"module.m", "module.w", `module.m["x"].a.in→module.w["x"].a.in module.m["y"].a.in→module.w["y"].a.in`},
		{`module.m["x"]`, "module.w", `module.m["x"].a.in→module.w.a.in`},
		{"module.n", "module.p.module.q", "module.n.a.in→module.p.module.q.a.in module.n.module.k.a.in→module.p.module.q.module.k.a.in"},
		{"a.two", "a.duo[0]", "error: several instances"},
		{"a.one", "b.one", "error: types differ"},
		{"a.one", "module.m", "error: must be one too"},
		{"a.one", "a.two[0]", "error: already has a.two[0]"},
		{"a.zero", "a.null", "error: does not contain"},
	}
	for _, tt := range tests {
		from, err := addrs.ParseTarget(tt.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := addrs.ParseTarget(tt.to)
		if err != nil {
			t.Fatal(err)
		}
		list, diags := planMove(st, from, to)
		if want, ok := strings.CutPrefix(tt.want, "error: "); ok {
			if !diags.HasErrors() || !strings.Contains(diags[0].Detail, want) {
				t.Errorf("%s to %s: want an error with %q, got %v", tt.from, tt.to, want, diags)
			}
			continue
		}
		var got []string
		for _, m := range list {
			got = append(got, fmt.Sprintf("%s→%s", m.from.Object, m.to))
		}
		if s := strings.Join(got, " "); s != tt.want || diags.HasErrors() {
			t.Errorf("%s to %s:\n got %s %v\nwant %s", tt.from, tt.to, s, diags, tt.want)
		}
	}
}

func TestMoveRenamesDependencies(t *testing.T) {
	st := stateOf(t, "a.one", "b.user needs a.one", "a.many[0]", "a.many[1]", "b.other needs a.many")
	move := func(from, to string) map[string]string {
		f, _ := addrs.ParseTarget(from)
		g, _ := addrs.ParseTarget(to)
		list, diags := planMove(st, f, g)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		got := map[string]string{}
		for _, c := range moveChanges(st, list) {
			switch {
			case c.After == nil:
				got[c.Object.String()] = "gone"
			case len(c.After.Dependencies) > 0:
				got[c.Object.String()] = "needs " + c.After.Dependencies[0].String()
			default:
				got[c.Object.String()] = "here"
			}
		}
		return got
	}
	if got := fmt.Sprint(move("a.one", "module.m.a.one")); got != "map[a.one:gone b.user:needs module.m.a.one module.m.a.one:here]" {
		t.Errorf("whole block moved: %s", got)
	}
	// Something stays behind at the old address: who depended on it still does.
	if got := fmt.Sprint(move("a.many[0]", "a.single")); got != "map[a.many[0]:gone a.single:here]" {
		t.Errorf("one instance moved: %s", got)
	}
	if got := fmt.Sprint(move("a.many[0]", "a.many[2]")); got != "map[a.many[0]:gone a.many[2]:here]" {
		t.Errorf("key changed: %s", got)
	}
}
