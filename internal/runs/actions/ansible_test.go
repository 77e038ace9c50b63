package actions

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// ansibleStage is a stage with a real Ansible.
func ansibleStage(t *testing.T, playbook string) *stage {
	t.Helper()
	if _, err := exec.LookPath("ansible-playbook"); err != nil {
		t.Skip("ansible-playbook is not installed: scripts/ansible.sh does it")
	}
	s := newStage(t)
	t.Setenv("HOME", s.dir)
	s.write("site.yml", playbook, 0o644)
	return s
}

func book(pairs ...any) map[string]cty.Value {
	out := map[string]cty.Value{"playbook": cty.StringVal("site.yml")}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1].(cty.Value)
	}
	return out
}

func asJSON(t *testing.T, v cty.Value) string {
	t.Helper()
	data, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// local is a host that is this machine.
func local(more ...string) cty.Value {
	return object(append([]string{"ansible_connection", "local", "ansible_python_interpreter", "{{ ansible_playbook_python }}"}, more...)...)
}

func TestAnsible(t *testing.T) {
	s := ansibleStage(t, `
- name: the play
  hosts: all
  gather_facts: false
  tasks:
    - name: write a file
      copy: { dest: "{{ target }}/out.txt", content: "{{ words }}" }
      register: out
    - name: say it
      debug: { msg: "wrote {{ words }} äöü" }
      tags: [always]
    - name: some items
      debug: { msg: "item {{ item }}" }
      loop: [1, 2]
    - name: left out
      debug: { msg: never }
      when: false
    - name: hide it
      command: echo classified
      no_log: true
      notify: the handler
    - name: hide items
      command: echo classified {{ item }}
      no_log: true
      loop: [classified1]
    - name: read
      command: cat
      args: { stdin: "{{ lookup('env', 'GIVEN') }}" }
      register: given
    - debug: { var: given.stdout }
  handlers:
    - name: the handler
      debug: { msg: handled }
`)
	s.secrets = []string{"hunter22", "schlüssel"}
	arguments := func(check bool) map[string]cty.Value {
		return book("variables", object("target", s.dir, "words", "hunter22 schlüssel"), "environment", object("GIVEN", "from outside"),
			"artifacts", list("out.txt"), "check", cty.BoolVal(check))
	}
	has(t, "check", s.fails("Tutti.ArtifactMissing", "ansible", arguments(true)), "out.txt") // it changes nothing
	s.logs = newLogs()
	out := s.must("ansible", arguments(false))
	same(t, "outputs", asJSON(t, out), `{"changed":true,"hosts":{"localhost":{"changed":4,"failures":0,"ok":8,"skipped":1,"unreachable":0}}}`)
	same(t, "artifacts", s.artifacts, map[string]string{"out.txt": "hunter22 schlüssel"})
	same(t, "log", s.log("stdout"), `PLAY [the play]
TASK [write a file]
changed: [localhost]
TASK [say it]
ok: [localhost]: wrote *** *** äöü
TASK [some items]
ok: [localhost] (item=1): item 1
ok: [localhost] (item=2): item 2
ok: [localhost]
TASK [left out]
skipped: [localhost]
TASK [hide it]
changed: [localhost]: hidden: no_log
TASK [hide items]
changed: [localhost] (item=hidden: no_log): hidden: no_log
changed: [localhost]: hidden: no_log
TASK [read]
changed: [localhost]
TASK [debug]
ok: [localhost]: {"given.stdout": "from outside"}
HANDLER [the handler]
ok: [localhost]: handled
localhost: ok=8 changed=4 unreachable=0 failed=0 skipped=1 rescued=0 ignored=0
`)
	if all := s.log("stdout") + s.log("stderr"); strings.Contains(all, "hunter22") || strings.Contains(all, "classified") {
		t.Errorf("a secret is in the log:\n%s", all)
	}
	if s.beats == 0 {
		t.Error("no beats")
	}

	s.logs = newLogs()
	out = s.must("ansible", book("tags", list("none", "such"), "variables", object("words", "x")))
	same(t, "tags", asJSON(t, out), `{"changed":false,"hosts":{"localhost":{"changed":0,"failures":0,"ok":1,"skipped":0,"unreachable":0}}}`)
}

func TestAnsibleFails(t *testing.T) {
	s := ansibleStage(t, `
- hosts: all
  gather_facts: false
  tasks:
    - name: is rescued
      block:
        - name: fails for a while
          command: "false"
      rescue:
        - name: picks up
          debug: { msg: fine }
    - name: does not matter
      command: "false"
      ignore_errors: true
    - name: fails for good
      shell: "echo no {{ password }} >&2; exit 3"
      when: inventory_hostname == 'web1'
    - name: fails for items
      command: "test {{ item }} = good"
      loop: [good, bad]
      when: inventory_hostname == 'web2'
    - name: hidden failure
      shell: "echo classified >&2; exit 4"
      no_log: true
      when: inventory_hostname == 'web3'
`)
	s.secrets = []string{"hunter22"}
	cause := s.fails("Tutti.PlaybookFailed", "ansible", book("variables", object("password", "hunter22"), "inventory", cty.ObjectVal(map[string]cty.Value{
		"web":  cty.ObjectVal(map[string]cty.Value{"web1": local(), "web2": local(), "web3": local(), "web4": local()}),
		"gone": object("ansible_host", "127.0.0.1", "ansible_port", "1", "ansible_ssh_common_args", "-o ConnectTimeout=1 -o ControlMaster=no"),
	})))
	has(t, "cause", cause, "site.yml: exit status ",
		"\nweb1: task \"fails for good\" failed: non-zero return code\nexit status 3\nstderr: no ***",
		"\nweb2: task \"fails for items\" failed: (item=bad) non-zero return code\nexit status 1",
		"\nweb3: task \"hidden failure\" failed: hidden: no_log",
		"\ngone: task \"fails for a while\" unreachable: ")
	all := cause + s.log("stdout") + s.log("stderr")
	if strings.Contains(all, "hunter22") || strings.Contains(all, "classified") {
		t.Errorf("a secret is in:\n%s", all)
	}
	if strings.Contains(cause, "web4") || strings.Contains(cause, "does not matter") || strings.Count(cause, "for a while") != 1 {
		t.Errorf("what does not matter is in the cause: %s", cause)
	}
	has(t, "log", s.log("stdout"), "unreachable: [gone]: ", "failed: [web1]: non-zero return code\n    exit status 3\n", "exit status 1 (ignored)\n",
		"failed: [web2] (item=bad): ", "web4: ok=2 changed=1 unreachable=0 failed=0 skipped=3 rescued=1 ignored=1")

	s.write("broken.yml", "- hosts: [\n", 0o644)
	has(t, "syntax", s.fails("Tutti.PlaybookFailed", "ansible", book("playbook", cty.StringVal("broken.yml"))), "broken.yml: exit status 4")
	has(t, "no playbook", s.fails("Tutti.PlaybookFailed", "ansible", book("playbook", cty.StringVal("-none.yml"))), "-none.yml could not be found")
	has(t, "limit", s.fails("Tutti.PlaybookFailed", "ansible", book("limit", cty.StringVal("nowhere"))), "no hosts")
	has(t, "inventory", s.fails("Tutti.InvalidArgument", "ansible", book("inventory", cty.StringVal("nowhere"))), "no inventory")
	has(t, "inventory", s.fails("Tutti.InvalidArgument", "ansible", book("inventory", cty.True)), "not bool")
	has(t, "group", s.fails("Tutti.InvalidArgument", "ansible", book("inventory", cty.ObjectVal(map[string]cty.Value{"a": cty.TupleVal([]cty.Value{cty.True})}))), `"a"`)
	has(t, "host", s.fails("Tutti.InvalidArgument", "ansible", book("inventory", object("a", "b"))), `"a"`)
	has(t, "variables", s.fails("Tutti.InvalidArgument", "ansible", book("variables", cty.StringVal("x=1"))), "not string")
}

func TestAnsibleInventory(t *testing.T) {
	s := ansibleStage(t, `
- hosts: all
  gather_facts: false
  tasks:
    - copy:
        dest: "{{ playbook_dir }}/{{ inventory_hostname }}.txt"
        content: "{{ group_names | join(',') }} {{ color | default('none') }}"
      delegate_to: localhost
`)
	s.write("hosts.ini", "[web]\nweb1 color=red\nweb2\n", 0o644)
	object := func(pairs ...any) cty.Value {
		out := map[string]cty.Value{}
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i].(string)] = pairs[i+1].(cty.Value)
		}
		return cty.ObjectVal(out)
	}
	color := func(c string) cty.Value { return cty.MapVal(map[string]cty.Value{"color": cty.StringVal(c)}) }
	null := cty.NullVal(cty.DynamicPseudoType)
	defer func() { has(t, "log", s.log("stdout"), "changed: [web1 -> localhost]\n") }()
	for _, c := range []struct {
		name      string
		inventory cty.Value
		want      string
	}{
		{"path", cty.StringVal("hosts.ini"), "web1: web red\nweb2: web none\n"},
		{"hosts", cty.StringVal("a,b"), "a: ungrouped none\nb: ungrouped none\n"},
		{"maps", cty.MapVal(map[string]cty.Value{"web": cty.MapVal(map[string]cty.Value{"a": color("red")})}), "a: web red\n"},
		{"everything", object("web", object("a", color("red"), "b", null), "db", list("c", "a"), "d", color("blue"), "e", cty.EmptyObjectVal, "f", null, "all", list("g"), "none", cty.EmptyTupleVal),
			"a: db,web red\nb: web none\nc: db none\nd: ungrouped blue\ne: ungrouped none\nf: ungrouped none\ng: ungrouped none\n"},
	} {
		s.must("ansible", book("inventory", c.inventory))
		var got strings.Builder
		files, err := filepath.Glob(filepath.Join(s.dir, "*.txt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString(strings.TrimSuffix(filepath.Base(file), ".txt") + ": " + string(data) + "\n")
			_ = os.Remove(file)
		}
		same(t, c.name, got.String(), c.want)
	}
}

