package sources

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/klog/v2"

	"github.com/tutti-dev/tutti/internal/configs/projects"
)

// serviceAccount is where pods find the credentials of their service account.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// quiet keeps the client library from writing to standard error by itself: what
// it writes there may quote what a credential plugin printed.
var quiet = sync.OnceFunc(func() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) })

// kubernetes reads a key of a Secret object. It asks for this one object and
// nothing else, so that the right to get it is enough.
func (r *Reader) kubernetes(ctx context.Context, k *projects.KubernetesSecret) ([]byte, error) {
	quiet()
	config, namespace, err := r.cluster(k)
	if err != nil {
		return nil, err
	}
	if k.Namespace != "" {
		namespace = k.Namespace
	}
	config.UserAgent = "tutti"
	if config.ExecProvider != nil {
		config.ExecProvider.StdinUnavailable = true // it may be our own prompt's
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil { // which quotes it
		return nil, errors.New("the server of the cluster is not a URL such as https://kubernetes.example.com:6443")
	}
	if problem := projects.CheckSecureAddress(base.String()); problem != "" {
		return nil, fmt.Errorf("the address %s of the API server does not do: %s", base.Redacted(), strings.TrimSuffix(problem, "."))
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("the credentials for the API server cannot be used: %w", err)
	}
	// Whoever the server sends us to would get the credentials.
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	target := base.JoinPath("api/v1/namespaces", namespace, "secrets", k.Name)

	answer, err := ask(ctx, client, target)
	if err == nil && answer.status == http.StatusUnauthorized && config.ExecProvider != nil {
		answer, err = ask(ctx, client, target) // the plugin's credentials were thrown away
	}
	switch {
	case ctx.Err() != nil:
		return nil, r.late(ctx, base.Host, config)
	case err != nil:
		return nil, unreachable(err, base.Host, config)
	case answer.status != http.StatusOK:
		return nil, answer.refusal(base.Host, namespace, k.Name)
	}
	return answer.key(k.Key)
}

// kubernetesAnswer is what an API server said.
type kubernetesAnswer struct {
	status int
	body   []byte
}

// ask gets an object. It returns when the context is done, whatever the client
// still waits for: credential plugins know of no context.
func ask(ctx context.Context, client *http.Client, target *url.URL) (*kubernetesAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	type outcome struct {
		*kubernetesAnswer
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		res, err := client.Do(req)
		if err != nil {
			done <- outcome{nil, err}
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, 4*Largest)) // base64, and what else the object has
		done <- outcome{&kubernetesAnswer{res.StatusCode, body}, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case o := <-done:
		return o.kubernetesAnswer, o.err
	}
}

// cluster finds the API server, the credentials for it and the namespace that
// is meant where none is named. It looks where kubectl does: in the files that
// KUBECONFIG lists or else in ~/.kube/config, and where there are none, at the
// service account of the pod it runs in.
func (r *Reader) cluster(k *projects.KubernetesSecret) (*rest.Config, string, error) {
	files, explicit := r.kubeconfigs(k)
	rules := &clientcmd.ClientConfigLoadingRules{}
	for _, file := range files {
		switch _, err := clientcmd.LoadFromFile(file); {
		case errors.Is(err, os.ErrNotExist):
			continue
		case errors.As(err, new(*os.PathError)):
			return nil, "", fmt.Errorf("the kubeconfig cannot be read: %w", err)
		case err != nil: // which may quote it
			return nil, "", fmt.Errorf("the file %s is not a kubeconfig; \"kubectl config view --kubeconfig=%[1]s\" says more", file)
		}
		rules.Precedence = append(rules.Precedence, file)
	}
	if len(rules.Precedence) == 0 && explicit {
		return nil, "", fmt.Errorf("there is no kubeconfig %s", strings.Join(files, ", "))
	}
	loaded, err := rules.Load()
	if err != nil {
		return nil, "", errors.New("the kubeconfig cannot be read; \"kubectl config view\" says more")
	}
	if clientcmdapi.IsConfigEmpty(loaded) && k.Kubeconfig == "" && k.Context == "" {
		if host := r.firstOf("KUBERNETES_SERVICE_HOST"); host != "" {
			return r.inCluster(host)
		}
		return nil, "", errors.New("there is no cluster: name a kubeconfig in its block or in KUBECONFIG, or run this in a pod with a service account")
	}
	named := strings.Join(rules.Precedence, ", ")
	if loaded.CurrentContext == "" && k.Context == "" {
		return nil, "", fmt.Errorf("the kubeconfig %s has no current context: name one in its block, or set it with \"kubectl config use-context\"", named)
	}
	client := clientcmd.NewNonInteractiveClientConfig(*loaded, k.Context, &clientcmd.ConfigOverrides{CurrentContext: k.Context}, nil)
	config, err := client.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, "", fmt.Errorf("the kubeconfig %s has no cluster with a server for the context", named)
	}
	if err != nil && strings.Contains(err.Error(), "proxy-url") { // which it quotes
		return nil, "", fmt.Errorf("the proxy-url in the kubeconfig %s is not a URL of the schemes http, https and socks5", named)
	}
	if err != nil {
		return nil, "", fmt.Errorf("the kubeconfig %s cannot be used: %w", named, err)
	}
	namespace, _, err := client.Namespace()
	return config, namespace, err
}

