package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/tutti-dev/tutti/bench/internal/compare"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	_ "go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql" // the driver
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
	sqltool "go.temporal.io/server/tools/sql"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	namespace = "bench"
	queue     = "bench"
)

// system is a Temporal server in this process with a client and a worker. A step
// is an activity: local ones would be faster, but not durable one by one.
type system struct {
	name   string
	server temporal.Server
	client client.Client
	worker worker.Worker
}

func newTemporal(ctx context.Context, store, dir string) (*system, error) {
	s := &system{name: "Temporal, " + store}
	began := time.Now()
	address := fmt.Sprintf("127.0.0.1:%d", freePort())
	c := configuration(address)
	var err error
	switch store {
	case "sqlite":
		c.Persistence, err = inSQLite(filepath.Join(dir, "temporal.db"))
	case "postgres":
		c.Persistence, err = inPostgreSQL()
	default:
		err = fmt.Errorf("unknown store %q", store)
	}
	if err != nil {
		return nil, err
	}
	s.server, err = temporal.NewServer(
		temporal.WithConfig(c), temporal.ForServices(temporal.DefaultServices), temporal.WithLogger(log.NewNoopLogger()),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }),
	)
	if err != nil {
		return nil, err
	}
	if err := s.server.Start(); err != nil {
		return nil, err
	}
	o := client.Options{HostPort: address, Namespace: namespace, Logger: sdklog.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))}
	if err := makeNamespace(ctx, o); err != nil {
		return nil, err
	}
	if s.client, err = client.Dial(o); err != nil {
		return nil, err
	}
	s.worker = worker.New(s.client, queue, worker.Options{
		MaxConcurrentActivityExecutionSize: compare.AtOnce,
		MaxConcurrentActivityTaskPollers:   16, MaxConcurrentWorkflowTaskPollers: 8,
	})
	s.worker.RegisterActivity(nothing)
	s.worker.RegisterWorkflow(chain)
	s.worker.RegisterWorkflow(fan)
	if err := s.worker.Start(); err != nil {
		return nil, err
	}
	// A namespace is known everywhere only after a while.
	for deadline := time.Now().Add(time.Minute); ; {
		if err = s.Sequential(ctx, 1); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Fprintf(os.Stderr, "%s: the first step ended %.1f s after the server was started\n", s.name, time.Since(began).Seconds())
	return s, nil
}

