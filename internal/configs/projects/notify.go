package projects

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/egress"
	"github.com/tutti-dev/tutti/internal/events/patterns"
)

// NotifyKind is what a notify block tells events to.
type NotifyKind string

// The kinds of notify blocks.
const (
	NotifyWebhook NotifyKind = "webhook" // any server that takes events
	NotifySlack   NotifyKind = "slack"   // an incoming webhook of Slack, or of what is compatible
	NotifyGitHub  NotifyKind = "github"  // commit statuses and comments
	NotifyGitLab  NotifyKind = "gitlab"
	NotifyGitea   NotifyKind = "gitea" // and Forgejo
)

// NotifyFormat is how a webhook is told events.
type NotifyFormat string

// The formats of webhooks.
const (
	FormatCloudEvents NotifyFormat = "cloudevents"
	FormatCDEvents    NotifyFormat = "cdevents" // only events that CDEvents has a word for
	FormatSlack       NotifyFormat = "slack"
)

// Notify is a notify block: what is told which events.
type Notify struct {
	Name string
	// On is the pattern of the events; nil for the runs that the kind is about, where
	// it is a host of code.
	On   *patterns.Pattern
	Kind NotifyKind
	// Environment is the one that secrets are read in; empty for the default one.
	Environment string
	// AllowPrivate are networks that are not public and may be reached all the same.
	AllowPrivate []netip.Prefix

	// Of webhook and slack. URL is empty where URLSecret names the secret that has it.
	URL       string
	URLSecret Reference
	Secrets   []Reference  // each signs; none: nothing is signed
	Format    NotifyFormat // cloudevents unless given

	// Of hosts of code.
	API        string // where its API is; empty for that of the public one
	Token      Reference
	Repository string // empty: the one that a run says it is about
	Context    string // begins the names of commit statuses
	Comment    bool   // whether requests to merge get a comment

	DeclRange hcl.Range
}

// Forge reports whether it is told to a host of code.
func (n *Notify) Forge() bool { return n.Kind != NotifyWebhook && n.Kind != NotifySlack }

// secrets are all that the block refers to.
func (n *Notify) secrets() []Reference { return append(slices.Clone(n.Secrets), n.URLSecret, n.Token) }

// publicAPIs are the APIs of the public hosts.
var publicAPIs = map[NotifyKind]string{NotifyGitHub: "https://api.github.com", NotifyGitLab: "https://gitlab.com/api/v4"}

// defaultContext begins the names of commit statuses.
const defaultContext = "tutti"

func (d *decoder) notify(block *hcl.Block) *Notify {
	content := d.content(block, nil, []string{"on", "environment", "allow_private"},
		hcl.BlockHeaderSchema{Type: string(NotifyWebhook)}, hcl.BlockHeaderSchema{Type: string(NotifySlack)},
		hcl.BlockHeaderSchema{Type: string(NotifyGitHub)}, hcl.BlockHeaderSchema{Type: string(NotifyGitLab)}, hcl.BlockHeaderSchema{Type: string(NotifyGitea)})
	n := &Notify{Name: block.Labels[0], DeclRange: block.DefRange, Format: FormatCloudEvents}
	d.constant(content, "environment", &n.Environment)
	var private []string
	if d.constant(content, "allow_private", &private) {
		var err error
		if n.AllowPrivate, err = egress.ParseNetworks(private); err != nil {
			d.errorAt(content.Attributes["allow_private"].Expr.Range(), "Invalid network", "%s.", err)
		}
	}
	if attr := content.Attributes["on"]; attr != nil {
		var diags diag.List
		n.On, diags = patterns.Read(attr.Expr, nil)
		d.add(diags)
	}
	if len(content.Blocks) != 1 {
		d.errorAt(block.DefRange, "Notify without one recipient", "A notify block has exactly one of the blocks webhook, slack, github, gitlab and gitea. Here there are %d.", len(content.Blocks))
		return n
	}
	to := content.Blocks[0]
	n.Kind = NotifyKind(to.Type)
	if n.Forge() {
		d.forge(n, to)
		return n
	}
	if content.Attributes["on"] == nil {
		d.errorAt(block.DefRange, "Notify without events", "Say which events are told: a pattern, for example on = { type = [\"run.failed\"] }.")
	}
	d.notifyURL(n, to)
	return n
}

