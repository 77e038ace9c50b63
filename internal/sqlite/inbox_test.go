package sqlite

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
)

func TestEventStore(t *testing.T) {
	t.Parallel()
	runstest.CheckEventStore(t, open(t, t.TempDir()))
}

// TestNothingIsSearchedRowByRow: what is asked for all the time is found by an index,
// and comes from it in order.
func TestNothingIsSearchedRowByRow(t *testing.T) {
	ctx, s := t.Context(), open(t, t.TempDir())
	if _, err := s.writing(ctx); err != nil {
		t.Fatal(err)
	}
	type query struct {
		text string
		args []any
	}
	list := []query{
		{fedRows, []any{1, 2}},
		{"SELECT sequence FROM marks WHERE mark = ?", []any{[]byte("x")}},
		{"SELECT id FROM deliveries WHERE notify = ? AND status = 'pending' ORDER BY id LIMIT 1", []any{"n"}},
	}
	for _, q := range []runs.FiringQuery{
		{Status: runs.FiringDue}, {Status: runs.FiringDead, Before: 9}, {Trigger: "t"}, {Trigger: "t", Status: runs.FiringDead, Before: 9}, {Event: 7}, {Event: 7, Trigger: "t"}, {Before: 9},
	} {
		text, args := firingSelection(q)
		list = append(list, query{"SELECT document, status FROM firings " + text, args})
	}
	for _, q := range []runs.DeliveryQuery{{Notify: "n"}, {Status: runs.DeliveryDead}, {Notify: "n", Status: runs.DeliveryDead, Before: 9}, {Before: 9}} {
		text, args := deliverySelection(q)
		list = append(list, query{"SELECT id, problem FROM deliveries " + text, args})
	}
	for _, q := range []runs.EventQuery{{After: 5}, {Type: "a"}, {Type: "a", After: 5}, {Type: "a*"}, {Subject: "s"}, {Subject: "s", Type: "a", After: 5}} {
		for _, newest := range []bool{false, true} {
			q.Newest = newest
			text, args := eventSelection(q)
			list = append(list, query{"SELECT " + linkRow + " FROM events " + text, args})
			q.Before, q.Since = 7, time.Now()
			text, args = eventSelection(q)
			list = append(list, query{"SELECT " + linkRow + " FROM events " + text, args})
		}
	}
	for _, q := range list {
		err := s.list(ctx, "EXPLAIN QUERY PLAN "+q.text, q.args, func(rows *sql.Rows) error {
			var id, parent, unused int
			var detail string
			err := rows.Scan(&id, &parent, &unused, &detail)
			if strings.Contains(detail, "SCAN") || strings.Contains(detail, "TEMP B-TREE FOR ORDER BY") {
				t.Errorf("%s\n%s", q.text, detail)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
