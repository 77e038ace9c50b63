// Package patterns measures how fast events find the patterns they fit, beside the
// plain way: each pattern compiled on its own, and tried on each event.
//
// The events are those of the published benchmark of Event Ruler: the lots of San
// Francisco, records of a parcel's properties and the coordinates of its outline, from
// the city's open data. The rules are of the same kinds, five each, written for them.
package patterns

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/events/patterns"
)

// streets are some of those in the lots.
var streets = strings.Fields("ACADEMY BLANKEN BLUXOME DRUMM FULTON RHODE JEFFERSON BEACH HYDE CHESTNUT MASON FOLSOM HARRISON MISSION VALENCIA GUERRERO DOLORES CHURCH SANCHEZ NOE CASTRO DIAMOND DOUGLASS FRANCISCO DIEGO LAKE CLARION TAYLOR")

// source is a module that carries the lots in its test data, one in a line. It is
// fetched where it is missing.
const source = "github.com/timbray/quamina@v0.3.0"

// lots gives every tenth lot, with its coordinates as objects and the first of them apart,
// as in the data of Event Ruler's benchmark.
func lots(b *testing.B) [][]byte {
	b.Helper()
	answer, err := exec.Command("go", "mod", "download", "-json", source).Output()
	if err != nil {
		b.Skipf("%s cannot be had: %v %s", source, err, answer)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(answer, &module); err != nil {
		b.Fatal(err)
	}
	file, err := os.Open(filepath.Join(module.Dir, "testdata", "citylots.jlines.gz"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		b.Fatal(err)
	}
	var out [][]byte
	lines := bufio.NewScanner(unpacked)
	lines.Buffer(nil, 1<<20)
	for n := 0; lines.Scan(); n++ {
		if n%10 == 0 {
			out = append(out, event(b, lines.Bytes()))
		}
	}
	if err := lines.Err(); err != nil {
		b.Fatal(err)
	}
	return out
}

// event gives one line of the data the form that the rules are written for.
func event(b *testing.B, line []byte) []byte {
	type point struct {
		X json.Number `json:"x"`
		Y json.Number `json:"y"`
		Z json.Number `json:"z"`
	}
	type geometry struct {
		Type  string  `json:"type"`
		First *point  `json:"firstCoordinates"`
		All   []point `json:"coordinates"`
	}
	var lot struct {
		Type       string          `json:"type"`
		Properties json.RawMessage `json:"properties"`
		Geometry   *struct {
			Type        string          `json:"type"`
			Coordinates json.RawMessage `json:"coordinates"`
		} `json:"geometry"`
	}
	if err := json.Unmarshal(line, &lot); err != nil {
		b.Fatal(err)
	}
	out := struct {
		Type       string          `json:"type"`
		Properties json.RawMessage `json:"properties"`
		Geometry   *geometry       `json:"geometry"`
	}{Type: lot.Type, Properties: lot.Properties}
	if lot.Geometry != nil {
		out.Geometry = &geometry{Type: lot.Geometry.Type}
		// Polygons are lists of rings, the others lists of polygons: what counts are
		// the innermost lists, which have numbers.
		decoder := json.NewDecoder(bytes.NewReader(lot.Geometry.Coordinates))
		decoder.UseNumber()
		var numbers []json.Number
		for {
			token, err := decoder.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if number, ok := token.(json.Number); ok {
				numbers = append(numbers, number)
			}
			if len(numbers) == 3 {
				out.Geometry.All = append(out.Geometry.All, point{numbers[0], numbers[1], numbers[2]})
				numbers = nil
			}
		}
		if len(out.Geometry.All) > 0 {
			out.Geometry.First = &out.Geometry.All[0]
		}
	}
	data, err := json.Marshal(out)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// property is a pattern about one property of a lot.
func property(name, want string) string {
	return fmt.Sprintf(`{"properties":{%q:[%s]}}`, name, want)
}

// kinds are rules like those of the published benchmark.
var kinds = []struct {
	name  string
	rules []string
}{
	{"exact", each("MAPBLKLOT", `"1430022"`, `"2607117"`, `"2607218"`, `"3745012"`, `"VACSTWIL"`)},
	{"prefix", each("STREET", `{"prefix":"AC"}`, `{"prefix":"BL"}`, `{"prefix":"DR"}`, `{"prefix":"FU"}`, `{"prefix":"RH"}`)},
	{"suffix", each("STREET", `{"suffix":"ON"}`, `{"suffix":"KE"}`, `{"suffix":"MM"}`, `{"suffix":"ING"}`, `{"suffix":"GO"}`)},
	{"equals-ignore-case", each("STREET", `{"equals-ignore-case":"jefferson"}`, `{"equals-ignore-case":"bEaCh"}`, `{"equals-ignore-case":"HyDe"}`, `{"equals-ignore-case":"CHESTNUT"}`, `{"equals-ignore-case":"st"}`)},
	{"wildcard", each("MAPBLKLOT", `{"wildcard":"143*"}`, `{"wildcard":"2*0*1*7"}`, `{"wildcard":"*218"}`, `{"wildcard":"3*5*2"}`, `{"wildcard":"VA*IL"}`)},
	{"numeric", []string{
		`{"geometry":{"type":["Polygon"],"firstCoordinates":{"x":[{"numeric":["=",-122.42916360922355]}]}}}`,
		`{"geometry":{"type":["MultiPolygon"],"firstCoordinates":{"z":[{"numeric":["=",0]}]}}}`,
		`{"geometry":{"firstCoordinates":{"x":[{"numeric":["<",-122.41600944012424]}]}}}`,
		`{"geometry":{"firstCoordinates":{"x":[{"numeric":[">",-122.41600944012424]}]}}}`,
		`{"geometry":{"firstCoordinates":{"x":[{"numeric":[">",-122.46471267081272,"<",-122.4063085128395]}]}}}`,
	}},
	{"anything-but", []string{
		property("STREET", `{"anything-but":["FULTON"]}`), property("STREET", `{"anything-but":["MASON"]}`), property("ST_TYPE", `{"anything-but":["ST"]}`),
		`{"geometry":{"type":[{"anything-but":["Polygon"]}]}}`, property("FROM_ST", `{"anything-but":["441"]}`),
	}},
	{"arrays", []string{
		`{"geometry":{"type":["Polygon"],"coordinates":{"x":[{"numeric":["=",-122.42916360922355]}]}}}`,
		`{"geometry":{"type":["MultiPolygon"],"coordinates":{"y":[{"numeric":["=",37.729900216217324]}]}}}`,
		`{"geometry":{"coordinates":{"x":[{"numeric":["<",-122.41600944012424]}]}}}`,
		`{"geometry":{"coordinates":{"x":[{"numeric":[">",-122.41600944012424]}],"z":[0]}}}`,
		`{"geometry":{"coordinates":{"x":[{"numeric":[">",-122.46471267081272,"<",-122.4063085128395]}]}}}`,
	}},
}

func each(name string, wants ...string) []string {
	out := make([]string, len(wants))
	for i, want := range wants {
		out[i] = property(name, want)
	}
	return out
}

// triggers are n patterns as projects have them, mixed: a type of event, a place, and
// something about a field.
func triggers(n int) []string {
	out := make([]string, n)
	for i := range out {
		block, street := 1000+i%6000, streets[i%len(streets)]
		out[i] = []string{
			fmt.Sprintf(`{"type":["Feature"],"properties":{"BLOCK_NUM":["%04d"],"ODD_EVEN":["O"]}}`, block),
			fmt.Sprintf(`{"type":["Feature"],"properties":{"MAPBLKLOT":[{"prefix":"%04d%d"}],"ST_TYPE":[{"anything-but":"AVE"}]}}`, block, i%10),
			fmt.Sprintf(`{"properties":{"STREET":[%q],"FROM_ST":[{"suffix":"%03d"}]}}`, street, i%1000),
			fmt.Sprintf(`{"properties":{"BLKLOT":[{"wildcard":"%d*%02d*%d"}]},"geometry":{"type":["Polygon"]}}`, block/100, i%100, i%7),
			fmt.Sprintf(`{"properties":{"STREET":[{"equals-ignore-case":%q}],"LOT_NUM":["%03d"]}}`, strings.ToLower(street), i%300),
			fmt.Sprintf(`{"geometry":{"firstCoordinates":{"x":[{"numeric":[">",%.6f,"<",%.6f]}]}}}`, -122.5+float64(i)*1e-5, -122.5+float64(i)*1e-5+2e-5),
			fmt.Sprintf(`{"$or":[{"properties":{"LOT_NUM":["%03d"],"BLOCK_NUM":["%04d"]}},{"properties":{"MAPBLKLOT":["%04d%03d"]}}]}`, i%300, block, block, i%300),
		}[i%7]
	}
	return out
}

// leastRate is what any machine does with a thousand triggers, in events a second
// of processor time.
const leastRate = 5_000

func BenchmarkPatterns(b *testing.B) {
	list := lots(b)
	size := 0
	for _, event := range list {
		size += len(event)
	}
	b.Logf("%d events of %d bytes", len(list), size/len(list))
	var all []string
	for _, kind := range kinds {
		all = append(all, kind.rules...)
		compare(b, kind.name, kind.rules, list)
	}
	compare(b, "all kinds", all, list)
	for _, n := range []int{10, 100, 1000, 10_000} {
		compare(b, fmt.Sprint(n, " triggers"), triggers(n), list)
	}
}

func compare(b *testing.B, name string, rules []string, list [][]byte) {
	var compiled []*patterns.Pattern
	var plain []rule
	for _, source := range rules {
		p, diags := patterns.ParseJSON("rule.json", []byte(source))
		if diags.HasErrors() {
			b.Fatal(diags.Err())
		}
		compiled = append(compiled, p)
		plain = append(plain, compile(source)...)
	}
	b.Run(name+"/tutti", func(b *testing.B) {
		m := patterns.Compile(compiled)
		began := processorTime()
		for b.Loop() {
			for _, event := range list {
				if _, err := m.Match(event); err != nil {
					b.Fatal(err)
				}
			}
		}
		rate := float64(len(list)*b.N) / (processorTime() - began).Seconds()
		b.ReportMetric(rate, "events/s")
		if rate < leastRate && len(rules) <= 1000 {
			b.Errorf("%.0f events a second", rate)
		}
	})
	// One by one, a tenth is enough to know.
	var few [][]byte
	for i := 0; i < len(list); i += 10 {
		few = append(few, list[i])
	}
	b.Run(name+"/one by one", func(b *testing.B) {
		count, began := 0, processorTime()
		for b.Loop() {
			count = 0
			for _, event := range few {
				count += match(plain, event)
			}
		}
		b.ReportMetric(float64(len(few)*b.N)/(processorTime()-began).Seconds(), "events/s")
		// Both say the same of the same events.
		m := patterns.Compile(compiled)
		for _, event := range few {
			found, err := m.Match(event)
			if err != nil {
				b.Fatal(err)
			}
			count -= len(found)
		}
		if count != 0 {
			b.Errorf("%d matches more than the matcher finds", count)
		}
	})
}

// rule is one way of a pattern, on its own: all fields have to fit.
type rule struct {
	pattern int
	fields  []fieldRule
}

type fieldRule struct {
	path  []string
	tests []func(any) bool
}

var compiledRules int

// compile makes the rules of a pattern: one for each alternative of a "$or" at its
// top, which is all that these patterns have.
func compile(source string) []rule {
	var pattern map[string]any
	if err := json.Unmarshal([]byte(source), &pattern); err != nil {
		panic(err)
	}
	number := compiledRules
	compiledRules++
	if or, ok := pattern["$or"].([]any); ok {
		var out []rule
		for _, one := range or {
			out = append(out, rule{number, fieldRules(one.(map[string]any), nil)})
		}
		return out
	}
	return []rule{{number, fieldRules(pattern, nil)}}
}

func fieldRules(pattern map[string]any, path []string) []fieldRule {
	var out []fieldRule
	for name, value := range pattern {
		inner := append(append([]string(nil), path...), name)
		if object, ok := value.(map[string]any); ok {
			out = append(out, fieldRules(object, inner)...)
			continue
		}
		f := fieldRule{path: inner}
		for _, want := range value.([]any) {
			f.tests = append(f.tests, makeTest(want))
		}
		out = append(out, f)
	}
	return out
}

func makeTest(want any) func(any) bool {
	operators, ok := want.(map[string]any)
	if !ok {
		return func(v any) bool { return v == want }
	}
	onText := func(test func(string) bool) func(any) bool {
		return func(v any) bool { text, ok := v.(string); return ok && test(text) }
	}
	for name, argument := range operators {
		text, _ := argument.(string)
		switch name {
		case "prefix":
			return onText(func(v string) bool { return strings.HasPrefix(v, text) })
		case "suffix":
			return onText(func(v string) bool { return strings.HasSuffix(v, text) })
		case "equals-ignore-case":
			return onText(func(v string) bool { return strings.EqualFold(v, text) })
		case "wildcard":
			parts := strings.Split(text, "*")
			return onText(func(v string) bool { return wildcard(v, parts) })
		case "anything-but":
			list, ok := argument.([]any)
			if !ok {
				list = []any{argument}
			}
			return func(v any) bool {
				for _, one := range list {
					if one == v {
						return false
					}
				}
				return true
			}
		case "numeric":
			list := argument.([]any)
			return func(v any) bool {
				number, ok := v.(float64)
				for i := 0; ok && i < len(list); i += 2 {
					bound := list[i+1].(float64)
					switch list[i] {
					case "=":
						ok = number == bound
					case "<":
						ok = number < bound
					case ">":
						ok = number > bound
					}
				}
				return ok
			}
		}
	}
	panic("no such operator")
}

func wildcard(v string, parts []string) bool {
	if !strings.HasPrefix(v, parts[0]) {
		return false
	}
	v = v[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(v, part)
		if at < 0 {
			return false
		}
		v = v[at+len(part):]
	}
	return strings.HasSuffix(v, last)
}

// match counts the patterns that an event fits.
func match(rules []rule, source []byte) int {
	var event any
	if err := json.NewDecoder(bytes.NewReader(source)).Decode(&event); err != nil {
		panic(err)
	}
	count, last := 0, -1
	for _, r := range rules {
		if r.pattern == last {
			continue
		}
		fits := true
		for _, f := range r.fields {
			if fits = f.fits(event, f.path); !fits {
				break
			}
		}
		if fits {
			count++
			last = r.pattern
		}
	}
	return count
}

func (f *fieldRule) fits(v any, path []string) bool {
	if list, ok := v.([]any); ok {
		for _, element := range list {
			if f.fits(element, path) {
				return true
			}
		}
		return false
	}
	if len(path) > 0 {
		object, ok := v.(map[string]any)
		if !ok {
			return false
		}
		inner, ok := object[path[0]]
		return ok && f.fits(inner, path[1:])
	}
	for _, test := range f.tests {
		if test(v) {
			return true
		}
	}
	return false
}

// BenchmarkLongArrays matches events with arrays of n objects, each of which has one
// of the two fields that a pattern wants of one of them: the worst there is.
func BenchmarkLongArrays(b *testing.B) {
	p, diags := patterns.ParseJSON("rule.json", []byte(`{"d":{"a":[{"exists":true}],"b":[{"prefix":"x"}]}}`))
	if diags.HasErrors() {
		b.Fatal(diags.Err())
	}
	m := patterns.Compile([]*patterns.Pattern{p})
	for _, n := range []int{100, 1000, 10_000} {
		event := []byte(`{"d":[` + strings.Repeat(`{"a":1},{"b":"x"},`, n/2) + `{}]}`)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if found, err := m.Match(event); err != nil || len(found) != 0 {
					b.Fatal(found, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/element")
		})
	}
}
