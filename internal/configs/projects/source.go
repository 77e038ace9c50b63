package projects

import (
	"time"

	"github.com/hashicorp/hcl/v2"
)

// The kinds of sources.
const (
	SourcePrometheus = "prometheus"
	SourceFiles      = "files"
	SourceNATS       = "nats"
	SourceMQTT       = "mqtt"
)

// Source is a source block: what is watched because it tells nobody that it changed.
// One of the settings is there, that of its kind.
type Source struct {
	Name        string
	Kind        string
	DeclRange   hcl.Range
	Environment string // of the secrets; "" for the default one
	// Secrets are those that the settings want, by the name of the argument.
	Secrets map[string]Reference

	Prometheus PrometheusSource
	Files      FilesSource
	NATS       NATSSource
	MQTT       MQTTSource
}

// PrometheusSource is a query with thresholds.
type PrometheusSource struct {
	URL, Query       string
	Every, Hold      time.Duration
	Below            bool // values under the threshold count
	Threshold, Clear float64
}

// FilesSource is a directory to watch.
type FilesSource struct {
	Directory string // relative to the project
	Patterns  []string
	Settle    time.Duration
}

// NATSSource is a subject of NATS, or of a stream of JetStream.
type NATSSource struct {
	Servers                      []string
	Subject, Stream, Group, User string
}

// MQTTSource are topics of an MQTT server.
type MQTTSource struct {
	Server, Client, User string
	Topics               []string
	Keep                 time.Duration
}

const (
	defaultQueryEvery = 30 * time.Second
	defaultSettle     = time.Second
)

func (d *decoder) source(block *hcl.Block) *Source {
	s := &Source{Name: block.Labels[0], DeclRange: block.DefRange, Secrets: map[string]Reference{}}
	content := d.content(block, nil, []string{"environment"},
		hcl.BlockHeaderSchema{Type: SourcePrometheus}, hcl.BlockHeaderSchema{Type: SourceFiles},
		hcl.BlockHeaderSchema{Type: SourceNATS}, hcl.BlockHeaderSchema{Type: SourceMQTT})
	d.constant(content, "environment", &s.Environment)
	if len(content.Blocks) != 1 {
		d.errorAt(block.DefRange, "Source of no kind", "A source has exactly one of the blocks prometheus, files, nats and mqtt. Here there are %d.", len(content.Blocks))
		return s
	}
	inner := content.Blocks[0]
	switch s.Kind = inner.Type; s.Kind {
	case SourcePrometheus:
		d.prometheus(s, inner)
	case SourceFiles:
		c := d.content(inner, []string{"directory"}, []string{"patterns", "settle"})
		d.given(c, "directory", &s.Files.Directory)
		d.constant(c, "patterns", &s.Files.Patterns)
		if s.Files.Settle = defaultSettle; c.Attributes["settle"] != nil {
			s.Files.Settle = d.duration(c, "settle")
		}
	case SourceNATS:
		c := d.content(inner, []string{"servers", "subject"}, []string{"stream", "group", "user", "token", "password"})
		d.constant(c, "servers", &s.NATS.Servers)
		d.given(c, "subject", &s.NATS.Subject)
		d.given(c, "stream", &s.NATS.Stream)
		d.given(c, "group", &s.NATS.Group)
		d.given(c, "user", &s.NATS.User)
		d.sourceSecrets(s, c, "token", "password")
	case SourceMQTT:
		c := d.content(inner, []string{"server", "topics"}, []string{"client", "keep", "user", "password"})
		d.given(c, "server", &s.MQTT.Server)
		d.constant(c, "topics", &s.MQTT.Topics)
		d.given(c, "client", &s.MQTT.Client)
		s.MQTT.Keep = d.duration(c, "keep")
		d.given(c, "user", &s.MQTT.User)
		d.sourceSecrets(s, c, "password")
	}
	return s
}

func (d *decoder) prometheus(s *Source, block *hcl.Block) {
	c := d.content(block, []string{"url", "query"}, []string{"above", "below", "clear", "for", "every", "token"})
	q := &s.Prometheus
	d.given(c, "url", &q.URL)
	d.given(c, "query", &q.Query)
	above := d.constant(c, "above", &q.Threshold)
	q.Below = d.constant(c, "below", &q.Threshold)
	if above == q.Below {
		d.errorAt(block.DefRange, "Query without one threshold", "Say from where on the value counts: above = NUMBER or below = NUMBER.")
	}
	q.Clear = q.Threshold
	d.constant(c, "clear", &q.Clear)
	q.Hold = d.duration(c, "for")
	if q.Every = defaultQueryEvery; c.Attributes["every"] != nil {
		q.Every = d.duration(c, "every")
	}
	d.sourceSecrets(s, c, "token")
}

// sourceSecrets reads arguments that are references to secrets.
func (d *decoder) sourceSecrets(s *Source, content *hcl.BodyContent, names ...string) {
	for _, name := range names {
		if attr := content.Attributes[name]; attr != nil {
			if r, ok := d.reference(attr.Expr, "secret"); ok {
				s.Secrets[name] = r
			}
		}
	}
}