// kubeconfigs are the files to look for, and whether somebody named them.
func (r *Reader) kubeconfigs(k *projects.KubernetesSecret) (files []string, explicit bool) {
	if k.Kubeconfig != "" {
		return []string{r.place(k.Kubeconfig)}, true
	}
	if list := r.firstOf(clientcmd.RecommendedConfigPathEnvVar); list != "" {
		for _, file := range filepath.SplitList(list) {
			if file != "" && !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
		return files, true
	}
	if home := r.firstOf("HOME", "USERPROFILE"); home != "" {
		files = append(files, filepath.Join(home, clientcmd.RecommendedHomeDir, clientcmd.RecommendedFileName))
	}
	return files, false
}

// inCluster uses the service account of the pod that this runs in.
func (r *Reader) inCluster(host string) (*rest.Config, string, error) {
	dir := r.ServiceAccount
	if dir == "" {
		dir = serviceAccount
	}
	// Tokens are changed while the pod runs: read at each time.
	token, err := readFile(filepath.Join(dir, "token"))
	if err != nil {
		return nil, "", fmt.Errorf("the pod has no token of a service account: %w", err)
	}
	namespace, err := readFile(filepath.Join(dir, "namespace"))
	if err != nil {
		return nil, "", fmt.Errorf("the namespace of the pod is not known: %w", err)
	}
	port := r.firstOf("KUBERNETES_SERVICE_PORT")
	if port == "" {
		port = "443"
	}
	return &rest.Config{
		Host:            "https://" + net.JoinHostPort(host, port),
		BearerToken:     strings.TrimSpace(string(token)),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(dir, "ca.crt")},
	}, strings.TrimSpace(string(namespace)), nil
}

// late says what did not come in time.
func (r *Reader) late(ctx context.Context, host string, config *rest.Config) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	who := "the API server " + host
	if config.ExecProvider != nil {
		who = fmt.Sprintf("the credential plugin %s or %s", config.ExecProvider.Command, who)
	}
	return fmt.Errorf("%s did not answer within %s", who, timeLimit)
}

// unreachable says why there is no answer.
func unreachable(err error, host string, config *rest.Config) error {
	var (
		asked     *url.Error
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		network   *net.OpError
	)
	if errors.As(err, &asked) {
		err = asked.Err // without the address, which is said anyway
	}
	if problem, found := strings.CutPrefix(err.Error(), "getting credentials: "); found && config.ExecProvider != nil {
		return pluginProblem(problem, config.ExecProvider)
	}
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("the certificate of the API server %s is not of an authority that is trusted; is the certificate-authority of the cluster right?", host)
	case errors.As(err, &name), errors.As(err, &invalid):
		return fmt.Errorf("the certificate of the API server %s is not valid: %w", host, err)
	case errors.As(err, &network) && network.Op == "remote error":
		return fmt.Errorf("the API server %s does not accept the connection, perhaps for the client certificate: %w", host, err)
	}
	return fmt.Errorf("the API server %s cannot be reached: %w", host, err)
}

// pluginProblem says why a credential plugin gave no credentials. Only what does
// not quote what it printed is passed on.
func pluginProblem(problem string, plugin *clientcmdapi.ExecConfig) error {
	problem, _, _ = strings.Cut(problem, "\n")
	switch {
	case !strings.HasPrefix(problem, "exec"):
		problem = "what it printed is not an ExecCredential"
	case plugin.InstallHint != "" && (strings.HasSuffix(problem, " not found") || strings.HasSuffix(problem, "no such file or directory")):
		problem += "; " + strings.TrimSpace(plugin.InstallHint)
	}
	return fmt.Errorf("the credential plugin %s gives no credentials: %s", plugin.Command, problem)
}

// refusal says what an answer other than the object means.
func (a *kubernetesAnswer) refusal(host, namespace, name string) error {
	var said struct{ Kind, Reason string }
	if json.Unmarshal(a.body, &said) != nil || said.Kind != "Status" {
		said.Reason = ""
	}
	switch {
	case a.status == http.StatusUnauthorized:
		return fmt.Errorf("the API server %s does not accept the credentials; have they expired?", host)
	case a.status == http.StatusForbidden:
		return fmt.Errorf("the API server %s does not allow it: whoever the credentials are for needs the verb get on the secret %q in the namespace %q", host, name, namespace)
	case a.status == http.StatusNotFound && said.Reason == "NotFound":
		return fmt.Errorf("there is no secret %q in the namespace %q", name, namespace)
	case a.status == http.StatusNotFound:
		return fmt.Errorf("%s answers with status 404, but not as an API server does; is the address right?", host)
	case a.status >= 300 && a.status < 400:
		return fmt.Errorf("the API server %s sends us elsewhere, and the credentials are for no other; give that address", host)
	}
	return fmt.Errorf("the API server %s answers with status %d: %s", host, a.status, http.StatusText(a.status))
}

// key takes one key out of the object.
func (a *kubernetesAnswer) key(name string) ([]byte, error) {
	var object struct {
		Kind string
		Data map[string][]byte // JSON has them in base64, as the object does
	}
	if json.Unmarshal(a.body, &object) != nil || object.Kind != "Secret" {
		return nil, errors.New("the server's answer is not a Secret; is it an API server?")
	}
	value, ok := object.Data[name]
	switch keys := slices.Sorted(maps.Keys(object.Data)); {
	case ok:
		return value, nil
	case len(keys) == 0:
		return nil, fmt.Errorf("the secret has no key %q: it has none at all", name)
	default:
		return nil, fmt.Errorf("the secret has no key %q, but %s", name, strings.Join(keys, ", "))
	}
}
