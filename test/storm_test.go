package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// storm is a world of things that is built and rebuilt while the program is
// killed again and again.
type storm struct {
	*project
	random *rand.Rand
	things []stormThing
	doubts map[string]bool // addresses of which the program said it does not know
	kills  int
	landed int // kills that hit a running apply
}

// stormThing is one resource, and what shall have become of it.
type stormThing struct {
	name     string
	nameless bool
	needs    []int // things whose revision is part of its value
	version  int
	before   int
	after    int
	failures int
	gone     bool

	value    string
	revision int
}

func (s *stormThing) kind() string {
	if s.nameless {
		return "world_nameless"
	}
	return "world_thing"
}

func (s *stormThing) address() string { return s.kind() + "." + s.name }

// newStorm plans a world of so many things.
func newStorm(t *testing.T, seed uint64, size int) *storm {
	t.Helper()
	s := &storm{random: rand.New(rand.NewPCG(seed, 1)), doubts: map[string]bool{}}
	for i := range size {
		s.things = append(s.things, s.thing(i))
	}
	s.project = newProject(t, "")
	s.env = append(s.env, "TF_CLI_CONFIG_FILE="+providerMirror(t))
	if err := os.Mkdir(filepath.Join(s.dir, "world"), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *storm) thing(i int) stormThing {
	made := stormThing{name: "t" + strconv.Itoa(i), version: 1, nameless: s.random.IntN(15) == 0}
	for range s.random.IntN(4) {
		if need := s.random.IntN(i + 1); need < i && !s.things[need].gone && !slices.Contains(made.needs, need) {
			made.needs = append(made.needs, need)
		}
	}
	switch s.random.IntN(10) {
	case 0:
		made.before = s.random.IntN(40)
	case 1:
		made.after = s.random.IntN(40)
	case 2:
		if s.random.IntN(4) == 0 {
			made.failures = 1
		}
	}
	return made
}

// change thinks of another world: things change, go and come.
func (s *storm) change() {
	for i := range s.things {
		switch s.random.IntN(10) {
		case 0, 1, 2:
			s.things[i].version++
		case 3:
			needed := slices.ContainsFunc(s.things, func(o stormThing) bool { return !o.gone && slices.Contains(o.needs, i) })
			s.things[i].gone = s.things[i].gone || !needed
		}
	}
	for range len(s.things) / 20 {
		s.things = append(s.things, s.thing(len(s.things)))
	}
}

// write writes the configuration, and notes what shall become of everything.
func (s *storm) write() {
	s.t.Helper()
	var b strings.Builder
	b.WriteString("terraform {\n  required_providers {\n    world = { source = \"tutti-dev/world\" }\n  }\n}\nprovider \"world\" {\n  folder = \"world\"\n}\n")
	for i := range s.things {
		thing := &s.things[i]
		if thing.gone {
			continue
		}
		text, value := "v"+strconv.Itoa(thing.version), "v"+strconv.Itoa(thing.version)
		for _, need := range thing.needs {
			other := &s.things[need]
			text += "-${" + other.address() + ".revision}"
			value += "-" + strconv.Itoa(other.revision)
		}
		label := "name"
		if thing.nameless {
			label = "tag"
		}
		fmt.Fprintf(&b, "resource %q %q {\n  %s = %q\n  value = \"%s\"\n  before = %d\n  after = %d\n  failures = %d\n}\n",
			thing.kind(), thing.name, label, thing.name, text, thing.before, thing.after, thing.failures)
		if value != thing.value {
			thing.value, thing.revision = value, thing.revision+1
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "main.tf"), []byte(b.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// killed runs a command and kills it after a while. It reports whether it was
// still running then.
func (s *storm) killed(args ...string) bool {
	s.t.Helper()
	cmd := s.command(args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	timer := time.AfterFunc(time.Duration(20+s.random.IntN(600))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	timer.Stop()
	s.kills++
	if cmd.ProcessState.ExitCode() == -1 {
		s.landed++
		return true
	}
	return false
}

// doubtful notes of which objects the runs say that nobody knows what became of
// them. The journal says it too, where what a command said was lost with it.
func (s *storm) doubtful() {
	s.t.Helper()
	for _, run := range s.runs() {
		var doc struct {
			Journal []struct {
				Kind string
				Data struct{ Address string }
			}
		}
		if err := json.Unmarshal([]byte(s.mustRun("runs", "show", "-json", run.ID)), &doc); err != nil {
			s.t.Fatal(err)
		}
		for _, entry := range doc.Journal {
			if entry.Kind == "step_lost" {
				s.doubts[entry.Data.Address] = true
			}
		}
	}
}

func (s *storm) interrupted() string {
	for _, run := range s.runs() {
		if run.Status == "interrupted" || run.Status == "running" {
			return run.ID
		}
	}
	return ""
}

// settle does what a person does after a crash: resume, look for what is in
// doubt, import it, and apply until there is nothing to do.
func (s *storm) settle() {
	s.t.Helper()
	for round := 0; ; round++ {
		if run := s.interrupted(); run != "" {
			out, code := s.run("resume", "-auto-approve", run)
			if code == 0 && strings.Contains(out, "Outcome unknown") {
				s.t.Errorf("resume with doubts ended well:\n%s", out)
			}
			if s.interrupted() == run {
				s.t.Fatalf("run %s is still there after resume", run)
			}
		}
		s.adopt()
		out, code := s.run("apply", "-auto-approve")
		if code == 0 {
			return
		}
		if round == 10 {
			s.t.Fatalf("apply still fails:\n%s", out)
		}
	}
}

// objects are the things that exist, by address and, of the nameless, id.
func (s *storm) objects() map[string]map[string]stormThing {
	s.t.Helper()
	entries, err := filepath.Glob(filepath.Join(s.dir, "world", "*.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	found := map[string]map[string]stormThing{}
	for _, path := range entries {
		var on struct {
			Value    string
			Revision int
			Tag      string
		}
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &on)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		kind, id, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".json"), ".")
		address := "world_" + kind + "." + on.Tag
		if found[address] == nil {
			found[address] = map[string]stormThing{}
		}
		found[address][id] = stormThing{value: on.Value, revision: on.Revision}
	}
	return found
}

// states are the things in the state, by address; the value is the id or name.
func (s *storm) states() map[string]string {
	s.t.Helper()
	var doc struct {
		Resources []struct {
			Type, Name string
			Instances  []struct {
				Status     string
				Attributes map[string]any
			}
		}
	}
	if err := json.Unmarshal([]byte(s.mustRun("state", "pull")), &doc); err != nil {
		s.t.Fatal(err)
	}
	known := map[string]string{}
	for _, r := range doc.Resources {
		for _, inst := range r.Instances {
			id, ok := inst.Attributes["id"].(string)
			if !ok {
				id, _ = inst.Attributes["name"].(string)
			}
			known[r.Type+"."+r.Name] = id
		}
	}
	return known
}

// adopt imports what exists but is not in the state. That must have been named
// as in doubt.
func (s *storm) adopt() {
	s.t.Helper()
	s.doubtful()
	known := s.states()
	for address, ids := range s.objects() {
		for id := range ids {
			if known[address] == id {
				continue
			}
			if !s.doubts[address] || known[address] != "" {
				s.t.Errorf("%s (%s) exists, but is not in the state, which has %q; in doubt are %v", address, id, known[address], s.doubts)
				continue
			}
			s.mustRun("import", address, id)
			known[address] = id
		}
	}
}

// check compares the world with what it shall be.
func (s *storm) check() {
	s.t.Helper()
	if out, code := s.run("plan", "-detailed-exitcode"); code != 0 {
		s.t.Errorf("plan after all: exit code %d\n%s", code, out)
	}
	objects, known := s.objects(), s.states()
	wanted := 0
	for i := range s.things {
		thing := &s.things[i]
		if thing.gone {
			continue
		}
		wanted++
		on := objects[thing.address()]
		if len(on) != 1 {
			s.t.Errorf("%s exists %d times", thing.address(), len(on))
			continue
		}
		for id, now := range on {
			if known[thing.address()] != id {
				s.t.Errorf("%s is %q, the state has %q", thing.address(), id, known[thing.address()])
			}
			// A revision too many would be an operation that was done twice.
			if now.value != thing.value || now.revision != thing.revision {
				s.t.Errorf("%s is %s (revision %d) instead of %s (revision %d)", thing.address(), now.value, now.revision, thing.value, thing.revision)
			}
		}
	}
	if len(objects) != wanted || len(known) != wanted {
		s.t.Errorf("%d things exist and %d are in the state, instead of %d", len(objects), len(known), wanted)
	}
}

// TestStorm kills applies of some hundred things of a real provider at random
// instants, and resumes them. TUTTI_STORMS is how many times it does; all of them
// differ, and are the same the next time.
func TestStorm(t *testing.T) {
	count := 6
	if text := os.Getenv("TUTTI_STORMS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(count) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			s := newStorm(t, seed, 300)
			s.write()
			s.mustRun("init")
			calm := seed == 0 // nobody is killed: what is expected is right
			for range 2 {
				args := []string{"apply", "-auto-approve"}
				for range 1 + s.random.IntN(3) {
					if calm || !s.killed(args...) {
						break
					}
					if run := s.interrupted(); run != "" {
						args = []string{"resume", "-auto-approve", run}
					}
				}
				s.settle()
				s.check()
				if t.Failed() {
					return
				}
				s.change()
				s.write()
			}
			for s.random.IntN(2) == 0 && s.killed("destroy", "-auto-approve") {
			}
			if run := s.interrupted(); run != "" {
				s.run("resume", "-auto-approve", run)
			}
			s.adopt()
			s.mustRun("destroy", "-auto-approve")
			if left := s.objects(); len(left) > 0 {
				t.Errorf("left after destroying: %v", left)
			}
			t.Logf("%d of %d kills hit, in doubt: %d", s.landed, s.kills, len(s.doubts))
		})
	}
}
