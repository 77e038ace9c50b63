package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/egress"
	"github.com/tutti-dev/tutti/internal/notify"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/server"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/telemetry"
)

// defaultListen is where a server listens unless told: on this machine only.
const defaultListen = "127.0.0.1:7780"

func serverCommand() *command {
	return &command{
		name: "server", summary: "Serve the API and the UI, and drive the project's runs", main: true,
		about: `Serves the project over HTTP: its API (described at /api/v1/openapi.json) and a UI for browsers, with a live feed of all that happens. The runs that are started there, and those that wait for somebody ("tutti run -detach"), are driven in this process.

On this machine only (as it listens unless told), whoever can reach it acts as the user who started it. Elsewhere everybody has to come with a token ("tutti token create"), and the connection must be encrypted: give -tls-cert and -tls-key, or say with -behind-proxy that a proxy in front does it.

Interrupting it (Ctrl-C, SIGTERM) lets running steps end and leaves the runs to be gone on with by the next server. What has not ended within -grace, or at a second interrupt, is given up: the next server settles it.

A closed terminal does not end it. At SIGHUP it reads the certificate and its key again; the project's files it reads whenever they change.`,
		example: "tutti server\ntutti server -listen=:7780 -tls-cert=server.pem -tls-key=server.key",
		setup: func(f *flagSet) action {
			o := serverOptions{most: 1000}
			f.text(&o.listen, "listen", "ADDRESS", "Where to listen; "+defaultListen+" unless given. A port of 0 means any that is free.")
			f.text(&o.certificate, "tls-cert", "FILE", "The certificate of the server with its chain, in PEM.")
			f.text(&o.key, "tls-key", "FILE", "Its private key, in PEM.")
			f.text(&o.url, "url", "URL", "Where clients find the server, if not where it listens; links in what is told to others lead there.")
			f.toggle(&o.proxied, "behind-proxy", "A proxy in front of the server encrypts connections.")
			f.toggle(&o.tokens, "require-token", "Ask for a token on this machine too.")
			f.toggle(&o.speculative, "speculative-plans", "Plan configurations that clients send (\"tutti plan -upload\"). Planning runs code of theirs: programs that they name, with the rights of the server.")
			f.list(&o.private, "allow-private-requests", "NETWORK", "Let http steps of runs that are driven here reach this network, which is not public (10.0.0.0/8, 127.0.0.1). May be given several times; \"all\" lets them go anywhere.")
			f.text(&o.logFormat, "log-format", "FORMAT", "How the log on standard error is written: text, or json for an object a line.")
			f.text(&o.grace, "grace", "TIME", "How long running steps may take to end once the server is asked to; 10m unless given, 0s for as long as they take. Give less than what your supervisor waits before it kills.")
			f.number(&o.most, "max-runs", "N", "How many runs to drive at once; 1000 unless given.")
			return o.serve
		},
	}
}

type serverOptions struct {
	listen, certificate, key, url string
	logFormat, grace              string
	proxied, tokens, speculative  bool
	private                       []string // networks
	most                          int
}

