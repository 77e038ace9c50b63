package builtin

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

const someState = `{"version":4,"serial":1,"lineage":"l","outputs":{
"p":{"value":"s","type":"string","sensitive":true},
"q":{"value":{"a":["x"]},"type":["object",{"a":["set","string"]}]}},"resources":[]}`

func remote(backend string, arguments map[string]cty.Value, more map[string]cty.Value) cty.Value {
	out := map[string]cty.Value{
		"backend": cty.StringVal(backend), "config": cty.ObjectVal(arguments), "workspace": cty.NullVal(cty.String),
		"defaults": null, "outputs": null,
	}
	for name, value := range more {
		out[name] = value
	}
	return cty.ObjectVal(out)
}

func text(s string) cty.Value { return cty.StringVal(s) }

func read(opts Options, config cty.Value) (cty.Value, diag.List) {
	if opts.LookupEnv == nil {
		opts.LookupEnv = func(string) (string, bool) { return "", false }
	}
	resp := New(opts).ReadDataSource(context.Background(), providers.ReadDataRequest{TypeName: remoteStateType, Config: config})
	return resp.Value, resp.Diags
}

func mustRead(t *testing.T, opts Options, config cty.Value) cty.Value {
	t.Helper()
	value, diags := read(opts, config)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if errs := value.Type().TestConformance(remoteStateBlock().ImpliedType()); errs != nil {
		t.Fatal(errs)
	}
	return value.GetAttr("outputs")
}

func mustFail(t *testing.T, diags diag.List, want string) {
	t.Helper()
	if len(diags) != 1 || !strings.Contains(diags[0].Summary+": "+diags[0].Detail, want) {
		t.Errorf("got %v, want %q", diags, want)
	}
}

