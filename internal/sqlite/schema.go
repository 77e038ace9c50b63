package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// migrations lead from an empty file to the layout this program knows, one
// layout each. What was released is never changed, only added to.
var migrations = [...]string{layout1, layout2, layout3, layoutSteps, layoutUnended, layoutSchedules, layoutChain, layoutTokens, layoutSecrets, layoutRotations, layoutLocks, layoutSecretStates, layoutInbox, layoutObservations, layoutOutbox, layoutSources, layoutRuns, layoutMarks, layoutFound, layoutTimes}

const layout1 = `
CREATE TABLE states(
  id INTEGER PRIMARY KEY, stack TEXT NOT NULL, environment TEXT NOT NULL,
  lineage TEXT NOT NULL, serial INTEGER NOT NULL, terraform_version TEXT NOT NULL, check_results BLOB,
  UNIQUE(stack, environment));
CREATE TABLE instances(
  state INTEGER NOT NULL, address TEXT NOT NULL, deposed TEXT NOT NULL, version INTEGER NOT NULL,
  provider TEXT NOT NULL, schema_version INTEGER NOT NULL, attributes BLOB, sealed BLOB, flatmap BLOB, sensitive BLOB,
  private BLOB, private_sealed INTEGER NOT NULL, identity BLOB, identity_version INTEGER NOT NULL,
  status TEXT NOT NULL, dependencies TEXT, create_before_destroy INTEGER NOT NULL,
  PRIMARY KEY(state, address, deposed));
CREATE TABLE history(
  id INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL, address TEXT NOT NULL, deposed TEXT NOT NULL,
  run TEXT NOT NULL, sequence INTEGER NOT NULL, at INTEGER NOT NULL, cause TEXT NOT NULL, after INTEGER NOT NULL, version INTEGER,
  provider TEXT, schema_version INTEGER, attributes BLOB, sealed BLOB, flatmap BLOB, sensitive BLOB,
  private BLOB, private_sealed INTEGER, identity BLOB, identity_version INTEGER,
  status TEXT, dependencies TEXT, create_before_destroy INTEGER);
CREATE INDEX history_object ON history(state, address, deposed);
CREATE INDEX history_run ON history(run, sequence) WHERE run <> '';
CREATE TABLE outputs(
  state INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, type BLOB NOT NULL, sensitive INTEGER NOT NULL, sealed INTEGER NOT NULL,
  PRIMARY KEY(state, name)) WITHOUT ROWID;
CREATE TABLE runs(
  id TEXT PRIMARY KEY, stack TEXT NOT NULL, environment TEXT NOT NULL, status TEXT NOT NULL, created INTEGER NOT NULL,
  token INTEGER NOT NULL, cancelling INTEGER NOT NULL, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE journal(
  run TEXT NOT NULL, sequence INTEGER NOT NULL, time INTEGER NOT NULL, kind TEXT NOT NULL, step INTEGER NOT NULL, data BLOB,
  PRIMARY KEY(run, sequence)) WITHOUT ROWID;
CREATE TABLE claims(
  state INTEGER NOT NULL, address TEXT NOT NULL, deposed TEXT NOT NULL, run TEXT NOT NULL,
  PRIMARY KEY(state, address, deposed)) WITHOUT ROWID;
CREATE INDEX claims_run ON claims(run);
CREATE TABLE events(
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, source TEXT NOT NULL, type TEXT NOT NULL,
  subject TEXT NOT NULL, time INTEGER NOT NULL, data BLOB);
CREATE TABLE blobs(name TEXT PRIMARY KEY, data BLOB NOT NULL);
`

// layout2 keeps the number of a deleted environment and goes on counting where
// it is made anew: its history stays its own, and a row version never comes
// back. version is the last one given to rows; the serial is the user's, and
// may be set back.
const layout2 = `
ALTER TABLE states ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE states ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
UPDATE states SET version = serial;
`

// layout3 has the instants of schedules that were seen to: the primary key lets
// each be taken once.
const layout3 = `
CREATE TABLE fires(
  schedule TEXT NOT NULL, at INTEGER NOT NULL, run TEXT NOT NULL, status TEXT NOT NULL,
  PRIMARY KEY(schedule, at)) WITHOUT ROWID;
`

// layoutSteps adds what steps of machines leave behind and wait for. A journal
// entry's secrecy is one of those in journal.go. A ticket waits while granted is
// NULL. Passages are what a pool's rate counts, and outlive the tickets.
const layoutSteps = `
ALTER TABLE journal ADD COLUMN secrecy INTEGER NOT NULL DEFAULT 0;
CREATE TABLE logs(
  id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, step INTEGER NOT NULL, name TEXT NOT NULL,
  stream TEXT NOT NULL, time INTEGER NOT NULL, data BLOB);
CREATE INDEX logs_run ON logs(run, id);
CREATE TABLE artifacts(
  run TEXT NOT NULL, step INTEGER NOT NULL, path TEXT NOT NULL, name TEXT NOT NULL,
  digest TEXT NOT NULL, size INTEGER NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY(run, step, path)) WITHOUT ROWID;
CREATE TABLE signals(
  run TEXT NOT NULL, sequence INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, author TEXT NOT NULL,
  time INTEGER NOT NULL, data BLOB, sealed INTEGER NOT NULL,
  PRIMARY KEY(run, sequence)) WITHOUT ROWID;
CREATE TABLE tickets(
  id INTEGER PRIMARY KEY AUTOINCREMENT, pool TEXT NOT NULL, run TEXT NOT NULL, step INTEGER NOT NULL, name TEXT NOT NULL,
  priority INTEGER NOT NULL, places INTEGER NOT NULL, rate INTEGER NOT NULL, per INTEGER NOT NULL,
  asked INTEGER NOT NULL, granted INTEGER,
  UNIQUE(run, step));
CREATE INDEX tickets_pool ON tickets(pool, run);
CREATE INDEX tickets_queue ON tickets(pool, granted, priority DESC, id);
CREATE INDEX tickets_in ON tickets(run, step) WHERE granted IS NOT NULL;
CREATE TABLE passages(pool TEXT NOT NULL, at INTEGER NOT NULL, expires INTEGER NOT NULL);
CREATE INDEX passages_pool ON passages(pool, at);
CREATE TABLE cache(
  key TEXT PRIMARY KEY, data BLOB NOT NULL, sealed INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX cache_expires ON cache(expires) WHERE expires <> 0;
`

