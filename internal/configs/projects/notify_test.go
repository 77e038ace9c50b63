package projects

import (
	"strings"
	"testing"
)

func TestNotify(t *testing.T) {
	p, diags := Parse(".", map[string][]byte{"a.tutti.hcl": []byte(`
secret "hook" {
  store {}
}
secret "token" {
  store {}
}
environment "prod" {}
notify "ops" {
  on            = { type = [{ prefix = "run." }] }
  environment   = "prod"
  allow_private = ["10.0.0.0/8"]
  webhook {
    url    = "http://hooks.internal/x"
    secret = [secret.hook, secret.token]
    format = "cdevents"
  }
}
notify "chat" {
  on = { type = "run.failed" }
  slack {
    url = secret.hook
  }
}
notify "hub" {
  github {
    token   = secret.token
    comment = false
  }
}
notify "tea" {
  gitea {
    api        = "https://git.example.com/api/v1/"
    token      = secret.token
    repository = "org/shop"
    context    = "infra"
  }
}
`)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	ops, chat, hub, tea := p.Notifies["ops"], p.Notifies["chat"], p.Notifies["hub"], p.Notifies["tea"]
	if ops.Kind != NotifyWebhook || ops.Format != FormatCDEvents || ops.URL != "http://hooks.internal/x" || len(ops.Secrets) != 2 || ops.Environment != "prod" ||
		len(ops.AllowPrivate) != 1 || ops.On == nil || ops.Forge() {
		t.Errorf("%+v", ops)
	}
	if chat.Kind != NotifySlack || chat.Format != FormatSlack || chat.URL != "" || chat.URLSecret.Name != "hook" {
		t.Errorf("%+v", chat)
	}
	if hub.API != "https://api.github.com" || hub.Token.Name != "token" || hub.Comment || hub.Context != "tutti" || hub.On != nil || !hub.Forge() {
		t.Errorf("%+v", hub)
	}
	if tea.API != "https://git.example.com/api/v1" || tea.Repository != "org/shop" || tea.Context != "infra" || !tea.Comment {
		t.Errorf("%+v", tea)
	}
}

func TestInvalidNotify(t *testing.T) {
	const on = "on = { type = \"x\" }\n"
	for body, want := range map[string]string{
		on: "exactly one of the blocks",
		on + "slack { url = \"x\" }\nwebhook { url = \"x\" }":                         "Here there are 2",
		`webhook { url = "https://a.example" }`:                                       "Say which events are told",
		on + `webhook { url = "http://a.example" }`:                                   "private networks only",
		on + `webhook { url = "ftp://a.example" }`:                                    "must begin with https://",
		on + `webhook { url = "https://ann:pw@a.example" }`:                           "without a user",
		on + `webhook { url = var.address }`:                                          "write secret.NAME",
		on + `slack { url = secret.nowhere }`:                                         `no secret "nowhere"`,
		on + "webhook {\n url = \"https://a.example\"\n format = \"xml\"\n}":          "none of the formats",
		on + "webhook {\n url = \"https://a.example\"\n secret = \"s\"\n}":            "write secret.NAME",
		on + "allow_private = [\"localhost\"]\nslack { url = \"https://a.example\" }": "not a network",
		on + "environment = \"x\"\nslack { url = \"https://a.example\" }":             `environment "x"`,
		`github { }`:                 `"token"`,
		`gitea { token = secret.s }`: "Say where the API",
		"github {\n token = secret.s\n repository = \"shop\"\n}":                  "not the path of a repository",
		"github {\n token = secret.s\n repository = \"org/../shop\"\n}":           "not the path of a repository",
		"github {\n token = secret.s\n api = \"http://git.internal\"\n}":          "private networks only",
		"on = { type = [{ prefix = 5 }] }\nslack { url = \"https://a.example\" }": "prefix",
	} {
		_, diags := Parse(".", map[string][]byte{"a.tutti.hcl": []byte("environment \"e\" {}\nsecret \"s\" {\n store {}\n}\nnotify \"n\" {\n" + body + "\n}\n")})
		if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), want) {
			t.Errorf("%s\n%v, want %q", body, diags.Err(), want)
		}
	}
}
