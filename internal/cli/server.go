package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server"
	"github.com/tutti-dev/tutti/internal/server/api"
)

// defaultListen is where a server listens unless told: on this machine only.
const defaultListen = "127.0.0.1:7780"

func serverCommand() *command {
	return &command{
		name: "server", summary: "Serve the API and the UI, and drive the project's runs", main: true,
		about: `Serves the project over HTTP: its API (described at /api/v1/openapi.json) and a UI for browsers, with a live feed of all that happens. The runs that are started there, and those that wait for somebody ("tutti run -detach"), are driven in this process.

On this machine only (as it listens unless told), whoever can reach it acts as the user who started it. Elsewhere everybody has to come with a token ("tutti token create"), and the connection must be encrypted: give -tls-cert and -tls-key, or say with -behind-proxy that a proxy in front does it.

Interrupting it (Ctrl-C, SIGTERM) lets running steps end and leaves the runs to be gone on with by the next server. A second interrupt gives up what is running.`,
		example: "tutti server\ntutti server -listen=:7780 -tls-cert=server.pem -tls-key=server.key",
		setup: func(f *flagSet) action {
			o := serverOptions{most: 1000}
			f.text(&o.listen, "listen", "ADDRESS", "Where to listen; "+defaultListen+" unless given. A port of 0 means any that is free.")
			f.text(&o.certificate, "tls-cert", "FILE", "The certificate of the server with its chain, in PEM.")
			f.text(&o.key, "tls-key", "FILE", "Its private key, in PEM.")
			f.text(&o.url, "url", "URL", "Where clients find the server, if not where it listens.")
			f.toggle(&o.proxied, "behind-proxy", "A proxy in front of the server encrypts connections.")
			f.toggle(&o.tokens, "require-token", "Ask for a token on this machine too.")
			f.toggle(&o.speculative, "speculative-plans", "Plan configurations that clients send (\"tutti plan -upload\"). Planning runs code of theirs: programs that they name, with the rights of the server.")
			f.number(&o.most, "max-runs", "N", "How many runs to drive at once; 1000 unless given.")
			return o.serve
		},
	}
}

type serverOptions struct {
	listen, certificate, key, url string
	proxied, tokens, speculative  bool
	most                          int
}

func (o *serverOptions) serve(ctx context.Context, app *App, _ []string) int {
	if o.listen == "" {
		o.listen = defaultListen
	}
	op, diags := app.openRootOperation(false)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	store, diags := op.store(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
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
	runner := &runs.Runner{Store: store, Actor: app.actor()}
	driver := &runDriver{
		o: &runnerOptions{most: o.most, quiet: true}, op: op, r: runner, drain: ctx.Done(), hard: hardContext(ctx).Done(),
		driving: map[string]bool{}, alone: map[string]time.Time{},
	}
	token, diags := app.bearers(ctx, store)
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
			Store: store, Events: store, Runner: runner, Work: work, Version: programVersion(), Name: filepath.Base(op.workDir),
			Changed: changes.Next, Stop: ctx.Done(),
		},
		Token: token,
		Locks: store,
		Hooks: started.hooks,
		Log:   slog.New(slog.NewTextHandler(app.Err, nil)),
		URL:   o.url, Certificate: o.certificate, Key: o.key, Proxied: o.proxied,
	}
	if !o.tokens {
		who := app.identity()
		s.Local = &who
	}
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
	<-observed
	if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
		return app.fail(diag.FromError(err))
	}
	return exitOK
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
