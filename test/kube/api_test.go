//go:build kube

// Package kube tests what Tutti does with Kubernetes on a real API server, which
// "make test-kube" brings up.
package kube

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

type object = map[string]any

// api speaks with the API server as its administrator, by plain HTTP: what it
// says does not go through the code that is tested.
type api struct {
	t         *testing.T
	dir       string // with the kubeconfig, and the files it names
	address   string
	client    *http.Client
	namespace string // of this test
}

// newAPI reads what scripts/kubernetes.sh wrote, and makes a namespace.
func newAPI(t *testing.T) *api {
	t.Helper()
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		t.Fatal("no Kubernetes: KUBECONFIG is not set (make test-kube brings one up)")
	}
	a := &api{t: t, dir: filepath.Dir(kubeconfig)}
	address := regexp.MustCompile(`https://127\.0\.0\.1:\d+`).FindString(a.file("kubeconfig"))
	if address == "" {
		t.Fatalf("%s is not of scripts/kubernetes.sh", kubeconfig)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(a.file("ca.crt")))
	a.address, a.client = address, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(a.client.CloseIdleConnections)
	var made struct{ Metadata struct{ Name string } }
	a.call("POST", "/api/v1/namespaces", object{"metadata": object{"generateName": "test-"}}, &made)
	a.namespace = made.Metadata.Name
	return a
}

// file reads one of the files that scripts/kubernetes.sh wrote.
func (a *api) file(name string) string {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, name))
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text)
}

// call asks the API and reads its answer into out, unless that is nil. A path
// that begins without a slash is one of the core API in the test's namespace.
func (a *api) call(method, path string, body, out any) {
	a.t.Helper()
	if !strings.HasPrefix(path, "/") {
		path = "/api/v1/namespaces/" + a.namespace + "/" + path
	}
	text, err := json.Marshal(body)
	if err != nil {
		a.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.address+path, bytes.NewReader(text))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(a.file("admin.token")))
	req.Header.Set("Content-Type", "application/json")
	res, err := a.client.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		a.t.Fatalf("%s %s: status %d: %s, %v", method, path, res.StatusCode, answer, err)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			a.t.Fatal(err)
		}
	}
}

// secret makes a Secret object, or changes the one that is there.
func (a *api) secret(method, name string, data map[string]string) {
	a.t.Helper()
	path := "secrets"
	if method == "PUT" {
		path += "/" + name
	}
	a.call(method, path, object{"metadata": object{"name": name}, "stringData": data}, nil)
}

// allow lets somebody get one Secret object, and nothing else.
func (a *api) allow(name string, subject object) {
	a.t.Helper()
	roles := fmt.Sprintf("/apis/rbac.authorization.k8s.io/v1/namespaces/%s/", a.namespace)
	var role struct{ Metadata struct{ Name string } }
	a.call("POST", roles+"roles", object{
		"metadata": object{"generateName": "read-"},
		"rules":    []object{{"apiGroups": []string{""}, "resources": []string{"secrets"}, "resourceNames": []string{name}, "verbs": []string{"get"}}},
	}, &role)
	a.call("POST", roles+"rolebindings", object{
		"metadata": object{"name": role.Metadata.Name},
		"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role.Metadata.Name},
		"subjects": []object{subject},
	}, nil)
}

// user is a subject of RBAC: one of the contexts of the kubeconfig.
func user(name string) object {
	return object{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}
}
