package patterns_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events/patterns"
	"github.com/zclconf/go-cty/cty"
)

// readHCL reads a pattern as it stands in a project.
func readHCL(source string, scope *hcl.EvalContext) (*patterns.Pattern, diag.List) {
	expr, found := hclsyntax.ParseExpression([]byte(source), "p.tutti.hcl", hcl.InitialPos)
	if found.HasErrors() {
		return nil, diag.FromHCL(found)
	}
	return patterns.Read(expr, scope)
}

func readBoth(source []byte) []*patterns.Pattern {
	a, _ := patterns.ParseJSON("p.json", source)
	b, _ := readHCL(string(source), nil)
	return []*patterns.Pattern{a, b}
}

// instance is the event of Event Ruler's documentation.
const instance = `{
  "version": "0", "id": "ddddd4-aaaa-7777-4444-345dd43cc333",
  "detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2",
  "account": "012345679012", "time": "2017-10-02T16:24:49Z", "region": "us-east-1",
  "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-000000aaaaaa00000"],
  "detail": {"c-count": 5, "d-count": 3, "x-limit": 301.8, "source-ip": "10.0.0.33",
             "instance-id": "i-000000aaaaaa00000", "state": "running"}
}`

const staff = `{"employees":[{"firstName":"John","lastName":"Doe"},{"firstName":"Anna","lastName":"Smith"},{"firstName":"Peter","lastName":"Jones"}]}`