// What is secret is not where other users of the machine see it.
func TestAnsibleKeepsSecretsToItself(t *testing.T) {
	s := newStage(t)
	s.write("bin/ansible-playbook", `#!/bin/sh
echo "$@"
for a; do case $a in
--extra-vars=@* | --inventory=*) f=${a#*=}; f=${f#@}; stat -c %a "$f" 2>/dev/null || stat -f %Lp "$f" ;;
esac; done
echo '{"tutti": "play", "name": "half`+"\t"+`'
printf '{"tutti": "play", "name": "whole"}'
`, 0o755)
	path := object("PATH", s.dir+"/bin:"+os.Getenv("PATH"))
	out := s.must("ansible", book("environment", path, "variables", object("v", "hunter22"), "inventory", cty.ObjectVal(map[string]cty.Value{"h": object("p", "hunter22")}),
		"limit", cty.StringVal("a:b"), "tags", list("x", "y"), "check", cty.True))
	log := s.log("stdout")
	has(t, "log", log, "--limit=a:b --tags=x,y --check -- site.yml\n600\n600\n", "{\"tutti\": \"play\", \"name\": \"half\t\nPLAY [whole]\n")
	if strings.Contains(log, "hunter22") {
		t.Error(log)
	}
	same(t, "outputs", asJSON(t, out), `{"changed":false,"hosts":{}}`)
	has(t, "missing", s.fails("Tutti.CommandNotFound", "ansible", book("environment", object("PATH", s.dir))), "apt-get install ansible-core")
}

