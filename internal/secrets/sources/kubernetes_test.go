//go:build unix

package sources

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
)

// leak is part of every credential and value here, and of no error.
const leak = "hunter2"

// fakeCluster answers as an API server does that has one secret, app in the
// namespace team, and knows one token and every client certificate of "ann".
type fakeCluster struct {
	*httptest.Server
	token atomic.Value // string
	gets  atomic.Int32
}

func newFakeCluster(t *testing.T) *fakeCluster {
	t.Helper()
	f := &fakeCluster{}
	f.token.Store(leak + "-token")
	f.Server = httptest.NewUnstartedServer(f)
	f.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of handshakes that are to fail
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

func (f *fakeCluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.gets.Add(1)
	status := func(code int, reason string) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "reason": reason, "message": leak, "code": code})
	}
	known := r.Header.Get("Authorization") == "Bearer "+f.token.Load().(string)
	known = known || len(r.TLS.PeerCertificates) == 1 && r.TLS.PeerCertificates[0].Subject.CommonName == "ann"
	name, found := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/team/secrets/")
	switch {
	case !known:
		status(http.StatusUnauthorized, "Unauthorized")
	case r.Method != http.MethodGet:
		status(http.StatusMethodNotAllowed, "MethodNotAllowed")
	case !found:
		status(http.StatusForbidden, "Forbidden")
	case name == "app":
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Secret", "apiVersion": "v1", "data": map[string][]byte{"password": []byte(leak + "\n"), "empty": {}}})
	case name == "none":
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Secret", "apiVersion": "v1"})
	case name == "configmap":
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "ConfigMap", "data": map[string]string{"password": leak}})
	case name == "plain":
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Secret", "data": map[string]string{"password": leak + "!"}})
	case name == "half":
		_, _ = io.WriteString(w, `{"kind": "Secret", "data": {"password": "`+leak)
	case name == "elsewhere":
		http.Redirect(w, r, "/api/v1/namespaces/team/secrets/app", http.StatusTemporaryRedirect)
	case name == "page":
		http.Error(w, "no such page "+leak, http.StatusNotFound)
	case name == "broken":
		status(http.StatusInternalServerError, "InternalError")
	default:
		status(http.StatusNotFound, "NotFound")
	}
}

// kubeconfig is one whose current context "team" has the user given, in JSON.
func (f *fakeCluster) kubeconfig(user string) string {
	return f.kubeconfigFor(fmt.Sprintf(`{"server": %q, "certificate-authority-data": %q}`, f.URL, base64.StdEncoding.EncodeToString(f.authority())), user)
}