// TestMatch has the facts of Event Ruler's documentation and of its public tests,
// and what is our own.
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		name, pattern, event string
		want                 bool
	}{
		{"one of each list", `{"detail-type":["EC2 Instance State-change Notification"],"resources":["arn:aws:ec2:us-east-1:123456789012:instance/i-000000aaaaaa00000"],"detail":{"state":["initializing","running"]}}`, instance, true},
		{"prefix", `{"time":[{"prefix":"2017-10-02"}]}`, instance, true},
		{"suffix", `{"source":[{"suffix":"ec2"}]}`, instance, true},
		{"ignoring case", `{"source":[{"equals-ignore-case":"AWS.EC2"}]}`, instance, true},
		{"prefix ignoring case", `{"source":[{"prefix":{"equals-ignore-case":"AWS."}}]}`, instance, true},
		{"suffix ignoring case", `{"source":[{"suffix":{"equals-ignore-case":".EC2"}}]}`, instance, true},
		{"wildcard", `{"source":[{"wildcard":"aws.*2"}]}`, instance, true},
		{"anything but", `{"detail":{"state":[{"anything-but":"initializing"}]}}`, instance, true},
		{"anything but that", `{"detail":{"state":[{"anything-but":["running","stopped"]}]}}`, instance, false},
		{"anything but numbers", `{"detail":{"x-limit":[{"anything-but":[100,200,301.80]}]}}`, instance, false},
		{"anything but prefix", `{"detail":{"state":[{"anything-but":{"prefix":"init"}}]}}`, instance, true},
		{"anything but prefixes", `{"detail":{"state":[{"anything-but":{"prefix":["init","run"]}}]}}`, instance, false},
		{"anything but wildcard", `{"detail":{"state":[{"anything-but":{"wildcard":"r*g"}}]}}`, instance, false},
		{"numeric", `{"detail":{"c-count":[{"numeric":[">",0,"<=",5]}],"d-count":[{"numeric":["<",10]}],"x-limit":[{"numeric":["=",3.018e2]}]}}`, instance, true},
		{"network", `{"detail":{"source-ip":[{"cidr":"10.0.0.0/24"}]}}`, instance, true},
		{"exists", `{"detail":{"c-count":[{"exists":true}]}}`, instance, true},
		{"does not exist", `{"detail":{"c-count":[{"exists":false}]}}`, instance, false},
		{"an object is no value", `{"detail":[{"exists":false}]}`, instance, true},
		{"the complex example", `{"time":[{"prefix":"2017-10-02"}],"detail":{"state":[{"anything-but":"initializing"}],"c-count":[{"numeric":[">",0,"<=",5]}],"d-count":[{"numeric":["<",10]}],"x-limit":[{"anything-but":[100,200,300]}],"source-ip":[{"cidr":"10.0.0.0/8"}]}}`, instance, true},
		{"or", `{"source":["aws.ec2"],"$or":[{"region":["eu-1"]},{"detail":{"c-count":[5]}}]}`, instance, true},
		{"or inside", `{"detail":{"$or":[{"c-count":[{"numeric":[">",5]}]},{"d-count":[3]}]}}`, instance, true},
		{"nested or", `{"source":["aws.ec2"],"$or":[{"none":[1]},{"region":["us-east-1"],"$or":[{"account":["x"]},{"version":["0"]}]}]}`, instance, true},
		{"nothing of or", `{"source":["aws.ec2"],"$or":[{"region":["eu-1"]},{"detail":{"c-count":[6]}}]}`, instance, false},
		{"inside and outside of or", `{"source":[{"prefix":"aws"}],"$or":[{"source":[{"suffix":"s3"}]},{"source":[{"suffix":"sqs"}]}]}`, instance, false},

		{"arrays are transparent", `{"employees":{"firstName":["Anna"]}}`, staff, true},
		{"one element", `{"employees":{"firstName":["Anna"],"lastName":["Smith"]}}`, staff, true},
		{"two elements", `{"employees":{"firstName":["Anna"],"lastName":["Jones"]}}`, staff, false},
		{"two elements of an inner array", `{"u":{"t":{"k":["color"],"v":["blue"]}}}`, `{"u":[{"t":[{"k":"color"},{"v":"blue"}]}]}`, false},
		{"one element of an inner array", `{"u":{"t":{"k":["color"],"v":["blue"]}}}`, `{"u":[{"t":[{"k":"x"},{"k":"color","v":"blue"}]}]}`, true},
		{"around an inner array", `{"d":{"name":[{"exists":true}],"info":{"x":["1"]}}}`, `{"d":[{"name":"alice"},{"info":{"x":"1"}}]}`, false},
		{"arrays of texts", `{"d":{"tags":["admin"],"type":["x"]}}`, `{"d":{"tags":["user","admin"],"type":"x"}}`, true},
		{"two arrays", `{"tags":["b"],"cats":["x"]}`, `{"tags":["a","b"],"cats":["x","y"]}`, true},
		{"anything but, in an array", `{"tags":[{"anything-but":"banned"}]}`, `{"tags":["banned","ok"]}`, true},
		{"anything but, all of an array", `{"tags":[{"anything-but":"banned"}]}`, `{"tags":["banned"]}`, false},
		{"an empty array is nothing", `{"d":{"name":[{"exists":true}]}}`, `{"d":{"name":[]}}`, false},
		{"an empty array does not exist", `{"d":{"name":[{"exists":false}],"type":["x"]}}`, `{"d":{"name":[],"type":"x"}}`, true},
		{"absent anywhere", `{"d":{"a":[{"exists":true}],"b":[{"exists":false}]}}`, `{"d":[{"a":1},{"a":2}]}`, true},
		{"absent in one element only", `{"d":{"a":[{"exists":true}],"b":[{"exists":false}]}}`, `{"d":[{"a":1},{"b":2}]}`, false},
		{"absent or a value", `{"a":[{"exists":false},"x"],"b":[1]}`, `{"a":"x","b":1}`, true},
		{"absent or another value", `{"a":[{"exists":false},"x"],"b":[1]}`, `{"a":"y","b":1}`, false},

		{"beside an inner array", `{"a":[5],"$or":[{"a":[1]},{"a":[2]}]}`, `{"a":[5,[[1]]]}`, true},
		{"in two inner arrays", `{"a":[5],"$or":[{"a":[1]},{"a":[2]}]}`, `{"a":[[5],[[1]]]}`, false},
		{"addresses of a zone are of no network", `{"a":[{"cidr":"fe80::/10"}]}`, `{"a":"fe80::1%eth0"}`, false},

		{"exact decimals", `{"a":[0.1]}`, `{"a":0.1000000000000000055511151231257827}`, false},
		{"the same decimal", `{"a":[0.1]}`, `{"a":10.0E-2}`, true},
		{"large numbers", `{"a":[{"numeric":[">",123456789012345678901234567890]}]}`, `{"a":123456789012345678901234567891}`, true},
		{"far exponents", `{"a":[{"numeric":["<",1]}]}`, `{"a":1e-99999999999999999999}`, true},
		{"minus zero", `{"a":[0]}`, `{"a":-0.00}`, true},
		{"numbers are no texts", `{"a":["5"]}`, `{"a":5}`, false},
		{"null", `{"a":[null]}`, `{"a":null}`, true},
		{"null exists", `{"a":[{"exists":true}]}`, `{"a":null}`, true},
		{"false is not null", `{"a":[null,true]}`, `{"a":false}`, false},
		{"escapes", `{"a":["\u00e9/x"]}`, `{"\u0061":"\u00E9\/x"}`, true},
		{"surrogates", `{"a":["😀"]}`, `{"a":"\ud83d\ude00"}`, true},
		{"dots are part of names", `{"a.b":[1]}`, `{"a":{"b":1}}`, false},
		{"the wildcard's star", `{"a":[{"wildcard":"\\**"}]}`, `{"a":"*x"}`, true},
		{"overlapping ends", `{"a":[{"wildcard":"ab*ba"}]}`, `{"a":"aba"}`, false},
		{"IPv6", `{"a":[{"cidr":"2001:db8::/32"}]}`, `{"a":"2001:DB8:0:0::1"}`, true},
		{"no network of the other kind", `{"a":[{"cidr":"0.0.0.0/0"}]}`, `{"a":"::1"}`, false},
	} {
		p, diags := patterns.ParseJSON("p.json", []byte(c.pattern))
		if diags.HasErrors() {
			t.Errorf("%s: %s", c.name, diags.Err())
			continue
		}
		got, err := patterns.Compile([]*patterns.Pattern{p}).Match([]byte(c.event))
		if err != nil || (len(got) == 1) != c.want {
			t.Errorf("%s: got %v, %v; want %v", c.name, got, err, c.want)
		}
		if want := naive(decode([]byte(c.pattern)).(map[string]any), decode([]byte(c.event))); want != c.want && c.name != "far exponents" {
			t.Errorf("%s: the naive reading says %v", c.name, want)
		}
	}
}

