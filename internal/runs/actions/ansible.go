package actions

import (
	"context"
	_ "embed" // the callback plugin
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

const playbookFailed = "Tutti.PlaybookFailed"

// callback is the plugin that tells what a playbook does.
//
//go:embed callback/tutti.py
var callback []byte

// Ansible runs a playbook with the ansible-playbook of this machine, otherwise as
// [Exec]. Inventory and variables are given in private files, never on the command
// line; as everywhere in Ansible, expressions within them are evaluated there. What
// the playbook does goes to the logs event by event.
func Ansible(ctx context.Context, c Call) (cty.Value, error) {
	p, err := newProcess(&c)
	if err != nil {
		return cty.NilVal, err
	}
	defer p.close()
	if !p.has("ansible-playbook") {
		return cty.NilVal, Errorf(commandNotFound, "The program ansible-playbook is not in the path. Install ansible-core 2.14 or newer (Debian: apt-get install ansible-core) on the machine that runs the workflow.")
	}
	if p.argv, err = p.playbookCommand(c.Arguments); err != nil {
		return cty.NilVal, err
	}
	if err := p.ansibleEnvironment(); err != nil {
		return cty.NilVal, err
	}
	book := &playbook{log: c.log("stdout", p.mask)}
	p.stdout = book
	if err := p.runAndKeep(ctx, &c); err != nil {
		return cty.NilVal, book.explain(err, text(c.Arguments, "playbook"), p.mask)
	}
	return book.outputs(), nil
}

// playbookCommand writes the files and says how they are used.
func (p *process) playbookCommand(a cty.Value) ([]string, error) {
	argv := []string{"ansible-playbook"}
	inventory, err := p.inventory(a.GetAttr("inventory"))
	if err != nil {
		return nil, err
	}
	argv = append(argv, "--inventory="+inventory)
	if variables := a.GetAttr("variables"); !variables.IsNull() {
		if ty := variables.Type(); !ty.IsObjectType() && !ty.IsMapType() {
			return nil, invalid("The variables of a playbook are an object or a map, not %s.", ty.FriendlyName())
		}
		file, err := p.writeJSON("variables.json", variables)
		if err != nil {
			return nil, err
		}
		argv = append(argv, "--extra-vars=@"+file)
	}
	if limit := text(a, "limit"); limit != "" {
		argv = append(argv, "--limit="+limit)
	}
	if tags := texts(a, "tags"); len(tags) > 0 {
		argv = append(argv, "--tags="+strings.Join(tags, ","))
	}
	if flag(a, "check") {
		argv = append(argv, "--check")
	}
	return append(argv, "--", text(a, "playbook")), nil
}

func (p *process) writeJSON(name string, v cty.Value) (string, error) {
	data, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return "", invalid("Cannot write %s: %s.", name, err)
	}
	file := filepath.Join(p.scratch, name)
	return file, os.WriteFile(file, data, 0o600)
}

// ansibleEnvironment installs the callback plugin, beside others that are there.
func (p *process) ansibleEnvironment() error {
	plugins := filepath.Join(p.scratch, "plugins")
	if err := os.Mkdir(plugins, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(plugins, "tutti.py"), callback, 0o600); err != nil {
		return err
	}
	if others := p.variable("ANSIBLE_CALLBACK_PLUGINS"); others != "" {
		plugins += string(filepath.ListSeparator) + others
	}
	p.environment = append(p.environment,
		"ANSIBLE_CALLBACK_PLUGINS="+plugins, "ANSIBLE_STDOUT_CALLBACK=tutti",
		"ANSIBLE_NOCOLOR=1", "ANSIBLE_FORCE_COLOR=0", "PYTHONDONTWRITEBYTECODE=1",
		// What a playbook that is killed leaves behind goes with the rest.
		"ANSIBLE_LOCAL_TEMP="+filepath.Join(p.scratch, "local"))
	// Ansible refuses to work where texts are not UTF-8.
	locale := p.variable("LC_ALL")
	for _, name := range []string{"LC_CTYPE", "LANG"} {
		if locale == "" {
			locale = p.variable(name)
		}
	}
	if l := strings.ToLower(locale); !strings.Contains(l, "utf-8") && !strings.Contains(l, "utf8") {
		p.environment = append(p.environment, "LC_ALL=C.UTF-8")
	}
	return nil
}

