// Command temporal measures Tutti beside a Temporal server, in turns in one process, and
// prints a table in Markdown. It is a module of its own because building the
// server takes many minutes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

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
	dir := flag.String("dir", os.TempDir(), "where the stores are made")
	store := flag.String("store", "sqlite", "what Temporal keeps its histories in: sqlite, or postgres for the server that PGHOST and so on name")
	o := compare.Options{}
	flag.IntVar(&o.Rounds, "rounds", 3, "how often everything is measured")
	flag.IntVar(&o.Sequential, "sequential", 400, "steps one after the other")
	flag.IntVar(&o.Fan, "fan", 2000, "steps at once; Temporal ends a workflow whose history has 51,200 events")
	flag.Parse()

	folder, err := workload.Folder(*dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	own, err := compare.NewTutti(ctx, folder)
	if err != nil {
		return err
	}
	defer own.Close()
	peer, err := newTemporal(ctx, *store, folder)
	if err != nil {
		return fmt.Errorf("temporal: %w", err)
	}
	defer peer.Close()
	return compare.Run(ctx, os.Stdout, os.Stderr, []compare.System{own, peer}, o)
}