func (o *serverOptions) serve(ctx context.Context, app *App, _ []string) int {
	if o.listen == "" {
		o.listen = defaultListen
	}
	grace, diags := o.prepare()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	ctx, let := within(ctx, grace)
	defer let()
	log := slog.New(slog.NewTextHandler(app.Err, nil))
	if o.logFormat == "json" {
		log = slog.New(slog.NewJSONHandler(app.Err, nil))
		app.Err = logWriter{log} // what commands tell people, too
	}
	ctx = telemetry.WithLog(ctx, log)
	op, diags := app.openRootOperation(false)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	store, diags := op.store(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	actions.SweepScratch()
	guard, err := guardOf(o.private)
	if err != nil {
		return app.failf("Invalid network", "Option -allow-private-requests: %s.", err)
	}
	app.egress = guard
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return app.failf("Cannot listen", "%s.", err)
	}
	defer func() { _ = listener.Close() }()
	// What is asked for by hand ends with the server, what is being driven goes on
	// until it has let go.
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	changes, err := store.Watch(living)
	if err != nil {
		return app.failf("Cannot watch the store", "%s.", err)
	}
	app.refusals = newRefusals(store)
	runner := &runs.Runner{Store: store, Actor: app.actor(), Egress: guard}
	driver := &runDriver{
		o: &runnerOptions{most: o.most, quiet: true}, op: op, r: runner, drain: ctx.Done(), hard: hardContext(ctx).Done(),
		driving: map[string]bool{}, alone: map[string]time.Time{},
	}
	known, diags := app.serverIdentities(ctx, store)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	started, diags := op.openServerTriggers(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	work := &serverWork{op: op, runner: runner, observer: newStackObserver(op, store), speculative: o.speculative}
	work.observer.change = work.Change
	s := &server.Server{
		API: &api.API{
			Store: store, Events: store, Outbox: store, Runner: runner, Work: work, Version: programVersion(), Name: filepath.Base(op.workDir),
			Changed: changes.Next, Stop: ctx.Done(),
		},
		Token: known.token, Issuers: known.issuers, LoggedIn: known.loggedIn, Refused: app.refuseRequest,
		Locks: store,
		Hooks: started.hooks,
		Log:   log,
		URL:   o.url, Certificate: o.certificate, Key: o.key, Proxied: o.proxied,
	}
	if !o.tokens {
		who := app.identity()
		s.Local = &who
	}
	readAgain(ctx, s, log)
	ready := func(url string) { fmt.Fprintf(app.Out, "Tutti serves %s at %s\n", op.workDir, url) }
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener, ready) }()
	driven := make(chan struct{})
	go func() {
		defer close(driven)
		driver.follow(ctx, changes.Next)
	}()
	triggered := make(chan struct{})
	go func() {
		defer close(triggered)
		started.serve(ctx, changes.Next)
	}()
	notified := make(chan struct{})
	go func() {
		defer close(notified)
		op.serveNotify(ctx, &notify.Notifier{Store: store, Changed: changes.Next, PublicURL: o.url, Plans: work.plansOf})
	}()
	observed := make(chan struct{})
	go func() {
		defer close(observed)
		work.observer.serve(ctx)
	}()
	select {
	case err = <-served:
		if err != nil {
			end()
			return app.fail(diag.FromError(err))
		}
	case <-ctx.Done():
	}
	<-driven
	<-triggered
	<-notified
	<-observed
	if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
		return app.fail(diag.FromError(err))
	}
	return exitOK
}

// readAgain has a server read at SIGHUP what it reads when it starts and can be replaced
// meanwhile, until ctx ends. Where nohup has the signal ignored, it stays so.
func readAgain(ctx context.Context, s *server.Server, log *slog.Logger) {
	if signal.Ignored(syscall.SIGHUP) {
		return
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
			}
			if err := s.ReadCertificate(); err != nil {
				log.Error("the former certificate stays", "error", err)
				continue
			}
			log.Info("asked to read files again (SIGHUP)", "certificate", s.Certificate)
		}
	}()
}

// guardOf keeps requests out of networks that are not public, but for those given;
// nil where all are.
func guardOf(private []string) (*egress.Guard, error) {
	if slices.Contains(private, "all") {
		return nil, nil
	}
	networks, err := egress.ParseNetworks(private)
	if err != nil {
		return nil, err
	}
	return egress.New(networks...), nil
}

// defaultGrace is how long running steps may take to end.
const defaultGrace = 10 * time.Minute

// prepare looks at the options that are texts.
func (o *serverOptions) prepare() (grace time.Duration, diags diag.List) {
	switch o.logFormat {
	case "", "text", "json":
	default:
		diags = diag.Errorf("Invalid format", "The value of -log-format is text or json, not %q.", o.logFormat)
	}
	if o.grace == "" {
		return defaultGrace, diags
	}
	grace, err := projects.ParseDuration(o.grace)
	if err != nil || grace < 0 {
		diags = append(diags, diag.Errorf("Invalid time", "The value of -grace is no length of time such as \"90s\" or \"5m\": %q.", o.grace)...)
	}
	return grace, diags
}

// logWriter makes an entry of a log of each text written.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(text []byte) (int, error) {
	if said := strings.TrimSpace(string(text)); said != "" {
		w.log.Warn(said)
	}
	return len(text), nil
}

// breath is how long follow waits at least between two looks: what changes in
// between is seen with the next.
const breath = 20 * time.Millisecond

// follow looks for runs to drive whenever something has changed, and from time to
// time: the death of a process changes nothing.
func (d *runDriver) follow(ctx context.Context, changed func() <-chan struct{}) {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		next := changed()
		if _, err := d.look(context.WithoutCancel(ctx)); err != nil {
			d.op.app.show(diag.Warningf("Cannot look for runs", "%s.", err))
		}
		select {
		case <-ctx.Done():
			d.all.Wait()
			d.r.Wait()
			return
		case <-next:
			select {
			case <-ctx.Done():
			case <-time.After(breath):
			}
		case <-ticker.C:
		}
	}
}