// makeNamespace waits for the server and makes the namespace.
func makeNamespace(ctx context.Context, o client.Options) error {
	for deadline := time.Now().Add(time.Minute); ; {
		c, err := client.NewNamespaceClient(o)
		if err == nil {
			err = c.Register(ctx, &workflowservice.RegisterNamespaceRequest{
				Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
			})
			c.Close()
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func nothing(context.Context) error { return nil }

var options = workflow.ActivityOptions{StartToCloseTimeout: time.Minute}

func chain(ctx workflow.Context, n int) error {
	ctx = workflow.WithActivityOptions(ctx, options)
	for range n {
		if err := workflow.ExecuteActivity(ctx, nothing).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func fan(ctx workflow.Context, n int) error {
	ctx = workflow.WithActivityOptions(ctx, options)
	var running []workflow.Future
	for range n {
		if len(running) == compare.AtOnce {
			if err := running[0].Get(ctx, nil); err != nil {
				return err
			}
			running = running[1:]
		}
		running = append(running, workflow.ExecuteActivity(ctx, nothing))
	}
	for _, f := range running {
		if err := f.Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// Name implements [compare.System].
func (s *system) Name() string { return s.name }

// Sequential implements [compare.System].
func (s *system) Sequential(ctx context.Context, n int) error { return s.run(ctx, chain, n) }

// Fan implements [compare.System].
func (s *system) Fan(ctx context.Context, n int) error { return s.run(ctx, fan, n) }

func (s *system) run(ctx context.Context, f any, n int) error {
	run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: queue}, f, n)
	if err != nil {
		return err
	}
	return run.Get(ctx, nil)
}

// Close implements [compare.System].
func (s *system) Close() {
	s.worker.Stop()
	s.client.Close()
	_ = s.server.Stop()
}

// inSQLite makes a file that is synced with every transaction.
func inSQLite(path string) (config.Persistence, error) {
	sql := config.SQL{
		PluginName: sqliteplugin.PluginName, DatabaseName: path,
		ConnectAttributes: map[string]string{"mode": "rwc", "journal_mode": "wal", "synchronous": "full"},
	}
	if err := sqliteschema.SetupSchema(&sql); err != nil {
		return config.Persistence{}, err
	}
	return persistence(1, &sql, &sql), nil
}

// inPostgreSQL makes two databases.
func inPostgreSQL() (config.Persistence, error) {
	const plugin = "postgres12"
	stores := make([]*config.SQL, 2)
	for i, kind := range []string{"temporal", "visibility"} {
		name := "bench_temporal_" + kind
		stores[i] = &config.SQL{
			PluginName: plugin, DatabaseName: name, ConnectProtocol: "tcp", MaxConns: 20, MaxIdleConns: 20,
			ConnectAddr: os.Getenv("PGHOST") + ":" + os.Getenv("PGPORT"), User: os.Getenv("PGUSER"), Password: os.Getenv("PGPASSWORD"),
		}
		tool := func(args ...string) error {
			defer quiet()() // it tells every statement
			return sqltool.RunTool(append([]string{
				"temporal-sql-tool", "--plugin", plugin, "--endpoint", os.Getenv("PGHOST"), "--port", os.Getenv("PGPORT"),
				"--user", os.Getenv("PGUSER"), "--password", os.Getenv("PGPASSWORD"), "--db", name,
			}, args...))
		}
		_ = tool("drop-database", "--force") // there is none at first
		for _, args := range [][]string{
			{"create-database"}, {"setup-schema", "-v", "0.0"}, {"update-schema", "--schema-name", "postgresql/v12/" + kind},
		} {
			if err := tool(args...); err != nil {
				return config.Persistence{}, err
			}
		}
	}
	return persistence(4, stores[0], stores[1]), nil
}

// quiet keeps what is printed from being seen until it is undone.
func quiet() func() {
	out, errors := os.Stdout, os.Stderr
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stdout, os.Stderr = null, null
		return func() {
			os.Stdout, os.Stderr = out, errors
			_ = null.Close()
		}
	}
	return func() {}
}

func persistence(shards int32, store, visibility *config.SQL) config.Persistence {
	return config.Persistence{
		DefaultStore: "default", VisibilityStore: "visibility", NumHistoryShards: shards,
		DataStores: map[string]config.DataStore{"default": {SQL: store}, "visibility": {SQL: visibility}},
	}
}

// freePort finds a port that nobody listens at. Temporal's PostgreSQL schema keeps
// ports as small integers, which the usual ephemeral ones are too large for.
func freePort() int {
	for {
		port := 10000 + rand.IntN(20000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
}

// configuration is that of a server of one's own on loopback.
func configuration(frontend string) *config.Config {
	service := func(port int) config.Service {
		return config.Service{RPC: config.RPC{GRPCPort: port, MembershipPort: freePort(), BindOnLocalHost: true}}
	}
	var port int
	_, _ = fmt.Sscanf(frontend, "127.0.0.1:%d", &port)
	disabled := "disabled"
	return &config.Config{
		Global: config.Global{
			Membership: config.Membership{MaxJoinDuration: 30 * time.Second, BroadcastAddress: "127.0.0.1"},
			Metrics:    &metrics.Config{Prometheus: &metrics.PrometheusConfig{ListenAddress: fmt.Sprintf("127.0.0.1:%d", freePort()), HandlerPath: "/metrics"}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10, MasterClusterName: "active", CurrentClusterName: "active",
			ClusterInformation: map[string]cluster.ClusterInformation{"active": {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend}},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			"frontend": service(port), "history": service(freePort()),
			"matching": service(freePort()), "worker": service(freePort()),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: disabled},
			Visibility: config.VisibilityArchival{State: disabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: disabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: disabled},
		}},
		PublicClient: config.PublicClient{HostPort: frontend},
	}
}