// layoutUnended finds the runs that somebody has to drive, however many have
// ended, and lets blobs be sealed.
const layoutUnended = `
ALTER TABLE blobs ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_unended ON runs(created, id) WHERE status NOT IN ` + endedStatuses + `;
`

// layoutSchedules adds what is known of schedules themselves, which instants
// somebody has to see to, and windows of time that are done again.
const layoutSchedules = `
ALTER TABLE fires ADD COLUMN backfill INTEGER NOT NULL DEFAULT 0;
CREATE INDEX fires_open ON fires(schedule, at) WHERE status IN ` + openFires + `;
CREATE TABLE schedules(name TEXT PRIMARY KEY, expression TEXT NOT NULL, upto INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE backfills(
  schedule TEXT NOT NULL, number INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, ended INTEGER NOT NULL,
  PRIMARY KEY(schedule, number)) WITHOUT ROWID;
`

// layoutLocks adds the locks that other tools hold.
const layoutLocks = `
CREATE TABLE locks(state INTEGER PRIMARY KEY, id TEXT NOT NULL, info BLOB NOT NULL);
`

// What is asked of runs and is in their documents.
const (
	runDocument  = "CAST(document AS TEXT)"
	runKind      = "json_extract(" + runDocument + ", '$.Kind')"
	runParent    = "json_extract(" + runDocument + ", '$.Parent')"
	runWaits     = "json_extract(" + runDocument + ", '$.Waits')"
	runWorkflow  = "json_extract(" + runDocument + ", '$.Workflow')"
	changesState = "coalesce(json_extract(" + runDocument + ", '$.Blob'), '') NOT LIKE 'definition/%'"
)

// layoutRuns finds runs by what they are of, however many there are, and has those of
// workflows say so: until now only the line about them did.
const layoutRuns = `
UPDATE runs SET document = CAST(json_set(` + runDocument + `, '$.Workflow', rtrim(substr(line, 10, instr(substr(line, 10) || ' ', ' ') - 1), ',')) AS BLOB)
  FROM (SELECT id AS told, json_extract(` + runDocument + `, '$.Summary') AS line FROM runs) WHERE told = id AND ` + runKind + ` = 'workflow' AND line LIKE 'workflow %' AND line NOT LIKE 'workflow %.json';
CREATE INDEX runs_created ON runs(created, id);
CREATE INDEX runs_environment ON runs(environment, created, id);
CREATE INDEX runs_state ON runs(stack, environment, created, id) WHERE ` + changesState + `;
CREATE INDEX runs_workflow ON runs(` + runWorkflow + `, created, id) WHERE ` + runWorkflow + ` IS NOT NULL;
CREATE INDEX runs_parent ON runs(` + runParent + `, created, id) WHERE ` + runParent + ` IS NOT NULL;
`

// layoutTimes finds runs by how they stand, and when they ended, and events by when they
// happened. When runs of before ended is known to the millisecond.
const layoutTimes = `
ALTER TABLE runs ADD COLUMN ended INTEGER;
UPDATE runs SET ended = CAST(unixepoch(json_extract(` + runDocument + `, '$.Ended'), 'subsec') * 1000 AS INTEGER) * 1000000 WHERE status IN ` + endedStatuses + ` AND json_extract(` + runDocument + `, '$.Ended') NOT LIKE '0001-%';
CREATE INDEX runs_ended ON runs(status, ended) WHERE ended IS NOT NULL;
CREATE INDEX runs_status ON runs(status, created, id);
CREATE INDEX events_time ON events(time);
`

// ErrLayout says that a store has a layout that this version of the program does not
// know.
var ErrLayout = errors.New("it was written by a newer version of this program")

// layoutOf reads which layout a file has; 0 for an empty one.
func layoutOf(ctx context.Context, conn *sql.Conn) (int, error) {
	var have int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return 0, plainly(err)
	}
	if have > len(migrations) {
		return have, fmt.Errorf("%w (layout %d, this program knows %d)", ErrLayout, have, len(migrations))
	}
	return have, nil
}

// migrate brings a file to this program's layout, inside a transaction.
func migrate(ctx context.Context, conn *sql.Conn) error {
	if errMarks != nil {
		return errMarks
	}
	// Another process may have been faster.
	have, err := layoutOf(ctx, conn)
	if err != nil {
		return err
	}
	for ; have < len(migrations); have++ {
		if _, err := conn.ExecContext(ctx, migrations[have]); err != nil {
			return err
		}
	}
	if err := chainPending(ctx, conn); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(migrations)))
	return err
}
