package modules

import (
	"strings"
	"testing"
)

func TestSources(t *testing.T) {
	for text, want := range map[string]string{
		"./x/../y":                             "./y",
		"../":                                  "./..",
		"../x/":                                "../x",
		"hashicorp/consul/aws":                 "registry.terraform.io/hashicorp/consul/aws",
		"hashicorp/consul/aws//modules/a":      "registry.terraform.io/hashicorp/consul/aws//modules/a",
		"Example.com/a/b/c":                    "example.com/a/b/c",
		"example.com:8443/a/b/c//d":            "example.com:8443/a/b/c//d",
		"gitlab.com/group/name/system":         "gitlab.com/group/name/system",
		"github.com/o/r":                       "git::https://github.com/o/r.git",
		"github.com/o/r//sub?ref=v1":           "git::https://github.com/o/r.git//sub?ref=v1",
		"github.com/o/r/sub/dir?ref=v1":        "git::https://github.com/o/r.git//sub/dir?ref=v1",
		"github.com/o/r.git":                   "git::https://github.com/o/r.git",
		"bitbucket.org/o/r":                    "git::https://bitbucket.org/o/r.git",
		"git@github.com:o/r.git//sub?ref=v1":   "git::ssh://git@github.com/o/r.git//sub?ref=v1",
		"git::git@example.com:o/r.git":         "git::ssh://git@example.com/o/r.git",
		"git::ssh://git@example.com:22/o/r":    "git::ssh://git@example.com:22/o/r",
		"git::https://example.com/r.git//s":    "git::https://example.com/r.git//s",
		"https://example.com/m.zip//s?a=b":     "https://example.com/m.zip//s?a=b",
		"https://example.com/m?archive=tar.gz": "https://example.com/m?archive=tar.gz",
		"/srv/modules//a":                      "file:///srv/modules//a",
		"https://example.com/tar/v1//*?x=y":    "https://example.com/tar/v1//*?x=y",
		"https://example.com/m.zip?path=/a//b": "https://example.com/m.zip?path=/a//b",
	} {
		s, err := parseSource(text)
		if err != nil {
			t.Errorf("%s: %s", text, err)
			continue
		}
		if got := s.String(); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
		again, err := parseSource(want)
		if err != nil || again.String() != want {
			t.Errorf("%s does not read as itself: %s %v", want, again, err)
		}
	}
}

func TestSourcesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"foo":                         `write "./foo"`,
		"a/b/c/../d":                  "neither a path",
		" ./a":                        "spaces",
		"s3::https://example.com/x":   "objects in a bucket",
		"gcs::https://example.com/x":  "cannot be got",
		"nix::x":                      "is not a means",
		"a/b/c//../../x":              "leads out",
		"git::https://h/r.git//../x":  "leads out",
		"ftp://example.com/x.zip":     `the scheme "ftp"`,
		"git::example.com/x/y.git":    "neither a path",
		"https://user:pw%zz@host/zip": "not a valid address",
	} {
		_, err := parseSource(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that says %q", text, err, want)
		}
	}
}