func TestLocal(t *testing.T) {
	directory := t.TempDir()
	opts := Options{WorkingDir: directory}
	for _, name := range []string{"terraform.tfstate", "other.tfstate", "terraform.tfstate.d/blue/terraform.tfstate", "w/blue/terraform.tfstate"} {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(someState, `"s"`, `"`+name+`"`)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	blue := map[string]cty.Value{"workspace": text("blue")}
	for want, config := range map[string]cty.Value{
		"terraform.tfstate": remote("local", nil, map[string]cty.Value{"config": null}),
		"other.tfstate":     remote("local", map[string]cty.Value{"path": text("other.tfstate")}, nil),
		"terraform.tfstate.d/blue/terraform.tfstate": remote("local", nil, blue),
		"w/blue/terraform.tfstate":                   remote("local", map[string]cty.Value{"path": text("other.tfstate"), "workspace_dir": text("w")}, blue),
	} {
		outputs := mustRead(t, opts, config)
		if !outputs.GetAttr("p").RawEquals(text(want)) {
			t.Errorf("%s: got %#v", want, outputs)
		}
	}
	outputs := mustRead(t, opts, remote("local", nil, map[string]cty.Value{
		"defaults": cty.ObjectVal(map[string]cty.Value{"p": text("default"), "z": cty.NumberIntVal(1)}),
	}))
	want := cty.ObjectVal(map[string]cty.Value{
		"p": text("terraform.tfstate"), "z": cty.NumberIntVal(1),
		"q": cty.ObjectVal(map[string]cty.Value{"a": cty.SetVal([]cty.Value{text("x")})}),
	})
	if !outputs.RawEquals(want) {
		t.Errorf("got %#v", outputs)
	}

	_, diags := read(opts, remote("local", map[string]cty.Value{"path": text("none")}, nil))
	mustFail(t, diags, "Unable to find remote state")
	_, diags = read(opts, remote("local", map[string]cty.Value{"path": text(".")}, nil))
	mustFail(t, diags, "Cannot read remote state")
}

func TestValidate(t *testing.T) {
	p := New(Options{})
	for name, test := range map[string]struct {
		config cty.Value
		want   string // empty: valid
	}{
		"valid":          {remote("local", map[string]cty.Value{"path": text("x")}, nil), ""},
		"unknown":        {remote("local", nil, map[string]cty.Value{"config": cty.DynamicVal, "backend": unknown, "defaults": cty.DynamicVal}), ""},
		"unknown inside": {remote("local", map[string]cty.Value{"path": unknown}, nil), ""},
		"writing http":   {remote("http", map[string]cty.Value{"address": text("http://x"), "lock_address": text("http://x")}, nil), ""},
		"typo":           {remote("locale", nil, nil), `no backend type named "locale"`},
		"other":          {remote("s3", nil, nil), "terraform state pull"},
		"not an object":  {remote("local", nil, map[string]cty.Value{"config": cty.EmptyTupleVal}), "an object is required"},
		"argument":       {remote("local", map[string]cty.Value{"foo": text("x")}, nil), `unexpected attribute "foo"`},
		"type":           {remote("local", map[string]cty.Value{"path": cty.MapValEmpty(cty.String)}, nil), ".path: string required"},
		"defaults":       {remote("local", nil, map[string]cty.Value{"defaults": text("x")}), "Invalid default values"},
	} {
		t.Run(name, func(t *testing.T) {
			diags := p.ValidateDataConfig(context.Background(), remoteStateType, test.config)
			if test.want == "" {
				if diags != nil {
					t.Error(diags)
				}
				return
			}
			mustFail(t, diags, test.want)
		})
	}
}

func TestHTTP(t *testing.T) {
	calls := 0
	sum := md5.Sum([]byte(someState))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		user, password, _ := r.BasicAuth()
		switch {
		case r.URL.Path == "/none":
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Path == "/refused":
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/down", r.URL.Path == "/flaky" && calls < 3:
			w.WriteHeader(http.StatusBadGateway)
		case r.URL.Path == "/sum":
			w.Header().Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
			_, _ = w.Write([]byte(someState[1:]))
		case r.URL.Path == "/private" && (user != "u" || password != "hunter2"):
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
			_, _ = w.Write([]byte(someState))
		}
	}))
	defer server.Close()
	config := func(path string, more ...string) cty.Value {
		arguments := map[string]cty.Value{"address": text(server.URL + path), "retry_wait_min": cty.Zero, "retry_wait_max": text("0")}
		for i := 0; i < len(more); i += 2 {
			arguments[more[i]] = text(more[i+1])
		}
		calls = 0
		return remote("http", arguments, nil)
	}
	environment := Options{LookupEnv: func(name string) (string, bool) {
		value, ok := map[string]string{"TF_HTTP_USERNAME": "u", "TF_HTTP_PASSWORD": "hunter2"}[name]
		return value, ok
	}}
	for name, outputs := range map[string]cty.Value{
		"plain":       mustRead(t, Options{}, config("/x")),
		"flaky":       mustRead(t, Options{}, config("/flaky")),
		"password":    mustRead(t, Options{}, config("/private", "username", "u", "password", "hunter2")),
		"environment": mustRead(t, environment, config("/private")),
	} {
		if !outputs.GetAttr("p").RawEquals(text("s")) {
			t.Errorf("%s: got %#v", name, outputs)
		}
	}
	for path, want := range map[string]string{
		"/none": "Unable to find remote state", "/refused": "refuses access", "/private": "TF_HTTP_USERNAME",
		"/down": "502 Bad Gateway", "/sum": "does not match its checksum",
	} {
		_, diags := read(Options{}, config(path))
		mustFail(t, diags, want)
	}
	if _, _ = read(Options{}, config("/down", "retry_max", "4")); calls != 5 {
		t.Errorf("asked %d times", calls)
	}
	for want, config := range map[string]cty.Value{
		`"address" is required`:     remote("http", nil, nil),
		"has no workspaces":         remote("http", map[string]cty.Value{"address": text(server.URL)}, map[string]cty.Value{"workspace": text("w")}),
		"http:// or https://":       config("", "address", "ftp://x"),
		"not negative":              config("/x", "retry_max", "-1"),
		"must be given together":    config("/x", "client_certificate_pem", "x"),
		"no certificate in PEM":     config("/x", "client_ca_certificate_pem", "x"),
		"certificate and its key":   config("/x", "client_certificate_pem", "x", "client_private_key_pem", "y"),
		"xxxxx@127.0.0.1:1/x: dial": config("/x", "address", "http://u:hunter2@127.0.0.1:1/x", "retry_max", "0"),
	} {
		_, diags := read(Options{}, config)
		mustFail(t, diags, want)
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(someState)) }))
	defer server.Close()
	arguments := map[string]cty.Value{"address": text(server.URL), "retry_max": cty.Zero}
	_, diags := read(Options{}, remote("http", arguments, nil))
	mustFail(t, diags, "certificate")
	arguments["skip_cert_verification"] = cty.True
	mustRead(t, Options{}, remote("http", arguments, nil))
}

func TestOwnBackend(t *testing.T) {
	opts := Options{Backends: map[string]StateReader{
		"own": func(_ context.Context, config cty.Value, workspace string) (*states.State, diag.List) {
			state := states.New()
			state.Outputs["where"] = &states.Output{Type: []byte(`"string"`), Value: []byte(`"` + config.GetAttr("place").AsString() + workspace + `"`)}
			return state, nil
		},
	}}
	outputs := mustRead(t, opts, remote("own", map[string]cty.Value{"place": text("here-")}, nil))
	if !outputs.RawEquals(cty.ObjectVal(map[string]cty.Value{"where": text("here-default")})) {
		t.Errorf("got %#v", outputs)
	}
}

func TestFunctions(t *testing.T) {
	p := New(Options{Functions: map[string]function.Function{"upper": stdlib.UpperFunc}})
	schemas, _ := p.Schemas(context.Background())
	decl, ok := schemas.Functions["upper"]
	if !ok || decl.ReturnType != cty.String || len(decl.Parameters) != 1 || decl.Parameters[0].Type != cty.String || decl.Variadic != nil {
		t.Errorf("declared %+v", decl)
	}
	if got, err := p.CallFunction(context.Background(), "upper", []cty.Value{text("a")}); err != nil || !got.RawEquals(text("A")) {
		t.Errorf("got %#v, %v", got, err)
	}
	if _, err := p.CallFunction(context.Background(), "lower", nil); err == nil {
		t.Error("a function that is not there answered")
	}
}
