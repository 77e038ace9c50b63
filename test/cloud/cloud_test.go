//go:build cloud

// Package cloud tests the program against a real cloud: an OpenStack with
// Terraform's provider for it. "make test-cloud" brings one up and runs this.
package cloud

import (
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// more is what the site grows by while the applies are killed.
const more = `
customers = {
  north = "The shop in the north"
  south = "The shop in the south"
  west  = "The shop in the west"
}
tiers = {
  web  = { number = 1, size = "small", instances = ["a", "b"], open = { 80 = "everybody", 443 = "everybody" } }
  data = { number = 2, size = "large", instances = ["a"], open = { 5432 = "web" } }
  jobs = { number = 3, size = "small", instances = ["a", "b", "c"], open = { 9000 = "web" } }
}
`

// story is one site from its beginning to its end.
type story struct {
	*testing.T
	site  string
	cloud *api
	proxy *proxy
	dir   *directory
}

func TestSite(t *testing.T) {
	// A name of its own: what another test left in the cloud is not ours.
	s := &story{T: t, site: "t" + strings.ToLower(rand.Text()[:8]), cloud: signIn(t)}
	s.proxy = newProxy(t, s.cloud, "compute", "identity", "network")
	s.dir = newDirectory(t, s.site, map[string]string{
		"compute":  s.proxy.server.URL + "/compute/",
		"identity": s.proxy.server.URL + "/identity/",
		"network":  s.proxy.server.URL + "/network/v2.0/",
	})
	defer func() {
		if t.Failed() {
			s.proxy.forget()
			out, _ := s.dir.tutti("destroy", "-auto-approve").CombinedOutput()
			t.Logf("tidied up:\n%s", out[max(0, len(out)-500):])
		}
	}()
	for _, chapter := range []struct {
		name string
		tell func(*story)
	}{
		{"apply", (*story).apply},
		{"drift", (*story).drift},
		{"killed while an answer is under way", (*story).killedOnce},
		{"killed while servers are created", (*story).killedTwice},
		{"terraform finds the same", (*story).terraform},
		{"destroy", (*story).destroy},
	} {
		// One builds on the other.
		if !t.Run(chapter.name, func(t *testing.T) { chapter.tell(s.within(t)) }) {
			return
		}
	}
}

// within is the story as a chapter tells it.
func (s *story) within(t *testing.T) *story {
	cloud, dir := *s.cloud, *s.dir
	cloud.t, dir.t = t, t
	return &story{T: t, site: s.site, cloud: &cloud, proxy: s.proxy, dir: &dir}
}

// matches compares the state with the cloud: everything of the site is managed,
// once.
func (s *story) matches(count int) {
	s.Helper()
	things, state := s.cloud.things(s.site), s.dir.state()
	for one, name := range things {
		if _, ok := state[one]; !ok {
			s.Errorf("the cloud has %s %s %q, which the state does not", one.Type, one.ID, name)
		}
	}
	for one, address := range state {
		if _, ok := things[one]; !ok {
			s.Errorf("the state has %s %s, which the cloud does not", address, one.ID)
		}
	}
	var names []string
	for one, name := range things {
		names = append(names, one.Type+" "+name)
	}
	slices.Sort(names)
	if once := slices.Compact(slices.Clone(names)); len(once) != len(names) {
		s.Errorf("some are there more than once:\n%s", strings.Join(names, "\n"))
	}
	if len(things) != count {
		s.Errorf("%d objects, not %d:\n%s", len(things), count, strings.Join(names, "\n"))
	}
}

func (s *story) apply() {
	s.dir.run("init")
	if out := s.dir.run("plan", "-out=first.plan"); !strings.Contains(out, "Plan: 25 to add, 0 to change, 0 to destroy.") {
		s.Fatalf("a different plan:\n%s", out)
	}
	s.dir.run("apply", "first.plan")
	s.matches(25)
	s.dir.noChanges()
}

func (s *story) drift() {
	const server, rule, network = "openstack_compute_instance_v2", "openstack_networking_secgroup_rule_v2", "openstack_networking_network_v2"
	renamed := s.cloud.only(s.site, server, s.site+"-web-a")
	s.cloud.call("PUT", "compute", "/servers/"+renamed, map[string]any{"server": map[string]any{"name": s.site + "-somebody"}}, nil)
	deleted := s.cloud.only(s.site, server, s.site+"-web-b")
	s.cloud.call("DELETE", "compute", "/servers/"+deleted, nil, nil)
	s.cloud.call("DELETE", "network", "/v2.0/security-group-rules/"+s.cloud.only(s.site, rule, "everybody to web-443"), nil, nil)
	described := s.cloud.only(s.site, network, s.site)
	s.cloud.call("PUT", "network", "/v2.0/networks/"+described, map[string]any{"network": map[string]any{"description": "by hand"}}, nil)
	eventually(s.T, "the server is gone", func() bool {
		status, _, _ := s.cloud.try("GET", "compute", "/servers/"+deleted, nil)
		return status == 404
	})

	plan := s.dir.expect(2, s.dir.tutti("plan", "-detailed-exitcode"))
	for _, line := range []string{
		"Plan: 2 to add, 2 to change, 0 to destroy.",
		fmt.Sprintf("%q -> %q", s.site+"-somebody", s.site+"-web-a"),
		fmt.Sprintf("%q -> %q", "by hand", "Everything of "+s.site),
		`module.tier["web"].openstack_compute_instance_v2.server["b"] will be created`,
		`openstack_networking_secgroup_rule_v2.opening["web-443"] will be created`,
	} {
		if !strings.Contains(plan, line) {
			s.Errorf("the plan does not say %s:\n%s", line, plan)
		}
	}
	s.dir.run("apply", "-auto-approve")
	if id := s.cloud.only(s.site, server, s.site+"-web-a"); id != renamed {
		s.Errorf("server a was made anew as %s", id)
	}
	if id := s.cloud.only(s.site, server, s.site+"-web-b"); id == deleted {
		s.Errorf("server b still is %s", id)
	}
	s.matches(25)
	s.dir.noChanges()
}

// killedOnce kills an apply after the cloud has made the subnet of the new tier,
// while the answer that tells its id is under way.
func (s *story) killedOnce() {
	s.dir.write("more.auto.tfvars", more)
	s.kill(&loss{method: "POST", path: "/subnets", body: s.site + "-jobs", answer: true})
	const subnet = "openstack_networking_subnet_v2"
	made := s.cloud.only(s.site, subnet, s.site+"-jobs")

	s.settle(subnet + `.tier["jobs"]`)
	if id := s.cloud.only(s.site, subnet, s.site+"-jobs"); id != made {
		s.Fatalf("the subnet was made again, as %s", id)
	}
}

// killedTwice kills the next apply while three servers are created: the cloud
// has made the first and nobody heard of it, it has never heard of the second,
// and the third is under way.
func (s *story) killedTwice() {
	const server = "openstack_compute_instance_v2"
	s.kill(
		&loss{method: "POST", path: "/servers", body: s.site + "-jobs-a", answer: true},
		&loss{method: "POST", path: "/servers", body: s.site + "-jobs-b"},
	)
	made := s.cloud.only(s.site, server, s.site+"-jobs-a")
	if ids := s.cloud.named(s.site, server, s.site+"-jobs-b"); len(ids) > 0 {
		s.Fatalf("the cloud has heard of the second server: %v", ids)
	}

	address := `module.tier["jobs"].` + server + `.server[%q]`
	s.settle(fmt.Sprintf(address, "a"), fmt.Sprintf(address, "b"))
	if out := s.dir.expect(2, s.dir.tutti("plan", "-detailed-exitcode")); !strings.Contains(out, " 0 to destroy.") {
		s.Errorf("what was imported is to be replaced:\n%s", out)
	}
	s.dir.run("apply", "-auto-approve")
	if id := s.cloud.only(s.site, server, s.site+"-jobs-a"); id != made {
		s.Errorf("the imported server was replaced by %s", id)
	}
	// A project, a subnet with its interface, a group with a rule and a group of
	// servers, three servers with their ports.
	s.matches(25 + 6 + 6)
	s.dir.noChanges()
}

// kill applies, and kills the program as soon as all of the losses happened. The
// processes of its providers die with it.
func (s *story) kill(losses ...*loss) {
	s.Helper()
	for _, l := range losses {
		s.proxy.lose(l)
	}
	apply := s.dir.tutti("apply", "-auto-approve")
	output, err := os.CreateTemp(s.TempDir(), "apply")
	if err != nil {
		s.Fatal(err)
	}
	apply.Stdout, apply.Stderr = output, output
	if err := apply.Start(); err != nil {
		s.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- apply.Wait() }()
	for _, l := range losses {
		select {
		case <-l.lost:
		case err := <-ended:
			text, _ := os.ReadFile(output.Name())
			s.Fatalf("the apply ended too soon: %v\n%s", err, text)
		}
	}
	if err := apply.Process.Kill(); err != nil {
		s.Fatal(err)
	}
	<-ended
	s.proxy.forget()
}

// settle resumes the run that was killed and does what the diagnostics ask for:
// of those whose creation nobody heard the end of, what the cloud has is imported,
// the rest is left for the next apply. The given ones are to be among them; what
// else was under way at that moment may be.
func (s *story) settle(unknown ...string) {
	s.Helper()
	left := s.dir.resume()
	things := s.cloud.things(s.site)
	var found []string
	for _, one := range left {
		found = append(found, one.address)
		typ, name := s.nameOf(one.address)
		var ids []string
		for thing, itsName := range things {
			if thing.Type == typ && itsName == name {
				ids = append(ids, thing.ID)
			}
		}
		if !strings.Contains(one.detail, "import '"+one.address+"' ID") {
			s.Errorf("it is not said what to do about %s: %s", one.address, one.detail)
		}
		switch len(ids) {
		case 0:
		case 1:
			s.dir.run("import", one.address, ids[0])
		default:
			s.Fatalf("%d objects are %s", len(ids), one.address)
		}
	}
	for _, address := range unknown {
		if !slices.Contains(found, address) {
			s.Errorf("%s is not among what is unknown: %q", address, found)
		}
	}
	s.Logf("unknown after the kill: %q", found)
}

// nameOf returns how the cloud calls the resource with this address.
func (s *story) nameOf(address string) (typ, name string) {
	rest, name := address, s.site
	if strings.HasPrefix(rest, "module.tier[") {
		module, inner, _ := strings.Cut(rest, "].")
		rest, name = inner, name+"-"+strings.Split(module, `"`)[1]
	}
	typ, _, _ = strings.Cut(rest, ".")
	if parts := strings.Split(rest, `"`); len(parts) > 1 {
		name += "-" + parts[1]
	}
	switch typ {
	case "openstack_networking_router_interface_v2":
		name = "to " + name
	case "openstack_networking_secgroup_rule_v2":
		name = "web to " + strings.TrimPrefix(name, s.site+"-")
	}
	return typ, name
}

// terraform plans on the state of tutti, and finds nothing to do either.
func (s *story) terraform() {
	program, err := exec.LookPath("terraform")
	if err != nil {
		s.Skip("terraform is not installed")
	}
	other := *s.dir
	other.path = s.TempDir()
	if err := os.CopyFS(other.path, os.DirFS(s.dir.path+"/.")); err != nil {
		s.Fatal(err)
	}
	for _, of := range []string{".terraform", ".tutti"} {
		if err := os.RemoveAll(other.path + "/" + of); err != nil {
			s.Fatal(err)
		}
	}
	state, err := s.dir.tutti("state", "pull").Output()
	if err != nil {
		s.Fatal(err)
	}
	other.write("terraform.tfstate", string(state))
	other.expect(0, other.command(program, "init"))
	if out := other.expect(0, other.command(program, "plan", "-detailed-exitcode")); !strings.Contains(out, "No changes.") {
		s.Errorf("terraform plans:\n%s", out)
	}
}

func (s *story) destroy() {
	s.dir.run("destroy", "-auto-approve")
	if left := s.cloud.things(s.site); len(left) > 0 {
		s.Errorf("left in the cloud: %v", slices.Collect(maps.Values(left)))
	}
	if left := s.dir.state(); len(left) > 0 {
		s.Errorf("left in the state: %v", slices.Collect(maps.Values(left)))
	}
}