// inventory returns what to give as the inventory: a path, or a file made of a
// value.
func (p *process) inventory(v cty.Value) (string, error) {
	switch {
	case v.IsNull():
		return p.writeJSON("inventory.json", localhost())
	case v.Type() == cty.String:
		name := v.AsString()
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.dir, path)
		}
		// Ansible would go on without any host. With a comma it is a list of them.
		if _, err := os.Stat(path); err != nil && !strings.Contains(name, ",") {
			return "", invalid("There is no inventory %s.", p.mask.Text(path))
		}
		return name, nil
	case v.Type().IsObjectType() || v.Type().IsMapType():
		all, err := inventoryOf(v)
		if err != nil {
			return "", err
		}
		return p.writeJSON("inventory.json", all)
	}
	return "", invalid("An inventory is a path, or an object of groups and hosts, not %s.", v.Type().FriendlyName())
}

// localhost is this machine as Ansible knows it without an inventory.
func localhost() cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"all": cty.ObjectVal(map[string]cty.Value{
		"hosts": cty.ObjectVal(map[string]cty.Value{"localhost": cty.ObjectVal(map[string]cty.Value{
			"ansible_connection":         cty.StringVal("local"),
			"ansible_python_interpreter": cty.StringVal("{{ ansible_playbook_python }}"),
		})}),
	})})
}

// inventoryOf makes an inventory of a value. Each entry is a group, where it is a
// list of host names or has only objects (or null) in it, else a host with its
// variables.
func inventoryOf(v cty.Value) (cty.Value, error) {
	hosts, groups := map[string]cty.Value{}, map[string]cty.Value{}
	for key, entry := range v.Elements() {
		name := key.AsString()
		members, isGroup, err := membersOf(name, entry)
		switch {
		case err != nil:
			return cty.NilVal, err
		case !isGroup:
			hosts[name] = members
		case name == "all":
			for host, variables := range members.AsValueMap() {
				hosts[host] = variables
			}
		default:
			groups[name] = cty.ObjectVal(map[string]cty.Value{"hosts": members})
		}
	}
	return cty.ObjectVal(map[string]cty.Value{"all": cty.ObjectVal(map[string]cty.Value{
		"hosts": cty.ObjectVal(hosts), "children": cty.ObjectVal(groups),
	})}), nil
}

func membersOf(name string, entry cty.Value) (members cty.Value, isGroup bool, err error) {
	ty := entry.Type()
	out := map[string]cty.Value{}
	switch {
	case entry.IsNull():
		return cty.EmptyObjectVal, false, nil
	case ty.IsListType() || ty.IsTupleType() || ty.IsSetType():
		for _, host := range entry.AsValueSlice() {
			if host.IsNull() || host.Type() != cty.String {
				return cty.NilVal, false, invalid("The group %q of the inventory is a list, but not of host names.", name)
			}
			out[host.AsString()] = cty.EmptyObjectVal
		}
		return cty.ObjectVal(out), true, nil
	case ty.IsObjectType() || ty.IsMapType():
		if entry.LengthInt() == 0 {
			return cty.EmptyObjectVal, false, nil
		}
		for key, variables := range entry.Elements() {
			inner := variables.Type()
			switch {
			case variables.IsNull():
				out[key.AsString()] = cty.EmptyObjectVal
			case inner.IsObjectType() || inner.IsMapType():
				out[key.AsString()] = variables
			default:
				return entry, false, nil
			}
		}
		return cty.ObjectVal(out), true, nil
	}
	return cty.NilVal, false, invalid("%q in the inventory is neither a group (hosts with their variables, or a list of hosts) nor a host with its variables.", name)
}

// explain turns the failure of a process into that of a playbook: which tasks
// failed on which hosts, or else what Ansible said last.
func (b *playbook) explain(err error, name string, m *Mask) error {
	var e *Error
	if !errors.As(err, &e) || e.Name != commandFailed {
		return err
	}
	how, words, _ := strings.Cut(strings.TrimPrefix(e.Cause, "ansible-playbook: "), "\n")
	lines := []string{fmt.Sprintf("%s: %s", m.Text(name), how)}
	failures := b.failures()
	for i, f := range failures {
		if i == keptLines {
			lines = append(lines, fmt.Sprintf("… and %d more", len(failures)-i))
			break
		}
		msg := m.Text(f.Msg) // hidden before it is cut
		if len(msg) > shownBody {
			msg = "… " + strings.ToValidUTF8(msg[len(msg)-shownBody:], "")
		}
		lines = append(lines, fmt.Sprintf("%s: task %q %s: %s", m.Text(f.Host), m.Text(f.Task), f.Status, msg))
	}
	if len(failures) == 0 && words != "" {
		lines = append(lines, words)
	}
	return Errorf(playbookFailed, "%s", strings.Join(lines, "\n"))
}