// notifyURL decodes the blocks webhook and slack.
func (d *decoder) notifyURL(n *Notify, block *hcl.Block) {
	optional := []string{"secret", "format"}
	if n.Kind == NotifySlack {
		n.Format, optional = FormatSlack, nil
	}
	content := d.content(block, []string{"url"}, optional)
	if attr := content.Attributes["url"]; attr != nil {
		if len(attr.Expr.Variables()) > 0 {
			n.URLSecret, _ = d.reference(attr.Expr, "secret")
		} else if d.constant(content, "url", &n.URL) {
			if problem := n.CheckURL(n.URL); problem != "" {
				d.errorAt(attr.Expr.Range(), "Invalid address", "%s", problem)
			}
		}
	}
	if attr := content.Attributes["secret"]; attr != nil {
		if _, diags := hcl.ExprList(attr.Expr); !diags.HasErrors() {
			n.Secrets = d.references(attr, "secret")
		} else if r, ok := d.reference(attr.Expr, "secret"); ok {
			n.Secrets = []Reference{r}
		}
	}
	var format string
	if d.constant(content, "format", &format) {
		if n.Format = NotifyFormat(format); !slices.Contains([]NotifyFormat{FormatCloudEvents, FormatCDEvents, FormatSlack}, n.Format) {
			d.errorAt(content.Attributes["format"].Expr.Range(), "Invalid format", "%q is none of the formats: \"cloudevents\", \"cdevents\", \"slack\".", format)
		}
	}
}

// CheckURL says what is wrong with where the block sends to; empty where nothing
// is.
func (n *Notify) CheckURL(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return "It must be a URL such as https://hooks.example.com/tutti, without a user or a fragment."
	case u.Scheme == "https":
		return ""
	case u.Scheme != "http":
		return "The address must begin with https://."
	case len(n.AllowPrivate) == 0:
		return "Without TLS events are sent to private networks only: the address must begin with https://, or allow_private name the network that it is in."
	}
	return ""
}

// forge decodes the blocks of hosts of code.
func (d *decoder) forge(n *Notify, block *hcl.Block) {
	content := d.content(block, []string{"token"}, []string{"api", "repository", "context", "comment"})
	if attr := content.Attributes["token"]; attr != nil {
		n.Token, _ = d.reference(attr.Expr, "secret")
	}
	n.API, n.Context, n.Comment = publicAPIs[n.Kind], defaultContext, true
	if d.constant(content, "api", &n.API) {
		if problem := n.CheckURL(n.API); problem != "" {
			d.errorAt(content.Attributes["api"].Expr.Range(), "Invalid address", "%s", problem)
		}
		n.API = strings.TrimRight(n.API, "/")
	}
	if n.API == "" && content.Attributes["api"] == nil {
		d.errorAt(block.DefRange, "Host without an address", "Say where the API of the host is: api = \"https://git.example.com/api/v1\".")
	}
	d.given(content, "repository", &n.Repository)
	d.given(content, "context", &n.Context)
	d.constant(content, "comment", &n.Comment)
	if attr := content.Attributes["repository"]; attr != nil && n.Repository != "" && !ValidRepository(n.Repository) {
		d.errorAt(attr.Expr.Range(), "Invalid repository", "%q is not the path of a repository: write for example \"org/shop\".", n.Repository)
	}
}

// ValidRepository reports whether text is the path of a repository at a host of code,
// such as "org/shop".
func ValidRepository(text string) bool {
	parts := strings.Split(text, "/")
	if len(parts) < 2 || len(text) > 500 {
		return false
	}
	for _, part := range parts {
		if part == "" || part == "." || part == ".." || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
			return false
		}
	}
	return true
}
