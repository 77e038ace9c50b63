package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// Pruned is what was removed, or would be.
type Pruned struct {
	Runs       []string // oldest first; what they changed, and that they were, stays
	Firings    int      // of triggers, dead letters among them
	Deliveries int      // that were made, or are dead
	Freed      int64    // bytes of the file that what is written next takes
}

const (
	pruneTogether = 200  // runs that are marked in one transaction
	pruneRows     = 2000 // rows that are removed in one: others wait for no more than that
	prunePieces   = 100  // the same of what may be big
)

// Prune removes what is only needed to go on with runs or to look at them closely:
// journals, logs, signals, artifacts and plans of runs that ended before an instant,
// as did the runs that they are steps of. The runs themselves stay, marked as pruned,
// and so do the history of objects, definitions of workflows, and all events. With
// them go firings of triggers and deliveries that are done with or dead, and older.
//
// A run is marked before anything of it is removed, and the feed is told in the same
// transaction; what was cut off is finished by the next call. Where only is asked for,
// nothing is removed. by is who does it.
func (s *Store) Prune(ctx context.Context, before time.Time, by string, only bool) (Pruned, error) {
	fail := func(err error) (Pruned, error) { return Pruned{}, fmt.Errorf("cannot prune the store: %w", err) }
	all, err := s.storedRuns(ctx, "ORDER BY created, id")
	if err != nil {
		return fail(err)
	}
	out := Pruned{Runs: prunable(all, before)}
	if only {
		if out.Firings, err = s.count(ctx, oldFirings, before); err == nil {
			out.Deliveries, err = s.count(ctx, oldDeliveries, before)
		}
		if err != nil {
			return fail(err)
		}
		return out, nil
	}
	if blank, err := s.blankStill(ctx); err != nil || blank {
		return out, err
	}
	free, err := s.freeBytes(ctx)
	if err != nil {
		return fail(err)
	}
	for ids := range slices.Chunk(out.Runs, pruneTogether) {
		if err := s.markPruned(ctx, ids, before, by); err != nil {
			return fail(err)
		}
		if err := s.removeRecords(ctx, ids); err != nil {
			return fail(err)
		}
	}
	left, err := s.halfPruned(ctx, all)
	if err == nil {
		err = s.removeRecords(ctx, left)
	}
	if err == nil {
		err = s.removeBlobs(ctx, before)
	}
	if err == nil {
		out.Firings, err = s.removeOld(ctx, oldFirings, before, by)
	}
	if err == nil {
		out.Deliveries, err = s.removeOld(ctx, oldDeliveries, before, by)
	}
	if err != nil {
		return fail(err)
	}
	now, err := s.freeBytes(ctx)
	if err != nil {
		return fail(err)
	}
	out.Freed = max(0, now-free)
	return out, nil
}

// prunable names the runs that ended before an instant, they and the runs that they
// are steps of.
func prunable(all []runs.Run, before time.Time) (out []string) {
	byID := make(map[string]*runs.Run, len(all))
	for i := range all {
		byID[all[i].ID] = &all[i]
	}
	for i := range all {
		old := true
		for r := &all[i]; r != nil && old; r = byID[r.Parent] {
			old = r.Status.Ended() && r.Ended.Before(before)
		}
		if old && all[i].Pruned.IsZero() {
			out = append(out, all[i].ID)
		}
	}
	return out
}

// prunedData is what the feed is told of what is pruned.
type prunedData struct {
	Runs       []string `json:"runs,omitempty"`
	Firings    int64    `json:"firings,omitempty"`
	Deliveries int64    `json:"deliveries,omitempty"`
}

func prunedEvent(before time.Time, by string, what prunedData) events.Event {
	return storeEvent("store.pruned", before.UTC().Format(time.RFC3339), by, what)
}

// markPruned marks runs, from when on nobody reads their journals any more.
func (s *Store) markPruned(ctx context.Context, ids []string, before time.Time, by string) error {
	return s.write(ctx, func(tx *transaction) error {
		marked := prunedData{}
		for _, id := range ids {
			var document []byte
			if found, err := tx.row("SELECT document FROM runs WHERE id = ?", []any{id}, &document); err != nil || !found {
				return err
			}
			var run runs.Run
			if err := json.Unmarshal(document, &run); err != nil {
				return fmt.Errorf("run %s is damaged: %w", id, err)
			}
			if !run.Pruned.IsZero() {
				continue // somebody else prunes as well
			}
			run.Pruned = s.now().UTC()
			document, err := json.Marshal(run)
			if err != nil {
				return err
			}
			if _, err := tx.exec("UPDATE runs SET document = ? WHERE id = ?", document, id); err != nil {
				return err
			}
			marked.Runs = append(marked.Runs, id)
		}
		if len(marked.Runs) == 0 {
			return nil
		}
		return s.appendEvents(tx, []events.Event{prunedEvent(before, by, marked)})
	})
}