// TestHCL: what a project says, with values of the scope, and without lists where
// there is one value.
func TestHCL(t *testing.T) {
	scope := &hcl.EvalContext{Variables: map[string]cty.Value{"var": cty.ObjectVal(map[string]cty.Value{
		"branches": cty.ListVal([]cty.Value{cty.StringVal("main"), cty.StringVal("next")}),
		"more":     cty.ObjectVal(map[string]cty.Value{"size": cty.NumberIntVal(3)}),
	})}}
	p, diags := readHCL(`{
	  type = "git.push"
	  data = {
	    branch = var.branches
	    user   = [{ anything-but = "bot" }]
	    more   = var.more
	  }
	  "$or" = [{ source = [{ prefix = "a" }] }, { subject = ["b"] }]
	}`, scope)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	m := patterns.Compile([]*patterns.Pattern{p})
	for event, want := range map[string]bool{
		`{"type":"git.push","source":"abc","data":{"branch":"next","user":"ann","more":{"size":3}}}`: true,
		`{"type":"git.push","source":"abc","data":{"branch":"old","user":"ann","more":{"size":3}}}`:  false,
		`{"type":"git.push","subject":"b","data":{"branch":"main","user":"bot","more":{"size":3}}}`:  false,
		`{"type":"git.push","subject":"b","data":{"branch":"main","user":"x","more":{"size":3.0}}}`:  true,
	} {
		if got, err := m.Match([]byte(event)); err != nil || (len(got) == 1) != want {
			t.Errorf("%s: %v, %v", event, got, err)
		}
	}
}

