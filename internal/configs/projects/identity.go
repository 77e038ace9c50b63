package projects

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Identity is an identity block: an issuer of tokens (OpenID Connect) whose word
// about who somebody is counts in this project.
type Identity struct {
	Name   string
	Issuer string // exactly as its tokens have it
	// ClientID is the client that people log in with; empty where nobody can.
	ClientID string
	// Audience lists for whom a token must be made, one of these: the client
	// unless given.
	Audience []string
	Scopes   []string // asked for at login
	// UsernameClaim is the claim that names a user; empty where tokens stand for
	// services only.
	UsernameClaim string
	GroupsClaim   string // empty where groups are not taken from tokens
	// UsernamePrefix and GroupPrefix stand before what the claims say, so that
	// nobody is taken for somebody else of the same name.
	UsernamePrefix, GroupPrefix string
	// Required says that whoever acts must have logged in.
	Required  bool
	Services  []*ServiceRule // the first that a token is like decides
	DeclRange hcl.Range
	// IssuerRange is where the issuer is named, for diagnostics.
	IssuerRange hcl.Range
}

// ServiceRule is a service block of an identity: a token whose claims are all
// like this stands for the service.
type ServiceRule struct {
	Name string // without its kind
	// Claims are patterns by claim: a star stands for any characters, a question
	// mark for one.
	Claims    map[string]string
	DeclRange hcl.Range
}

// DefaultScopes are asked for at login where an identity names none.
// "offline_access" is what a login is kept alive with.
var DefaultScopes = []string{"openid", "profile", "email", "offline_access"}

// maxPrefix bounds what stands before names.
const maxPrefix = 64

func (d *decoder) identity(block *hcl.Block) *Identity {
	content := d.content(block, []string{"issuer"},
		[]string{"client_id", "audience", "scopes", "username_claim", "username_prefix", "groups_claim", "group_prefix", "required"},
		hcl.BlockHeaderSchema{Type: "service", LabelNames: []string{"name"}})
	i := &Identity{Name: block.Labels[0], Scopes: DefaultScopes, DeclRange: block.DefRange, IssuerRange: block.DefRange}
	if attr := content.Attributes["issuer"]; attr != nil {
		i.IssuerRange = attr.Expr.Range()
		if d.constant(content, "issuer", &i.Issuer) {
			if problem := CheckIssuer(i.Issuer); problem != "" {
				d.errorAt(i.IssuerRange, "Invalid issuer", "%s", problem)
			}
		}
	}
	d.given(content, "client_id", &i.ClientID)
	d.given(content, "username_claim", &i.UsernameClaim)
	d.given(content, "groups_claim", &i.GroupsClaim)
	d.constant(content, "required", &i.Required)
	d.prefix(content, "username_prefix", &i.UsernamePrefix)
	d.prefix(content, "group_prefix", &i.GroupPrefix)
	i.Audience = d.names(content, "audience", i.ClientID)
	if scopes := d.names(content, "scopes", ""); len(scopes) > 0 {
		i.Scopes = scopes
		if !slices.Contains(scopes, "openid") {
			d.errorAt(content.Attributes["scopes"].Expr.Range(), "Scopes without openid", "The scope \"openid\" is what makes an issuer say who somebody is: add it.")
		}
	}
	for _, b := range content.Blocks {
		i.Services = append(i.Services, d.serviceRule(b))
	}
	if len(i.Audience) == 0 && content.Attributes["audience"] == nil && content.Attributes["client_id"] == nil {
		d.errorAt(block.DefRange, "Identity without an audience", "A token counts only if it was made for this project: give the client_id that people log in with, or the audience of the tokens.")
	}
	if i.UsernameClaim == "" && len(i.Services) == 0 && content.Attributes["username_claim"] == nil {
		d.errorAt(block.DefRange, "Identity of nobody", "Nobody is known by this identity: give the username_claim that names users, such as \"email\", or service blocks.")
	}
	if attr := content.Attributes["required"]; attr != nil && i.Required && (i.ClientID == "" || i.UsernameClaim == "") {
		d.errorAt(attr.Expr.Range(), "Login that is not possible", "A login is required with which nobody can log in: that needs a client_id and a username_claim.")
	}
	return i
}

// prefix decodes what stands before names, which must be a name itself.
func (d *decoder) prefix(content *hcl.BodyContent, name string, into *string) {
	if d.constant(content, name, into) && (ParseSubject("user:"+*into+"x") != nil || len(*into) > maxPrefix) {
		d.errorAt(content.Attributes[name].Expr.Range(), "Invalid prefix", "%s cannot stand before a name: it must be short, and have no colon, star or question mark.", shorten(*into))
	}
}

// names decodes a list of texts that are not empty. Without the argument it is
// the one given, if any.
func (d *decoder) names(content *hcl.BodyContent, name, otherwise string) []string {
	attr := content.Attributes[name]
	if attr == nil {
		if otherwise == "" {
			return nil
		}
		return []string{otherwise}
	}
	var out []string
	if !d.constant(content, name, &out) {
		return nil
	}
	if len(out) == 0 || slices.Contains(out, "") {
		d.errorAt(attr.Expr.Range(), "Invalid "+name, "The argument %q must list at least one, and nothing empty.", name)
	}
	return out
}

func (d *decoder) serviceRule(block *hcl.Block) *ServiceRule {
	r := &ServiceRule{Name: block.Labels[0], DeclRange: block.DefRange}
	if err := ParseSubject("service:" + r.Name); err != nil {
		d.errorAt(block.LabelRanges[0], "Invalid service", "%s is not the name of a service.", shorten(r.Name))
	}
	content := d.content(block, []string{"claims"}, nil)
	if !d.constant(content, "claims", &r.Claims) {
		return r
	}
	rng := content.Attributes["claims"].Expr.Range()
	if len(r.Claims) == 0 {
		d.errorAt(rng, "Service without claims", "Every token of the issuer would stand for the service %q: say by which claims it is known, for example { repository = \"org/shop\", ref = \"refs/heads/main\" }.", r.Name)
	}
	anything := true
	for name, pattern := range r.Claims {
		if name == "" || pattern == "" || len(pattern) > maxPattern {
			d.errorAt(rng, "Invalid claims", "A claim and what it must be like must not be empty, and not longer than %d characters.", maxPattern)
		}
		anything = anything && strings.Trim(pattern, "*?") == ""
	}
	if anything && len(r.Claims) > 0 {
		d.errorAt(rng, "Service of anybody", "Claims that may be anything tell nobody apart: at least one must have more to it than stars.")
	}
	return r
}

// CheckIssuer says what is wrong with the address of an issuer; empty where
// nothing is.
func CheckIssuer(address string) string {
	return checkServer(address, "The issuer is the URL that its tokens have, such as https://id.example.com.", "Without TLS an issuer is believed on this machine only: the address must begin with https://.")
}

// checkServer says what is wrong with the address of a server that must be
// reached by TLS, or be on this machine.
func checkServer(address, form, elsewhere string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return form
	case u.Scheme == "https":
		return ""
	case u.Scheme != "http":
		return "The address must begin with https://."
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && ip.IsLoopback() {
		return ""
	}
	return elsewhere
}
