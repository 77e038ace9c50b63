//go:build kube

package kube

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// site is a project with one stack that is given one secret.
type site struct {
	*api
	path string
	env  []string
}

// newSite makes a project whose secret is the key password of the Secret object
// app in the test's namespace; more is put into its block.
func newSite(a *api, more string) *site {
	a.t.Helper()
	s := &site{api: a, path: a.t.TempDir()}
	home := filepath.Join(s.path, "home")
	s.env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+os.DevNull, "TF_IN_AUTOMATION=1", "NO_COLOR=1",
		"HOME="+home, "XDG_CONFIG_HOME="+filepath.Join(home, "config"), "XDG_CACHE_HOME="+filepath.Join(home, "cache"))
	s.declare("password", more)
	s.write("app/main.tf", `
variable "password" {}
resource "terraform_data" "app" {
  input            = var.password
  triggers_replace = var.password
  provisioner "local-exec" {
    command     = "printf %s \"$PASSWORD\" > ../home/applied; echo \"with $PASSWORD\""
    environment = { PASSWORD = var.password }
  }
}
`)
	return s
}

func (s *site) declare(key, more string) {
	s.t.Helper()
	s.write("project.tutti.hcl", fmt.Sprintf(`
secret "app" {
  kubernetes {
    name = "app"
    key  = %q
    %s
  }
}
stack "app" {
  source = "./app"
  inputs = { password = secret.app }
}
`, key, more))
}

func (s *site) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.path, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// tutti is the program, as "make build" left it.
func (s *site) tutti(args ...string) *exec.Cmd {
	s.t.Helper()
	program, err := filepath.Abs(filepath.Join("..", "..", "bin", "tutti"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), program, args...)
	cmd.Dir, cmd.Env = s.path, s.env
	return cmd
}

// expect runs a command that is to end with this exit code, and returns what it
// said.
func (s *site) expect(code int, cmd *exec.Cmd) string {
	s.t.Helper()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		s.t.Fatalf("%s: exit code %d, not %d\n%s", strings.Join(cmd.Args, " "), got, code, out)
	}
	return string(out)
}

// applies applies the project, which is to give the stack this value.
func (s *site) applies(want string) string {
	s.t.Helper()
	out := s.expect(0, s.tutti("apply", "-auto-approve"))
	got, err := os.ReadFile(filepath.Join(s.path, "home", "applied"))
	if err != nil || string(got) != want {
		s.t.Fatalf("applied was %q, not %q (%v)\n%s", got, want, err, out)
	}
	return out
}

// refuses plans the project, in vain, for this reason.
func (s *site) refuses(why string) {
	s.t.Helper()
	out := s.expect(1, s.tutti("plan"))
	if flat := strings.Join(strings.Fields(strings.ReplaceAll(out, "│", " ")), " "); !strings.Contains(flat, "Cannot read secret") || !strings.Contains(flat, why) {
		s.t.Errorf("the plan does not say %q:\n%s", why, out)
	}
}

// reads are the versions of the secret that events say were read.
func (s *site) reads() []string {
	s.t.Helper()
	var versions []string
	for line := range strings.Lines(s.expect(0, s.tutti("audit", "export"))) {
		var event struct {
			Type, Subject string
			Data          struct{ Version string }
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			s.t.Fatalf("%v: %s", err, line)
		}
		if event.Type == "secret.read" && event.Subject == "app" {
			versions = append(versions, event.Data.Version)
		}
	}
	return versions
}