// halfPruned names the runs that were marked and of which something is there still.
func (s *Store) halfPruned(ctx context.Context, all []runs.Run) (out []string, err error) {
	var marked []string
	for _, r := range all {
		if !r.Pruned.IsZero() {
			marked = append(marked, r.ID)
		}
	}
	var there []string
	for _, t := range prunedTables {
		there = append(there, "EXISTS(SELECT 1 FROM "+t.name+" WHERE run = value)")
	}
	err = s.list(ctx, "SELECT value FROM json_each(?) WHERE "+strings.Join(there, " OR "), []any{idList(marked)}, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		out = append(out, id)
		return err
	})
	return out, err
}

// idList is a parameter for json_each.
func idList(ids []string) string {
	text, _ := json.Marshal(append([]string{}, ids...)) // texts
	return string(text)
}

// prunedTables have what is kept of a run besides the run itself.
var prunedTables = [...]struct {
	name, keys string
	rows       int // removed in one transaction
}{
	{"journal", "run, sequence", pruneRows},
	{"signals", "run, sequence", pruneRows},
	{"artifacts", "run, step, path", pruneRows},
	{"logs", "id", prunePieces},
}

// removeRecords removes what is kept of runs that are marked.
func (s *Store) removeRecords(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	list := idList(ids)
	for _, t := range prunedTables {
		query := "DELETE FROM " + t.name + " WHERE (" + t.keys + ") IN (SELECT " + t.keys + " FROM " + t.name + " WHERE run IN (SELECT value FROM json_each(?)) LIMIT ?)"
		if err := s.removeInTurns(ctx, query, list, t.rows); err != nil {
			return err
		}
	}
	return nil
}

// removeInTurns removes rows, a few in each transaction, until there are no more.
func (s *Store) removeInTurns(ctx context.Context, query string, args ...any) error {
	for {
		var removed int64
		err := s.write(ctx, func(tx *transaction) (err error) {
			removed, err = tx.exec(query, args...)
			return err
		})
		if err != nil || removed == 0 {
			return err
		}
	}
}

// unneeded are the blobs that nothing refers to: of plans by their runs, of artifacts.
// What is put in comes with what refers to it in one transaction.
const unneeded = `DELETE FROM blobs WHERE name IN (SELECT name FROM blobs WHERE
  name GLOB 'plan/*' AND name NOT IN (SELECT coalesce(json_extract(CAST(document AS TEXT), '$.Blob'), '') FROM runs WHERE json_extract(CAST(document AS TEXT), '$.Pruned') IS NULL)
  OR name GLOB 'artifact/*' AND name NOT IN (SELECT 'artifact/' || digest FROM artifacts)
  LIMIT ?)`

// removeBlobs removes the blobs that nothing refers to any more, and cached results
// that have expired.
func (s *Store) removeBlobs(ctx context.Context, before time.Time) error {
	if err := s.removeInTurns(ctx, unneeded, prunePieces); err != nil {
		return err
	}
	plans, err := s.unusedStackPlans(ctx, before)
	if err == nil {
		err = s.removeInTurns(ctx, "DELETE FROM blobs WHERE name IN (SELECT name FROM blobs WHERE name IN (SELECT value FROM json_each(?)) LIMIT ?)", idList(plans), prunePieces)
	}
	if err != nil {
		return err
	}
	return s.removeInTurns(ctx, "DELETE FROM cache WHERE key IN (SELECT key FROM cache WHERE expires <> 0 AND expires <= ? LIMIT ?)", s.now().UnixNano(), pruneRows)
}

// stackPlans begins the names of plans of several stacks, which steps of workflows
// make and others, of later runs even, carry out; a digest follows.
const stackPlans = "stacks/"

