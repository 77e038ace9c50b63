// Command peers measures Tutti beside other systems that carry steps out durably, in
// turns in one process, and prints a table in Markdown. It is a module of its
// own, so that what the others need never touches what Tutti needs.
//
// The others keep what they do in the PostgreSQL server that the usual
// environment variables (PGHOST and so on) name; each gets a database of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/jackc/pgx/v5"
	"github.com/tutti-dev/tutti/bench/internal/compare"
	"github.com/tutti-dev/tutti/bench/internal/workload"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir := flag.String("dir", os.TempDir(), "where Tutti's store is made; on the disk of the PostgreSQL server")
	o := compare.Options{}
	flag.IntVar(&o.Rounds, "rounds", 3, "how often everything is measured")
	flag.IntVar(&o.Sequential, "sequential", 400, "steps one after the other")
	flag.IntVar(&o.Fan, "fan", 10000, "steps at once")
	flag.IntVar(&o.Blocked, "blocked", 100000, "steps that cannot begin; 0 leaves this out")
	flag.IntVar(&o.Stream, "stream", 1000, "steps among them that can")
	flag.Parse()

	store, err := workload.Folder(*dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(store)
	own, err := compare.NewTutti(ctx, store)
	if err != nil {
		return err
	}
	defer own.Close()
	if err := durable(ctx); err != nil {
		return err
	}
	river, err := newRiver(ctx)
	if err != nil {
		return fmt.Errorf("river: %w", err)
	}
	defer river.Close()
	dbos, err := newDBOS(ctx)
	if err != nil {
		return fmt.Errorf("dbos: %w", err)
	}
	defer dbos.Close()
	return compare.Run(ctx, os.Stdout, os.Stderr, []compare.System{own, river, dbos}, o)
}

// durable checks that the server syncs what it acknowledges, as Tutti does.
func durable(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		var value string
		if err := conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return err
		}
		if value != "on" {
			return fmt.Errorf("the PostgreSQL server has %s = %s: that would be no comparison", name, value)
		}
	}
	return nil
}

// database makes an empty database and returns how to connect to it.
func database(ctx context.Context, name string) (string, error) {
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		return "", err
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	c := conn.Config()
	return fmt.Sprintf("postgres://%s:%s@%s:%d/%s?sslmode=disable", c.User, c.Password, c.Host, c.Port, name), nil
}
