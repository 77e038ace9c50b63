//go:build cloud

package cloud

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// api speaks with the cloud as its administrator, by plain HTTP: what it says
// does not go through the code that is tested.
type api struct {
	t       *testing.T
	token   string
	project string
	base    map[string]string // by type of service, without a slash at the end
}

// signIn reads the OS_* variables.
func signIn(t *testing.T) *api {
	t.Helper()
	url := os.Getenv("OS_AUTH_URL")
	if url == "" {
		t.Fatal("no cloud: OS_AUTH_URL is not set (make test-cloud brings one up)")
	}
	object := func(pairs ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	domain := object("id", "default")
	body := object("auth", object(
		"identity", object("methods", []string{"password"}, "password", object("user", object(
			"name", os.Getenv("OS_USERNAME"), "password", os.Getenv("OS_PASSWORD"), "domain", domain))),
		"scope", object("project", object("name", os.Getenv("OS_PROJECT_NAME"), "domain", domain)),
	))
	a := &api{t: t, base: map[string]string{"identity": url}}
	var answer struct {
		Token struct {
			Project struct{ ID string }
			Catalog []struct {
				Type      string
				Endpoints []struct{ Interface, URL string }
			}
		}
	}
	header := a.call("POST", "identity", "/auth/tokens", body, &answer)
	a.token, a.project = header.Get("X-Subject-Token"), answer.Token.Project.ID
	for _, service := range answer.Token.Catalog {
		for _, endpoint := range service.Endpoints {
			if endpoint.Interface == "public" {
				a.base[service.Type] = strings.TrimSuffix(endpoint.URL, "/")
			}
		}
	}
	return a
}

// call asks a service and reads its answer into out, unless that is nil.
func (a *api) call(method, service, path string, body, out any) http.Header {
	a.t.Helper()
	status, header, text := a.try(method, service, path, body)
	if status >= 300 {
		a.t.Fatalf("%s %s%s: status %d: %s", method, service, path, status, text)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			a.t.Fatalf("%s %s%s: %v", method, service, path, err)
		}
	}
	return header
}

func (a *api) try(method, service, path string, body any) (int, http.Header, []byte) {
	a.t.Helper()
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			a.t.Fatal(err)
		}
		sent = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.base[service]+path, sent)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Auth-Token", a.token)
	// The oldest version that knows policies of server groups as the provider sets them.
	req.Header.Set("X-OpenStack-Nova-API-Version", "2.15")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, text
}

// thing is an object of the cloud, named as the provider names its type.
type thing struct{ Type, ID string }

// things lists everything whose name begins with the site's, and what hangs on
// it without a name of its own. The values are names.
func (a *api) things(site string) map[thing]string {
	a.t.Helper()
	out := map[thing]string{}
	collect := func(typ, service, path, key string, accept func(object map[string]any, name string) (string, bool)) {
		a.t.Helper()
		var answer map[string]json.RawMessage
		a.call("GET", service, path, nil, &answer)
		var objects []map[string]any
		if err := json.Unmarshal(answer[key], &objects); err != nil {
			a.t.Fatalf("%s%s: %v", service, path, err)
		}
		for _, object := range objects {
			if inner, ok := object["keypair"].(map[string]any); ok {
				object = inner
				object["id"] = inner["name"]
			}
			name, _ := object["name"].(string)
			found := name == site || strings.HasPrefix(name, site+"-")
			if accept != nil {
				name, found = accept(object, name)
			}
			if found {
				out[thing{typ, object["id"].(string)}] = name
			}
		}
	}
	has := func(typ string, id any) bool {
		text, _ := id.(string)
		_, ok := out[thing{typ, text}]
		return ok
	}
	collect("openstack_identity_project_v3", "identity", "/projects", "projects", nil)
	collect("openstack_images_image_v2", "image", "/v2/images", "images", nil)
	collect("openstack_compute_flavor_v2", "compute", "/flavors?is_public=None", "flavors", nil)
	collect("openstack_compute_keypair_v2", "compute", "/os-keypairs", "keypairs", nil)
	collect("openstack_compute_servergroup_v2", "compute", "/os-server-groups", "server_groups", nil)
	collect("openstack_compute_instance_v2", "compute", "/servers", "servers", nil)
	collect("openstack_networking_network_v2", "network", "/v2.0/networks", "networks", nil)
	collect("openstack_networking_subnet_v2", "network", "/v2.0/subnets", "subnets", nil)
	collect("openstack_networking_router_v2", "network", "/v2.0/routers", "routers", nil)
	collect("openstack_networking_secgroup_v2", "network", "/v2.0/security-groups", "security_groups", nil)
	// Every group comes with rules that let everything out.
	collect("openstack_networking_secgroup_rule_v2", "network", "/v2.0/security-group-rules?direction=ingress", "security_group_rules",
		func(object map[string]any, _ string) (string, bool) {
			return fmt.Sprint(object["description"]), has("openstack_networking_secgroup_v2", object["security_group_id"])
		})
	const interfaces = "network:router_interface"
	collect("openstack_networking_port_v2", "network", "/v2.0/ports", "ports",
		func(object map[string]any, name string) (string, bool) {
			return name, object["device_owner"] != interfaces && has("openstack_networking_network_v2", object["network_id"])
		})
	collect("openstack_networking_router_interface_v2", "network", "/v2.0/ports?device_owner="+interfaces, "ports",
		func(object map[string]any, _ string) (string, bool) {
			addresses := object["fixed_ips"].([]any)
			subnet := fmt.Sprint(addresses[0].(map[string]any)["subnet_id"])
			return "to " + out[thing{"openstack_networking_subnet_v2", subnet}], has("openstack_networking_network_v2", object["network_id"])
		})
	return out
}

// named returns the ids of the things of a type with this name.
func (a *api) named(site, typ, name string) []string {
	a.t.Helper()
	var ids []string
	for one, itsName := range a.things(site) {
		if one.Type == typ && itsName == name {
			ids = append(ids, one.ID)
		}
	}
	return ids
}

// only returns the id of the one thing of a type with this name.
func (a *api) only(site, typ, name string) string {
	a.t.Helper()
	ids := a.named(site, typ, name)
	if len(ids) != 1 {
		a.t.Fatalf("%d objects %s named %q: %v", len(ids), typ, name, ids)
	}
	return ids[0]
}

// eventually polls the cloud, which does some things in its own time.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
		time.Sleep(50 * time.Millisecond) // polling other processes
	}
}