func TestAnsibleIsStopped(t *testing.T) {
	s := ansibleStage(t, `
- hosts: all
  gather_facts: false
  tasks:
    - shell: "exec 3>alive; echo ready >&3; exec tail -f /dev/null"
      args: { chdir: "{{ playbook_dir }}" }
`)
	alive := s.lifeline()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("time is up")
	done := make(chan error, 1)
	// What a module leaves that is killed is not ours.
	call := s.call("ansible", book("environment", object("TMPDIR", s.dir)))
	go func() {
		_, err := Ansible(ctx, call)
		done <- err
	}()
	alive.line()
	cancel(why)
	if err := <-done; !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	alive.end()
}

func TestPlaybookLines(t *testing.T) {
	s := &stage{t: t, logs: newLogs()}
	c := s.call("ansible", book())
	b := &playbook{log: c.log("stdout", NewMask(nil))}
	long := strings.Repeat("x", maxEvent) + strings.Repeat("y", 1000)
	input := long + "\n" + `{"tutti": "outcome", "status": "failed", "host": "h", "delegate": "d", "task": "t", "msg": "one\ntwo\n", "diff": "+ a\n"}` + "\nplain\n" +
		`{"tutti": "outcome", "status": "retrying", "host": "h", "task": "t", "left": 2}` + "\n"
	for rest := input; rest != ""; {
		n := min(len(rest), 1000)
		_, _ = b.Write([]byte(rest[:n]))
		rest = rest[n:]
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	same(t, "log", s.log("stdout"), long+"\nfailed: [h -> d]: one\n    two\n+ a\nplain\nretrying: [h] (2 left)\n")
	if f := b.failures(); len(f) != 1 || f[0].Host != "h" {
		t.Errorf("%v", f)
	}
}
