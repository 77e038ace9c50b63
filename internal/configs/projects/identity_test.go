package projects

import (
	"slices"
	"strings"
	"testing"
)

func TestIdentity(t *testing.T) {
	p, diags := Parse(".", map[string][]byte{"a.tutti.hcl": []byte(`
identity "corp" {
  issuer          = "https://id.example.com/realms/corp"
  client_id       = "tutti"
  username_claim  = "email"
  username_prefix = "corp-"
  groups_claim    = "groups"
  group_prefix    = "corp/"
  scopes          = ["openid", "groups"]
  required        = true
}
identity "github" {
  issuer   = "https://token.actions.githubusercontent.com"
  audience = ["tutti", "https://tutti.example.com"]
  service "deploy" {
    claims = { repository = "org/shop", ref = "refs/heads/main" }
  }
  service "plan" {
    claims = { sub = "repo:org/*" }
  }
}
identity "local" {
  issuer         = "http://127.0.0.1:5556/dex"
  client_id      = "tutti"
  username_claim = "sub"
}
`)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	corp, github := p.Identities["corp"], p.Identities["github"]
	if corp.Issuer != "https://id.example.com/realms/corp" || !slices.Equal(corp.Audience, []string{"tutti"}) || corp.UsernamePrefix != "corp-" ||
		corp.GroupPrefix != "corp/" || !slices.Equal(corp.Scopes, []string{"openid", "groups"}) || !corp.Required {
		t.Errorf("%+v", corp)
	}
	if len(github.Services) != 2 || github.Services[0].Name != "deploy" || github.Services[0].Claims["ref"] != "refs/heads/main" || len(github.Audience) != 2 {
		t.Errorf("%+v", github)
	}
	if !slices.Equal(p.Identities["local"].Scopes, DefaultScopes) {
		t.Error("no scopes")
	}
	if p.Guarded {
		t.Error("who somebody is says nothing about what they may do")
	}
}

func TestInvalidIdentity(t *testing.T) {
	const rest = "\n client_id = \"c\"\n username_claim = \"email\"\n"
	for body, want := range map[string]string{
		rest:                               "issuer",
		`issuer = "id.example.com"` + rest: "The issuer is the URL",
		`issuer = "http://id.example.com"` + rest:                                                     "must begin with https://",
		`issuer = "ftp://id.example.com"` + rest:                                                      "must begin with https://",
		`issuer = "https://a@id.example.com"` + rest:                                                  "The issuer is the URL",
		`issuer = "https://id.example.com?x=1"` + rest:                                                "The issuer is the URL",
		`issuer = var.x` + rest:                                                                       "Variables not allowed",
		`issuer = "https://a.b"` + "\n" + `client_id = "c"`:                                           "Identity of nobody",
		`issuer = "https://a.b"` + "\n" + `username_claim = "email"`:                                  "Identity without an audience",
		`issuer = "https://a.b"` + "\n audience = []" + rest:                                          "must list at least one",
		`issuer = "https://a.b"` + "\n audience = [\"\"]" + rest:                                      "must list at least one",
		`issuer = "https://a.b"` + "\n scopes = [\"email\"]" + rest:                                   "Scopes without openid",
		`issuer = "https://a.b"` + "\n username_prefix = \"corp:\"" + rest:                            "cannot stand before a name",
		`issuer = "https://a.b"` + "\n group_prefix = \"*\"" + rest:                                   "cannot stand before a name",
		`issuer = "https://a.b"` + "\n secret = \"x\"" + rest:                                         "Unsupported argument",
		`issuer = "https://a.b"` + "\n client_id = \"\"\n username_claim = \"email\"":                 "must not be empty",
		`issuer = "https://a.b"` + "\n audience = [\"x\"]\n username_claim = \"a\"\n required = true": "with which nobody can log in",
		`issuer = "https://a.b"` + "\n service \"a b:c\" {\n claims = { a = \"b\" }\n}" + rest:        "not the name of a service",
		`issuer = "https://a.b"` + "\n service \"a\" {\n claims = {}\n}" + rest:                       "Service without claims",
		`issuer = "https://a.b"` + "\n service \"a\" {}" + rest:                                       "claims",
		`issuer = "https://a.b"` + "\n service \"a\" {\n claims = { sub = \"*\" }\n}" + rest:          "Service of anybody",
		`issuer = "https://a.b"` + "\n service \"a\" {\n claims = { sub = \"\" }\n}" + rest:           "must not be empty",
	} {
		_, diags := Parse(".", map[string][]byte{"a.tutti.hcl": []byte("identity \"x\" {\n" + body + "\n}\n")})
		found := false
		for _, d := range diags {
			found = found || strings.Contains(d.Summary+": "+d.Detail, want) && d.Subject != nil && d.Subject.Filename == "a.tutti.hcl"
		}
		if !found {
			t.Errorf("%s\nis not told to be %q:\n%v", body, want, diags)
		}
	}
	_, diags := Parse(".", map[string][]byte{"a.tutti.hcl": []byte("identity \"x\" {\nissuer=\"https://a.b\"" + rest + "}\nidentity \"x\" {\nissuer=\"https://a.b\"" + rest + "}\n")})
	if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), "Duplicate identity") {
		t.Error(diags)
	}
}