func (f *fakeCluster) kubeconfigFor(cluster, user string) string {
	return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "team",
		"clusters": [{"name": "c", "cluster": %s}], "users": [{"name": "u", "user": %s}],
		"contexts": [{"name": "team", "context": {"cluster": "c", "user": "u", "namespace": "team"}}, {"name": "plain", "context": {"cluster": "c", "user": "u"}}]}`, cluster, user)
}

func (f *fakeCluster) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
}

// clientCertificate makes one that signs itself.
func clientCertificate(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// place writes files of the project that r reads for.
func place(t *testing.T, r *Reader, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(r.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func readKubernetes(ctx context.Context, r *Reader, k projects.KubernetesSecret) (string, error) {
	if k.Name == "" {
		k.Name = "app"
	}
	if k.Key == "" {
		k.Key = "password"
	}
	value, _, err := r.read(ctx, &projects.Secret{Name: "s", Source: projects.SecretKubernetes, Kubernetes: k}, 0)
	return string(value), err
}

const tokenUser = `{"token": "` + leak + `-token"}`

// plugin is a user whose credentials a script gives.
func plugin(script string) string {
	return fmt.Sprintf(`{"exec": {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "IfAvailable", "installHint": "Get it from example.com.", "command": %q}}`, script)
}

const printToken = `#!/bin/sh
test -n "$KUBERNETES_EXEC_INFO" && ! test -t 0 || exit 9
printf '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "%s"}}' "$(cat "$(dirname "$0")/token")"
`

func TestKubernetesCredentials(t *testing.T) {
	f := newFakeCluster(t)
	certificate, key := clientCertificate(t, "ann")
	encoded := base64.StdEncoding.EncodeToString
	files := map[string]string{
		"token":      f.kubeconfig(tokenUser),
		"tokenfile":  f.kubeconfig(`{"tokenFile": "secret/token"}`),
		"cert":       f.kubeconfig(fmt.Sprintf(`{"client-certificate-data": %q, "client-key-data": %q}`, encoded(certificate), encoded(key))),
		"certfile":   f.kubeconfigFor(fmt.Sprintf(`{"server": %q, "certificate-authority": "secret/ca"}`, f.URL), `{"client-certificate": "secret/cert", "client-key": "secret/key"}`),
		"exec":       f.kubeconfig(plugin("secret/plugin")),
		"insecure":   f.kubeconfigFor(fmt.Sprintf(`{"server": %q, "insecure-skip-tls-verify": true}`, f.URL), tokenUser),
		"clusters":   fmt.Sprintf(`{"clusters": [{"name": "c", "cluster": {"server": %q, "certificate-authority": "secret/ca"}}], "contexts": [{"name": "other", "context": {"cluster": "c", "user": "u", "namespace": "team"}}]}`, f.URL),
		"users":      `{"current-context": "other", "users": [{"name": "u", "user": ` + tokenUser + `}]}`,
		"empty":      "",
		"sa/token":   leak + "-token",
		"sa/ca.crt":  string(f.authority()),
		"secret/ca":  string(f.authority()),
		"secret/key": string(key), "secret/cert": string(certificate), "secret/token": leak + "-token", "secret/plugin": printToken,
		"sa/namespace":      "team",
		"home/.kube/config": f.kubeconfig(tokenUser),
	}
	host, port, _ := strings.Cut(strings.TrimPrefix(f.URL, "https://"), ":")
	pod := map[string]string{"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
	for name, test := range map[string]struct {
		env map[string]string // ~ is the project's folder
		k   projects.KubernetesSecret
	}{
		"token":                   {k: projects.KubernetesSecret{Kubeconfig: "token"}},
		"token in a file":         {k: projects.KubernetesSecret{Kubeconfig: "tokenfile"}},
		"certificate":             {k: projects.KubernetesSecret{Kubeconfig: "cert"}},
		"certificate in files":    {k: projects.KubernetesSecret{Kubeconfig: "certfile"}},
		"plugin":                  {k: projects.KubernetesSecret{Kubeconfig: "exec"}},
		"certificate not checked": {k: projects.KubernetesSecret{Kubeconfig: "insecure"}},
		"context and namespace":   {k: projects.KubernetesSecret{Kubeconfig: "token", Context: "plain", Namespace: "team"}},
		"home":                    {env: map[string]string{"HOME": "~/home"}},
		"list":                    {env: map[string]string{"HOME": "~/nowhere", "KUBECONFIG": "~/none:~/clusters:~/users:~/users"}},
		"list before home":        {env: map[string]string{"HOME": "~/nowhere", "KUBECONFIG": "~/token"}},
		"pod":                     {env: pod},
		"pod with an empty file":  {env: map[string]string{"KUBECONFIG": "~/empty", "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}},
		"a file before the pod":   {env: map[string]string{"HOME": "~/home", "KUBERNETES_SERVICE_HOST": "256.256.256.256"}},
	} {
		r := reader(t, map[string]string{})
		place(t, r, files)
		env := map[string]string{}
		for variable, text := range test.env {
			env[variable] = strings.ReplaceAll(text, "~", r.Dir)
		}
		r.LookupEnv = func(name string) (string, bool) { text, ok := env[name]; return text, ok }
		r.ServiceAccount = filepath.Join(r.Dir, "sa")
		if got, err := readKubernetes(t.Context(), r, test.k); err != nil || got != leak+"\n" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestKubernetesProblems(t *testing.T) {
	f := newFakeCluster(t)
	closed := httptest.NewTLSServer(http.NotFoundHandler())
	closed.Close()
	with := func(server, more string) string {
		return f.kubeconfigFor(fmt.Sprintf(`{"server": %q%s}`, server, more), tokenUser)
	}
	authority := fmt.Sprintf(`, "certificate-authority-data": %q`, base64.StdEncoding.EncodeToString(f.authority()))
	stranger, key := clientCertificate(t, "somebody")
	encoded := base64.StdEncoding.EncodeToString
	files := map[string]string{
		"good":             f.kubeconfig(tokenUser),
		"stranger":         f.kubeconfig(`{"token": "` + leak + `-other"}`),
		"strange cert":     f.kubeconfig(fmt.Sprintf(`{"client-certificate-data": %q, "client-key-data": %q}`, encoded(stranger), encoded(key))),
		"half a cert":      f.kubeconfig(fmt.Sprintf(`{"client-certificate-data": %q, "client-key-data": %q}`, encoded(stranger), encoded([]byte(leak)))),
		"closed":           with(closed.URL, authority),
		"no authority":     with(f.URL, ""),
		"other name":       with(f.URL, authority+`, "tls-server-name": "kubernetes.invalid"`),
		"clear":            with("http://api.example.com", ""),
		"wrong proxy":      with(f.URL, `, "proxy-url": "ftp://ann:`+leak+`@proxy.invalid"`),
		"broken proxy":     with(f.URL, `, "proxy-url": "http://ann:`+leak+`@proxy.invalid:x"`),
		"wrong server":     with("https://ann:"+leak+"@api.invalid:x", ""),
		"server's user":    with("https://ann:"+leak+"@api.invalid", ""),
		"no server":        f.kubeconfigFor(`{}`, tokenUser),
		"no cluster":       strings.ReplaceAll(f.kubeconfig(tokenUser), `"cluster": "c"`, `"cluster": "d"`),
		"no current":       strings.Replace(f.kubeconfig(tokenUser), `"team"`, `""`, 1),
		"wrong current":    strings.Replace(f.kubeconfig(tokenUser), `"team"`, `"gone"`, 1),
		"not yaml":         "users: [" + leak + ": *" + leak + "\n",
		"not a kubeconfig": `{"users": {"` + leak + `": "` + leak + `"}}`,
		"missing plugin":   f.kubeconfig(plugin("/nowhere/get-token")),
		"unknown plugin":   f.kubeconfig(plugin("tutti-has-no-such-get-token")),
		"failing plugin":   f.kubeconfig(plugin("plugins/fails")),
		"babbling plugin":  f.kubeconfig(plugin("plugins/babbles")),
		"wrong plugin":     f.kubeconfig(plugin("plugins/wrong")),
		"asking plugin":    f.kubeconfig(strings.Replace(plugin("plugins/fails"), "IfAvailable", "Always", 1)),
		"plugins/fails":    "#!/bin/sh\necho " + leak + "; exit 7\n",
		"plugins/babbles":  "#!/bin/sh\necho " + leak + "\n",
		"plugins/wrong":    printToken,
		"plugins/token":    leak + "-other",
		"sa/none":          "",
	}
	for name, test := range map[string]struct {
		env  map[string]string
		k    projects.KubernetesSecret
		want string
	}{
		"none":             {k: projects.KubernetesSecret{Name: "gone"}, want: `no secret "gone" in the namespace "team"`},
		"key":              {k: projects.KubernetesSecret{Key: "passwort"}, want: `no key "passwort", but empty, password`},
		"no keys":          {k: projects.KubernetesSecret{Name: "none"}, want: "none at all"},
		"forbidden":        {k: projects.KubernetesSecret{Namespace: "default"}, want: `needs the verb get on the secret "app" in the namespace "default"`},
		"other kind":       {k: projects.KubernetesSecret{Name: "configmap"}, want: "not a Secret"},
		"not base64":       {k: projects.KubernetesSecret{Name: "plain"}, want: "not a Secret"},
		"half":             {k: projects.KubernetesSecret{Name: "half"}, want: "not a Secret"},
		"elsewhere":        {k: projects.KubernetesSecret{Name: "elsewhere"}, want: "sends us elsewhere"},
		"page":             {k: projects.KubernetesSecret{Name: "page"}, want: "not as an API server does"},
		"broken":           {k: projects.KubernetesSecret{Name: "broken"}, want: "status 500"},
		"stranger":         {want: "does not accept the credentials"},
		"strange cert":     {want: "does not accept the credentials"},
		"half a cert":      {want: "credentials for the API server cannot be used"},
		"closed":           {want: "connection refused"},
		"no authority":     {want: "is the certificate-authority of the cluster right"},
		"other name":       {want: "kubernetes.invalid"},
		"clear":            {want: "must begin with https"},
		"wrong proxy":      {want: "proxy-url"},
		"broken proxy":     {want: "proxy-url"},
		"wrong server":     {want: "not a URL such as"},
		"server's user":    {want: "is a URL such as"},
		"no server":        {want: "no server found for cluster"},
		"no cluster":       {want: "no cluster with a server"},
		"no current":       {want: "kubectl config use-context"},
		"wrong current":    {want: "gone"},
		"context":          {k: projects.KubernetesSecret{Kubeconfig: "good", Context: "prod"}, want: `context "prod" does not exist`},
		"not yaml":         {want: "not a kubeconfig"},
		"not a kubeconfig": {want: "not a kubeconfig"},
		"gone":             {k: projects.KubernetesSecret{Kubeconfig: "gone"}, want: "there is no kubeconfig"},
		"folder":           {k: projects.KubernetesSecret{Kubeconfig: "plugins"}, want: "is a directory"},
		"missing plugin":   {want: "no such file or directory; Get it from example.com."},
		"unknown plugin":   {want: "get-token not found; Get it from example.com."},
		"failing plugin":   {want: "exit code 7"},
		"babbling plugin":  {want: "not an ExecCredential"},
		"wrong plugin":     {want: "does not accept the credentials"},
		"asking plugin":    {want: "interactive mode"},
		"nothing":          {env: map[string]string{"A": "B"}, want: "there is no cluster"},
		"list of nothing":  {env: map[string]string{"KUBECONFIG": "/nowhere/a:/nowhere/b"}, want: "/nowhere/a, /nowhere/b"},
		"pod without":      {env: map[string]string{"KUBERNETES_SERVICE_HOST": "127.0.0.1"}, want: "no token of a service account"},
	} {
		r := reader(t, test.env)
		r.ServiceAccount = filepath.Join(r.Dir, "sa")
		place(t, r, files)
		if test.env == nil && test.k.Kubeconfig == "" {
			if test.k.Kubeconfig = name; test.k != (projects.KubernetesSecret{Kubeconfig: name}) {
				test.k.Kubeconfig = "good"
			}
		}
		got, err := readKubernetes(t.Context(), r, test.k)
		if err == nil || got != "" || !strings.Contains(err.Error(), test.want) || strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), leak) {
			t.Errorf("%s: the error quotes: %v", name, err)
		}
	}
}

// TestKubernetesPluginIsAskedAgain throws the plugin's token away: it is asked for
// another, once.
func TestKubernetesPluginIsAskedAgain(t *testing.T) {
	f := newFakeCluster(t)
	r := reader(t, nil)
	place(t, r, map[string]string{"config": f.kubeconfig(plugin("./plugin")), "plugin": printToken, "token": leak + "-token"})
	for i, token := range []string{"-token", "-token", "-renewed"} {
		f.token.Store(leak + token)
		place(t, r, map[string]string{"token": leak + token})
		if got, err := readKubernetes(t.Context(), r, projects.KubernetesSecret{Kubeconfig: "config"}); err != nil || got != leak+"\n" {
			t.Errorf("%d: %q, %v", i, got, err)
		}
	}
	if n := f.gets.Load(); n != 4 {
		t.Errorf("the server was asked %d times", n)
	}
}

// TestKubernetesInTime reads from a server, and by a plugin, that never answer.
func TestKubernetesInTime(t *testing.T) {
	arrived, end := make(chan struct{}, 10), make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-end
	}))
	defer server.Close()
	defer close(end)
	f := &fakeCluster{Server: server}
	r := reader(t, nil)
	place(t, r, map[string]string{
		"slow":   f.kubeconfig(tokenUser),
		"hangs":  f.kubeconfig(plugin("./plugin")),
		"plugin": "#!/bin/sh\ncd \"$(dirname \"$0\")\"; echo > began; cat < ends\n",
	})
	for _, fifo := range []string{"began", "ends"} {
		if err := syscall.Mkfifo(filepath.Join(r.Dir, fifo), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := readKubernetes(ctx, r, projects.KubernetesSecret{Kubeconfig: "slow"}); err == nil || !strings.Contains(err.Error(), "did not answer within") {
		t.Errorf("slow server: %v", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	go func() { <-arrived; cancel() }()
	if _, err := readKubernetes(ctx, r, projects.KubernetesSecret{Kubeconfig: "slow"}); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("cancelled: %v", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, _ = os.ReadFile(filepath.Join(r.Dir, "began")) // opens when the plugin writes
		cancel()
	}()
	if _, err := readKubernetes(ctx, r, projects.KubernetesSecret{Kubeconfig: "hangs"}); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Fatalf("hanging plugin: %v", err)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "ends"), nil, 0); err != nil { // lets it end
		t.Error(err)
	}
}
