package providers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/tutti-dev/tutti/internal/addrs"
	"google.golang.org/grpc"
)

// handshake is what Terraform's providers expect, so that they are not started
// by hand.
var handshake = plugin.HandshakeConfig{
	ProtocolVersion:  4,
	MagicCookieKey:   "TF_PLUGIN_MAGIC_COOKIE",
	MagicCookieValue: "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
}

const (
	// startTimeout is how long a provider may take to answer at first.
	startTimeout = time.Minute
	// maxMessage bounds one message: schemas of large providers have tens of
	// megabytes.
	maxMessage = 512 << 20
	// keptWords is how much of what a process says is kept.
	keptWords = 8 << 10
)

// connector is the plugin: all it does is give the connection.
type connector struct {
	plugin.NetRPCUnsupportedPlugin
}

// GRPCClient implements plugin.GRPCPlugin.
func (connector) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// GRPCServer implements plugin.GRPCPlugin.
func (connector) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("this program serves no plugins")
}

func pluginSet() plugin.PluginSet { return plugin.PluginSet{"provider": connector{}} }

// process is a running provider.
type process struct {
	client   *plugin.Client
	conn     grpc.ClientConnInterface
	protocol int
	words    *tail
	attached bool

	introduction introduction

	// The mutex of the pool's entry guards these.
	users int  // how many share the process
	given bool // the owner has given it back
}

func clientConfig(words io.Writer) *plugin.ClientConfig {
	return &plugin.ClientConfig{
		HandshakeConfig:  handshake,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
		SyncStdout:       io.Discard,
		SyncStderr:       words,
		Stderr:           words,
		StartTimeout:     startTimeout,
		GRPCDialOptions:  []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage))},
	}
}

// launch starts a provider in a directory and connects to it.
func launch(addr addrs.Provider, found Installed, environ []string, dir string) (*process, error) {
	words := &tail{}
	program := found.Executable
	if dir != "" {
		// A relative name would be looked up from the directory it is started in.
		var err error
		if program, err = filepath.Abs(program); err != nil {
			return nil, startError(addr, err, "")
		}
	}
	cmd := exec.Command(program)
	cmd.Dir = dir
	cmd.Env = slices.Clone(environ) // go-plugin appends a certificate: not where another process finds it
	dieWithParent(cmd)
	config := clientConfig(words)
	config.Cmd, config.AutoMTLS, config.SkipHostEnv = cmd, true, true
	config.VersionedPlugins = map[int]plugin.PluginSet{5: pluginSet(), 6: pluginSet()}
	proc := &process{client: plugin.NewClient(config), words: words}
	if err := proc.connect(); err != nil {
		proc.client.Kill()
		return nil, startError(addr, err, words.String())
	}
	proc.protocol = proc.client.NegotiatedVersion()
	return proc, nil
}

func (p *process) connect() error {
	rpc, err := p.client.Client()
	if err != nil {
		return err
	}
	raw, err := rpc.Dispense("provider")
	if err != nil {
		return err
	}
	conn, ok := raw.(*grpc.ClientConn)
	if !ok {
		return errors.New("it does not speak gRPC")
	}
	p.conn = conn
	return nil
}

// ended reports whether the process is gone.
func (p *process) ended() bool { return p.client.Exited() }

// kill ends the process; one we attached to is left alone.
func (p *process) kill() {
	if !p.attached {
		p.client.Kill()
	}
}

// lastWords is what the process said last, for when its connection has broken.
// The connection breaks before the last words are read, so this waits a little
// for the process to have ended.
func (p *process) lastWords() string {
	if !p.attached {
		poll := time.NewTicker(5 * time.Millisecond)
		defer poll.Stop()
		limit := time.NewTimer(time.Second)
		defer limit.Stop()
		for waiting := true; waiting && !p.ended(); {
			select {
			case <-poll.C:
			case <-limit.C:
				waiting = false
			}
		}
	}
	return p.words.String()
}

// reattach is a provider that somebody else runs.
type reattach struct {
	Protocol        string
	ProtocolVersion int
	Pid             int
	Test            bool
	Addr            struct {
		Network string
		String  string
	}
}

// parseReattach reads TF_REATTACH_PROVIDERS: reattach objects by source address.
func parseReattach(text string) (map[addrs.Provider]reattach, error) {
	out := map[addrs.Provider]reattach{}
	if text == "" {
		return out, nil
	}
	var raw map[string]reattach
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, fmt.Errorf("cannot read TF_REATTACH_PROVIDERS: %w", err)
	}
	for source, r := range raw {
		p, err := addrs.ParseProvider(source)
		if err != nil {
			return nil, fmt.Errorf("cannot read TF_REATTACH_PROVIDERS: %q: %w", source, err)
		}
		out[p.Canonical()] = r
	}
	return out, nil
}

// Attached lists the providers that TF_REATTACH_PROVIDERS names in an
// environment: somebody else runs them, so they need no program. The error says
// that the variable cannot be read.
func Attached(environ []string) (map[addrs.Provider]bool, error) {
	running, err := parseReattach(lookup(environ, "TF_REATTACH_PROVIDERS"))
	if err != nil {
		return nil, err
	}
	out := make(map[addrs.Provider]bool, len(running))
	for p := range running {
		out[p] = true
	}
	return out, nil
}

// attach connects to a provider that somebody else runs.
func attach(addr addrs.Provider, r reattach) (*process, error) {
	var at net.Addr
	var err error
	switch r.Addr.Network {
	case "unix":
		at, err = net.ResolveUnixAddr("unix", r.Addr.String)
	case "tcp":
		at, err = net.ResolveTCPAddr("tcp", r.Addr.String)
	default:
		err = fmt.Errorf("unknown network %q", r.Addr.Network)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot attach to provider %s: %w", addr.ForDisplay(), err)
	}
	protocol := r.ProtocolVersion
	if protocol == 0 {
		protocol = 5
	}
	words := &tail{}
	config := clientConfig(words)
	config.Plugins = pluginSet()
	config.Reattach = &plugin.ReattachConfig{Protocol: plugin.Protocol(r.Protocol), ProtocolVersion: protocol, Pid: r.Pid, Test: r.Test, Addr: at}
	proc := &process{client: plugin.NewClient(config), words: words, protocol: protocol, attached: true}
	if err := proc.connect(); err != nil {
		return nil, startError(addr, err, "")
	}
	return proc, nil
}

// tail keeps the last part of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if extra := len(t.data) - keptWords; extra > 0 {
		t.data = append(t.data[:0], t.data[extra:]...)
	}
	return len(p), nil
}

// String returns what was kept, from a panic on where there is one, and without
// log entries that tell of nothing bad.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.data
	if i := bytes.Index(text, []byte("panic: ")); i >= 0 {
		text = text[i:]
	}
	var kept []string
	for line := range strings.Lines(string(text)) {
		var entry struct {
			Level string `json:"@level"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && (entry.Level == "trace" || entry.Level == "debug" || entry.Level == "info") {
			continue
		}
		kept = append(kept, line)
	}
	return strings.TrimSpace(strings.Join(kept, ""))
}