// keeps looks for values in everything that was written, but for what the
// stack's own command wrote.
func (s *site) keeps(values ...string) {
	s.t.Helper()
	err := filepath.WalkDir(s.path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "applied" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, value := range values {
			if bytes.Contains(text, []byte(value)) {
				s.t.Errorf("%s has %q", path, value)
			}
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
}

// TestSecretOfACluster gives a stack a value of the cluster, then another one,
// then none.
func TestSecretOfACluster(t *testing.T) {
	a := newAPI(t)
	a.secret("POST", "app", map[string]string{"password": "hunter2-first\n", "user": "shop"})
	a.allow("app", user("reader"))
	more := fmt.Sprintf("context = \"reader\"\n    namespace = %q", a.namespace)
	s := newSite(a, more)

	if out := s.applies("hunter2-first\n"); strings.Contains(out, "hunter2") {
		t.Errorf("the value is said:\n%s", out)
	}
	first := s.reads()
	if len(first) == 0 || first[0] == "" || strings.Contains(first[0], "hunter2") {
		t.Errorf("reads on record: %q", first)
	}
	s.expect(0, s.tutti("plan", "-detailed-exitcode"))

	a.secret("PUT", "app", map[string]string{"password": "hunter2-second", "user": "shop"})
	s.expect(2, s.tutti("plan", "-detailed-exitcode"))
	s.applies("hunter2-second")
	all := s.reads()
	if all[0] != first[0] || slices.Contains(first, all[len(all)-1]) {
		t.Errorf("the other value was read as version %q, the first as %q", all, first)
	}

	s.declare("passwort", more)
	s.refuses(`has no key "passwort", but password, user`)
	s.declare("password", more)
	s.expect(0, s.tutti("plan", "-detailed-exitcode"))

	a.call("DELETE", "secrets/app", nil, nil)
	s.refuses(fmt.Sprintf(`there is no secret "app" in the namespace %q`, a.namespace))
	s.keeps("hunter2-first", "hunter2-second", strings.TrimSpace(a.file("reader.token")))
}

// TestSecretIsForbidden asks for what nobody allowed.
func TestSecretIsForbidden(t *testing.T) {
	a := newAPI(t)
	a.secret("POST", "app", map[string]string{"password": "hunter2"})
	a.secret("POST", "other", map[string]string{"password": "hunter2"})
	a.allow("other", user("stranger"))
	s := newSite(a, fmt.Sprintf("context = \"stranger\"\n    namespace = %q", a.namespace))
	s.refuses(fmt.Sprintf(`needs the verb get on the secret "app" in the namespace %q`, a.namespace))
	s.declare("password", fmt.Sprintf("context = \"nobody\"\n    namespace = %q", a.namespace))
	s.refuses(`context "nobody" does not exist`)
	if reads := s.reads(); len(reads) != 0 {
		t.Errorf("on record are %q", reads)
	}
}

// TestCredentials shows the API server who asks in each way that there is.
func TestCredentials(t *testing.T) {
	a := newAPI(t)
	a.secret("POST", "app", map[string]string{"password": "hunter2"})
	a.allow("app", user("reader"))
	a.allow("app", user("ann"))
	kubeconfig := func(user string) string {
		return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "it",
			"contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": %q}}],
			"clusters": [{"name": "it", "cluster": {"server": %q, "certificate-authority": %q}}],
			"users": [{"name": "it", "user": %s}]}`, a.namespace, a.address, filepath.Join(a.dir, "ca.crt"), user)
	}
	plugin := kubeconfig(`{"exec": {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": "./plugin"}}`)
	credential := func(status object) string {
		text, err := json.Marshal(object{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})
		if err != nil {
			t.Fatal(err)
		}
		return "#!/bin/sh\ncat <<'END'\n" + string(text) + "\nEND\n"
	}
	for name, test := range map[string]struct{ kubeconfig, plugin, problem string }{
		"token":                {kubeconfig: kubeconfig(fmt.Sprintf(`{"token": %q}`, strings.TrimSpace(a.file("reader.token"))))},
		"certificate":          {kubeconfig: kubeconfig(fmt.Sprintf(`{"client-certificate": %q, "client-key": %q}`, filepath.Join(a.dir, "ann.crt"), filepath.Join(a.dir, "ann.key")))},
		"plugin":               {plugin, credential(object{"token": strings.TrimSpace(a.file("reader.token"))}), ""},
		"plugin's certificate": {plugin, credential(object{"clientCertificateData": a.file("ann.crt"), "clientKeyData": a.file("ann.key")}), ""},
		"plugin's old token":   {plugin, credential(object{"token": "hunter2"}), "does not accept the credentials"},
		"failing plugin":       {plugin, "#!/bin/sh\necho hunter2\nexit 3\n", "failed with exit code 3"},
		"impersonation":        {kubeconfig: kubeconfig(fmt.Sprintf(`{"token": %q, "as": "stranger"}`, strings.TrimSpace(a.file("admin.token")))), problem: "needs the verb get"},
		"nobody":               {kubeconfig: kubeconfig(`{}`), problem: "needs the verb get"},
		"other authority":      {kubeconfig: strings.Replace(kubeconfig(`{}`), "ca.crt", "ann.crt", 1), problem: "is the certificate-authority of the cluster right?"},
	} {
		t.Run(name, func(t *testing.T) {
			b := *a
			b.t = t
			s := newSite(&b, `kubeconfig = "cluster/config"`)
			s.write("cluster/config", test.kubeconfig)
			if test.plugin != "" {
				s.write("cluster/plugin", test.plugin)
			}
			if test.problem != "" {
				s.refuses(test.problem)
			} else {
				s.applies("hunter2")
			}
		})
	}
}

// TestServiceAccount runs where a pod's files are, in a mount namespace of its
// own, with a token that the API server made.
func TestServiceAccount(t *testing.T) {
	if out, err := exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "none", "/run").CombinedOutput(); err != nil {
		t.Skipf("no mount namespaces here, which need root: %v %s", err, out)
	}
	a := newAPI(t)
	a.secret("POST", "app", map[string]string{"password": "hunter2"})
	a.call("POST", "serviceaccounts", object{"metadata": object{"name": "deployer"}}, nil)
	var request struct{ Status struct{ Token string } }
	a.call("POST", "serviceaccounts/deployer/token", object{"spec": object{"expirationSeconds": 3600}}, &request)

	s := newSite(a, "")
	s.write("account/token", request.Status.Token)
	s.write("account/namespace", a.namespace)
	s.write("account/ca.crt", a.file("ca.crt"))
	host, port, _ := strings.Cut(strings.TrimPrefix(a.address, "https://"), ":")
	s.env = append(s.env, "KUBECONFIG=", "KUBERNETES_SERVICE_HOST="+host, "KUBERNETES_SERVICE_PORT="+port)
	inPod := func(args ...string) *exec.Cmd {
		cmd := s.tutti(args...)
		script := `mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io && cp -r account /run/secrets/kubernetes.io/serviceaccount && exec "$@"`
		pod := exec.CommandContext(t.Context(), "unshare", append([]string{"-m", "sh", "-c", script, "sh"}, cmd.Args...)...)
		pod.Dir, pod.Env = cmd.Dir, cmd.Env
		return pod
	}
	if out := s.expect(1, inPod("plan")); !strings.Contains(out, "needs the verb get") {
		t.Errorf("before it is allowed:\n%s", out)
	}
	a.allow("app", object{"kind": "ServiceAccount", "name": "deployer", "namespace": a.namespace})
	s.expect(0, inPod("apply", "-auto-approve"))
	if got, err := os.ReadFile(filepath.Join(s.path, "home", "applied")); err != nil || string(got) != "hunter2" {
		t.Errorf("%q, %v", got, err)
	}
}
