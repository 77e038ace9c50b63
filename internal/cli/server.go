package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/egress"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/notify"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/server"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/server/work"
	"github.com/tutti-dev/tutti/internal/sqlite"
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
			f.text(&o.retain, "retain", "TIME", "Remove what runs left that ended so long ago, as \"tutti store prune -older-than\" does: 90d, 12h. It is kept for ever unless given.")
			f.number(&o.most, "max-runs", "N", "How many runs to drive at once; 1000 unless given.")
			return o.serve
		},
	}
}

type serverOptions struct {
	listen, certificate, key, url string
	logFormat, grace, retain      string
	proxied, tokens, speculative  bool
	private                       []string // networks
	most                          int
}

func (o *serverOptions) serve(ctx context.Context, app *App, _ []string) int {
	grace, age, diags := o.prepare()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ctx, let := operations.Within(ctx, grace)
	defer let()
	log := o.log(app)
	ctx = telemetry.WithLog(ctx, log)
	op, diags := app.openRootOperation(false)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	store, diags := op.Store(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	actions.SweepScratch()
	if app.Egress, diags = guardOf(o.private); diags.HasErrors() {
		return app.fail(diags)
	}
	listener, err := net.Listen("tcp", cmp.Or(o.listen, defaultListen))
	if err != nil {
		return app.fail(listenProblem(cmp.Or(o.listen, defaultListen), err))
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
	s, beside, diags := o.assemble(ctx, app, op.Operation, store, changes, log)
	if o.retain != "" && !diags.HasErrors() {
		diags = app.May(access.Admin, op.Environment, "")
		beside = append(beside, func(ctx context.Context) { app.retain(ctx, store, age, log) })
	}
	if diags.HasErrors() {
		return app.fail(diags)
	}
	readAgain(ctx, s, log)
	var all sync.WaitGroup
	err = s.Serve(ctx, listener, func(url string) {
		fmt.Fprintf(app.Out, "Tutti serves %s at %s\n", op.WorkDir, url)
		for _, work := range beside {
			all.Go(func() { work(ctx) })
		}
	})
	stop() // what works beside it, where serving has failed
	all.Wait()
	switch {
	case errors.Is(err, server.ErrExposed):
		return app.failf("The server would be open to others", "At %s others can read along what is sent, tokens included. Give a certificate and its key (-tls-cert, -tls-key), or say with -behind-proxy that a proxy in front encrypts connections; or listen on this machine alone, as with -listen=%s.", listener.Addr(), defaultListen)
	case err != nil && !errors.Is(err, context.Canceled):
		return app.fail(diag.FromError(err))
	}
	return exitOK
}

// listenProblem says why nothing can be listened to at an address.
func listenProblem(address string, err error) diag.List {
	const summary = "Cannot listen"
	var wrong *net.AddrError
	switch {
	case errors.As(err, &wrong):
		return diag.Errorf(summary, "%q is no address to listen at: %s. Write HOST:PORT, as in -listen=%s.", address, wrong.Err, defaultListen)
	case errors.Is(err, syscall.EADDRINUSE):
		return diag.Errorf(summary, "Another program listens at %s already. Stop it, or give another address with -listen.", address)
	case errors.Is(err, syscall.EACCES):
		return diag.Errorf(summary, "You may not listen at %s: ports below 1024 need more rights. Give another address with -listen.", address)
	}
	return diag.Errorf(summary, "%s. Give another address with -listen.", diag.Sentence(err.Error()))
}

// log is where the server says what it does: standard error, where what commands tell
// people goes as well.
func (o *serverOptions) log(app *App) *slog.Logger {
	if o.logFormat != "json" {
		return slog.New(slog.NewTextHandler(app.Err, nil))
	}
	log := slog.New(slog.NewJSONHandler(app.Err, nil))
	app.Err = logWriter{log}
	return log
}

// assemble makes the server and what works beside it. Each of these works until its
// context ends, and returns when it has let go of what it had begun.
func (o *serverOptions) assemble(ctx context.Context, app *App, op *operations.Operation, store *sqlite.Store, changes *sqlite.Changes, log *slog.Logger) (*server.Server, []func(context.Context), diag.List) {
	app.Refusals = project.NewRefusals(store)
	known, diags := app.ServerIdentities(ctx, store)
	if diags.HasErrors() {
		return nil, nil, diags
	}
	started, diags := work.OpenTriggers(ctx, op)
	if diags.HasErrors() {
		return nil, nil, diags
	}
	runner := &runs.Runner{Store: store, Actor: app.Actor(), Egress: app.Egress}
	driver := operations.NewDriver(op, runner, o.most, func(string, ...any) {}, ctx.Done(), operations.Hard(ctx).Done())
	app.busy.Store(new(driver.Busy))
	asked := work.New(op, runner, store, o.speculative)
	notifier := &notify.Notifier{Store: store, Changed: changes.Next, PublicURL: o.url, Plans: asked.PlansOf}
	s := &server.Server{
		API: &api.API{
			Store: store, Events: store, Outbox: store, Runner: runner, Work: asked, Version: project.ProgramVersion(), Name: filepath.Base(op.WorkDir),
			Changed: changes.Next, Stop: ctx.Done(),
		},
		Token: known.Token, Issuers: known.Issuers, LoggedIn: known.LoggedIn, Refused: func(r server.Refusal) { work.RefuseRequest(app.Session, r) },
		Locks: store,
		Hooks: started.Hooks,
		Log:   log,
		URL:   o.url, Certificate: o.certificate, Key: o.key, Proxied: o.proxied,
	}
	if !o.tokens {
		who := app.Identity()
		s.Local = &who
	}
	return s, []func(context.Context){
		func(ctx context.Context) { driver.Follow(ctx, changes.Next) },
		func(ctx context.Context) { started.Serve(ctx, changes.Next) },
		func(ctx context.Context) { work.ServeNotify(ctx, op, notifier) },
		asked.Observer.Serve,
	}, nil
}

// readAgain has a server read at SIGHUP what it reads when it starts and can be replaced
// meanwhile, until ctx ends. From then on the signal does nothing: runs are being let go.
func readAgain(ctx context.Context, s *server.Server, log *slog.Logger) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
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
func guardOf(private []string) (*egress.Guard, diag.List) {
	if slices.Contains(private, "all") {
		return nil, nil
	}
	networks, err := egress.ParseNetworks(private)
	if err != nil {
		return nil, diag.Errorf("Invalid network", "Option -allow-private-requests: %s.", err)
	}
	return egress.New(networks...), nil
}

// defaultGrace is how long running steps may take to end.
const defaultGrace = 10 * time.Minute

// pruneEvery is how often a server looks for what has become old.
const pruneEvery = time.Hour

// retain removes what is older than age, again and again until ctx is cancelled.
func (a *App) retain(ctx context.Context, store *sqlite.Store, age time.Duration, log *slog.Logger) {
	ticker := time.NewTicker(max(min(pruneEvery, age), time.Second))
	defer ticker.Stop()
	for {
		switch done, err := store.Prune(ctx, time.Now().Add(-age), a.Actor(), false); {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Warn("not everything that is old was removed; trying again", "error", err)
		case len(done.Runs)+done.Firings+done.Deliveries > 0:
			log.Info("removed what is old", "runs", len(done.Runs), "firings", done.Firings, "deliveries", done.Deliveries, "freed_bytes", done.Freed)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// prepare looks at the options that are texts.
func (o *serverOptions) prepare() (grace, age time.Duration, diags diag.List) {
	switch o.logFormat {
	case "", "text", "json":
	default:
		diags = diag.Errorf("Invalid format", "The value of -log-format is text or json, not %q.", o.logFormat)
	}
	length := func(name, given string, otherwise time.Duration) time.Duration {
		if given == "" {
			return otherwise
		}
		length, err := projects.ParseDuration(given)
		if err != nil {
			diags = append(diags, diag.Errorf("Invalid time", "The value of -%s is no length of time such as \"90s\", \"5m\" or \"90d\": %q.", name, given)...)
		}
		return length
	}
	if o.certificate+o.key != "" {
		if _, err := tls.LoadX509KeyPair(o.certificate, o.key); err != nil {
			diags = append(diags, diag.Errorf("Cannot read the certificate", "%s. Option -tls-cert names the file with the certificate, -tls-key the one with its key, both in PEM.", files.Reason(err))...)
		}
	}
	grace, age = length("grace", o.grace, defaultGrace), length("retain", o.retain, 0)
	return grace, age, diags
}

// logWriter makes an entry of a log of each text written.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(text []byte) (int, error) {
	if said := strings.TrimSpace(string(text)); said != "" {
		w.log.Warn(said)
	}
	return len(text), nil
}