// TestWrong: what is wrong with a pattern is said, with its place.
func TestWrong(t *testing.T) {
	scope := &hcl.EvalContext{Variables: map[string]cty.Value{"secret": cty.StringVal("x").Mark("sensitive"), "late": cty.UnknownVal(cty.String)}}
	for _, c := range []struct{ pattern, place, text string }{
		{`["a"]`, "1,1", "A pattern is an object"},
		{`{}`, "1,1", "must not be empty"},
		{`{ a = {} }`, "1,7", "must not be empty"},
		{`{ a = [] }`, "1,7", "must not be empty"},
		{`{ a = [[1]] }`, "1,8", "A list in a list"},
		{`{ a = [{ starts = "x" }] }`, "1,10", `There is no operator "starts"`},
		{`{ a = [{ prefix = "x", suffix = "y" }] }`, "1,8", "has one operator"},
		{`{ a = [{ prefix = 1 }] }`, "1,19", "prefix takes a text"},
		{`{ a = { prefix = "x" } }`, "1,9", "is the name of an operator"},
		{`{ a = [{ prefix = { suffix = "x" } }] }`, "1,19", "prefix takes a text, or { equals-ignore-case"},
		{`{ a = [{ wildcard = "a**" }] }`, "1,21", `"*" must not follow "*"`},
		{`{ a = [{ wildcard = "a\\b" }] }`, "1,21", "a backslash must stand"},
		{`{ a = [{ numeric = ["=", "1"] }] }`, "1,26", "A number is needed"},
		{`{ a = [{ numeric = ["~", 1] }] }`, "1,21", "is no comparison"},
		{`{ a = [{ numeric = ["<", 1, ">", 0] }] }`, "1,21", "begins with its lower end"},
		{`{ a = [{ numeric = [">", 1, "<", 1] }] }`, "1,20", "No number is in this range"},
		{`{ a = [{ numeric = [">"] }] }`, "1,20", "numeric takes a list"},
		{`{ a = [{ cidr = "10.0.0.0" }] }`, "1,17", "is no network"},
		{`{ a = [{ exists = "yes" }] }`, "1,19", "exists takes true or false"},
		{`{ a = [{ anything-but = [1, "x"] }] }`, "1,25", "not both"},
		{`{ a = [{ anything-but = true }] }`, "1,25", "takes texts or numbers"},
		{`{ a = [{ anything-but = { cidr = "10.0.0.0/8" } }] }`, "1,25", "anything-but takes"},
		{`{ a = [{ anything-but = { prefix = "" } }] }`, "1,36", "nothing would fit"},
		{`{ "$or" = [{ a = 1 }] }`, "1,11", "two or more objects"},
		{`{ "$or" = [{ a = 1 }, { prefix = "x" }] }`, "1,25", `"prefix" is an operator`},
		{`{ a = 1, a = 2 }`, "1,10", "given twice"},
		{`{ a = secret }`, "1,7", "sensitive"},
		{`{ a = late }`, "1,7", "not known yet"},
		{`{ a = 1e5000 }`, "1,7", "too large"},
		{"{" + strings.Repeat(`"$or" = [{ a = 1 }, { a = 2 }], x = {`, 10) + "y = 1" + strings.Repeat("}", 11), "1,34", "too many"},
		{"{ a = " + strings.Repeat("{ a = ", 200) + "1" + strings.Repeat("}", 201), "", "nested deeper"},
	} {
		p, diags := readHCL(c.pattern, scope)
		if p != nil || !diags.HasErrors() {
			t.Errorf("%s: nothing is wrong", c.pattern)
			continue
		}
		if d := diags[0]; !strings.Contains(d.Detail, c.text) || d.Subject == nil || c.place != "" && !strings.HasPrefix(d.Error(), "p.tutti.hcl:"+c.place+":") {
			t.Errorf("%s: %s", c.pattern, d.Error())
		}
	}
	if p, diags := readHCL(`{ a = { numeric = [">", 1] } }`, nil); p == nil || len(diags) != 1 || diags[0].Severity != diag.Warning {
		t.Errorf("a field that is called like an operator: %v", diags)
	}
	if _, diags := patterns.ParseJSON("p.json", []byte("{\n \"a\": [{\"prefix\": 3}]}")); !diags.HasErrors() || diags[0].Subject.Start.Line != 2 || diags[0].Subject.Filename != "p.json" {
		t.Errorf("%v", diags)
	}
	if _, diags := patterns.ParseJSON("p.json", []byte(`{"a":"`+strings.Repeat("x", 300<<10)+`"}`)); !diags.HasErrors() {
		t.Error("a large pattern is read")
	}
}

// TestNotEvents: what is no event is told apart from what fits nothing.
func TestNotEvents(t *testing.T) {
	p, _ := patterns.ParseJSON("p.json", []byte(`{"a":[1]}`))
	m := patterns.Compile([]*patterns.Pattern{p})
	for _, event := range []string{``, `[]`, `1`, `{`, `{"a":1}x`, `{"a":1,}`, `{"a":[1,]}`, `{"a":01}`, `{"a":1.}`, `{"a":+1}`, `{"a":"\x"}`, "{\"a\":\"\n\"}", `{"a":tru}`,
		`{"a":1,"a":2}`, "{\"a\":\"\xff\"}", `{"b":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, `{"a":"\u12"}`, `{a:1}`} {
		if got, err := m.Match([]byte(event)); err == nil {
			t.Errorf("%.40s: %v", event, got)
		}
		// What was read before it broke off leaves nothing behind.
		if got, err := m.Match([]byte(`{"a":2}`)); err != nil || len(got) > 0 {
			t.Fatalf("after %.40s: %v, %v", event, got, err)
		}
	}
	if got, err := m.Match([]byte(" {\n\"b\" : [ ] , \"a\" :\t1 } ")); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}