// unusedStackPlans names the plans of stacks made before an instant that no journal and
// no cached result speaks of. A plan made anew has another digest: what is in none by
// now comes into none. Where something cannot be read, nothing is known to be unused.
func (s *Store) unusedStackPlans(ctx context.Context, before time.Time) (out []string, err error) {
	old := map[string]bool{} // by digest
	var names []string
	err = s.list(ctx, "SELECT name FROM blobs WHERE name GLOB ?", []any{stackPlans + "*"}, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := s.Blob(ctx, name)
		if err != nil {
			continue // removed meanwhile
		}
		if p, err := stacks.DecodePlan(data, s.hider); err == nil && p.Created.Before(before) {
			old[strings.TrimPrefix(name, stackPlans)] = true
		}
	}
	if len(old) == 0 {
		return nil, nil
	}
	all, err := s.storedRuns(ctx, "ORDER BY created, id")
	if err != nil {
		return nil, err
	}
	spoken := func(data []byte) {
		for digest := range old {
			if bytes.Contains(data, []byte(digest)) {
				delete(old, digest)
			}
		}
	}
	err = s.list(ctx, "SELECT data, sealed FROM cache", nil, func(rows *sql.Rows) error {
		var data []byte
		var isSealed bool
		if err := rows.Scan(&data, &isSealed); err != nil {
			return err
		}
		if isSealed {
			if data, err = s.unseal(data); err != nil {
				return nil //nolint:nilerr // what cannot be unsealed is not there
			}
		}
		spoken(data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if !r.Machine() || !r.Pruned.IsZero() {
			continue
		}
		err := s.Each(ctx, r.ID, 0, func(e workflow.Entry) error {
			spoken(e.Data)
			return nil
		})
		if err != nil {
			return nil, nil //nolint:nilerr // it is sealed with another key, and may speak of any
		}
	}
	for digest := range old {
		out = append(out, stackPlans+digest)
	}
	return out, nil
}

// oldRows are rows that nobody needs once they are old.
type oldRows struct {
	table string
	key   []string // columns that tell them apart
	first string   // a key before all others, as a JSON array
	done  string   // what holds of those that nothing is to come of
	at    string   // their instant, in seconds
	told  func(removed int64) prunedData
}

var (
	// oldFirings are firings whose runs were made, or that are dead or were done again.
	// Their events stay, and what they are known by: nothing fires for them again.
	oldFirings = oldRows{
		table: "firings", key: []string{"event", "trigger"}, first: `[0,""]`,
		done: "status <> '" + string(runs.FiringDue) + "'", at: "unixepoch(json_extract(CAST(document AS TEXT), '$.At'))",
		told: func(n int64) prunedData { return prunedData{Firings: n} },
	}
	// oldDeliveries are those that were made, or are dead. How far the feed was looked
	// at stays: none is made again.
	oldDeliveries = oldRows{
		table: "deliveries", key: []string{"id"}, first: `[0]`,
		done: "status <> '" + string(runs.DeliveryPending) + "'", at: "ended / 1000000000",
		told: func(n int64) prunedData { return prunedData{Deliveries: n} },
	}
)

// count is how many there are from before an instant.
func (s *Store) count(ctx context.Context, o oldRows, before time.Time) (n int, err error) {
	err = s.list(ctx, "SELECT count(*) FROM "+o.table+" WHERE "+o.done+" AND "+o.at+" < ?", []any{before.Unix()}, func(rows *sql.Rows) error { return rows.Scan(&n) })
	return n, err
}

// removeOld removes rows from before an instant, a few in each transaction, and tells
// of it there. The table is gone through once.
func (s *Store) removeOld(ctx context.Context, o oldRows, before time.Time, by string) (removed int, err error) {
	of := func(array string) string { // the parts of a key
		parts := make([]string, len(o.key))
		for i := range parts {
			parts[i] = array + " ->> " + strconv.Itoa(i)
		}
		return strings.Join(parts, ", ")
	}
	key := strings.Join(o.key, ", ")
	list := "SELECT json_array(" + key + ") FROM " + o.table + " WHERE (" + key + ") > (" + of("?1") + ") AND " + o.done + " AND " + o.at + " < ?2 ORDER BY " + key + " LIMIT ?3"
	remove := "DELETE FROM " + o.table + " WHERE " + o.done + " AND (" + key + ") IN (SELECT " + of("value") + " FROM json_each(?))"
	for last := o.first; ; {
		var keys []string
		err := s.list(ctx, list, []any{last, before.Unix(), pruneRows}, func(rows *sql.Rows) error {
			err := rows.Scan(&last)
			keys = append(keys, last)
			return err
		})
		if err != nil || len(keys) == 0 {
			return removed, err
		}
		var gone int64
		err = s.write(ctx, func(tx *transaction) error {
			var err error
			if gone, err = tx.exec(remove, "["+strings.Join(keys, ",")+"]"); err != nil || gone == 0 {
				return err
			}
			return s.appendEvents(tx, []events.Event{prunedEvent(before, by, o.told(gone))})
		})
		if err != nil {
			return removed, err
		}
		removed += int(gone)
	}
}

// blankStill reports whether nothing was ever written.
func (s *Store) blankStill(ctx context.Context) (bool, error) {
	db, err := s.reading(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return db == s.blank, err
}

// freeBytes is how much of the file is free to be written to.
func (s *Store) freeBytes(ctx context.Context) (int64, error) {
	db, err := s.reading(ctx)
	if err != nil {
		return 0, err
	}
	var pages, size int64
	err = db.QueryRowContext(ctx, "SELECT freelist_count, page_size FROM pragma_freelist_count, pragma_page_size").Scan(&pages, &size)
	return pages * size, err
}
