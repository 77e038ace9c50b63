package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/secrets"
	"github.com/tutti-dev/tutti/internal/stacks"
)

// sealedTable is a table with values that are sealed. Whoever adds one, or a
// column, adds it here: the key could not be changed otherwise.
type sealedTable struct {
	name    string
	keys    []string
	columns []sealedColumn
}

type (
	sealFunc func(sealed, beside []byte) ([]byte, error)
	openFunc func(sealed []byte) ([]byte, error)
)

// sealedColumn is where sealed values are.
type sealedColumn struct {
	name   string
	when   string // in which rows it may be
	beside string // the column it is bound to; NULL for none
	// offset is where the seal begins in the value, from 1, as an expression.
	offset string
	reseal func(data, beside []byte, reseal sealFunc, open openFunc) ([]byte, error)
}

func plainSeal(data, beside []byte, reseal sealFunc, _ openFunc) ([]byte, error) {
	return reseal(data, beside)
}

func sealedIn(name, when string) sealedColumn {
	return sealedColumn{name: name, when: when, beside: "NULL", offset: "1", reseal: plainSeal}
}

// rowColumns are those of rows of states, now and before.
var rowColumns = []sealedColumn{
	{name: "sealed", when: "sealed IS NOT NULL", beside: "attributes", offset: "1", reseal: plainSeal},
	sealedIn("private", "private_sealed AND private IS NOT NULL"),
	sealedIn("flatmap", "private_sealed AND flatmap IS NOT NULL"),
}

var sealedTables = [...]sealedTable{
	{"instances", []string{"state", "address", "deposed"}, rowColumns},
	{"history", []string{"id"}, rowColumns},
	{"outputs", []string{"state", "name"}, []sealedColumn{sealedIn("value", "sealed")}},
	{"journal", []string{"run", "sequence"}, []sealedColumn{
		sealedIn("data", fmt.Sprintf("secrecy = %d", secretSealed)),
		// In base64, so nothing guards it; its plan, written with it, is guarded.
		{name: "data", when: "secrecy = 0 AND data LIKE '{\"late\":%'", beside: "NULL", offset: "NULL", reseal: resealLate},
	}},
	{"signals", []string{"run", "sequence"}, []sealedColumn{sealedIn("data", "sealed")}},
	{"cache", []string{"key"}, []sealedColumn{sealedIn("data", "sealed")}},
	{"blobs", []string{"name"}, []sealedColumn{
		sealedIn("data", "sealed"),
		{name: "data", when: "NOT sealed AND substr(data, 1, 6) = CAST('TUTTI ' AS BLOB)", beside: "NULL", offset: "CASE substr(data, 7, 4) WHEN CAST('PROJ' AS BLOB) THEN 54 ELSE 46 END", reseal: resealPlan},
	}},
	{"secrets", []string{"environment", "name", "version"}, []sealedColumn{sealedIn("data", "data IS NOT NULL")}},
}

// resealPlan is for plans of a stack and of several.
func resealPlan(data, _ []byte, reseal sealFunc, open openFunc) ([]byte, error) {
	one := func(sealed []byte) ([]byte, error) { return reseal(sealed, nil) }
	if stacks.IsPlan(data) {
		return stacks.Reseal(data, open, one)
	}
	out, err := plans.Reseal(data, one)
	if errors.Is(err, plans.ErrNotPlan) {
		return data, nil // an artifact that begins like one
	}
	return out, err
}

// resealLate is for the entry that starts the run of a plan with late values.
func resealLate(data, _ []byte, reseal sealFunc, _ openFunc) ([]byte, error) {
	var start map[string]json.RawMessage
	var late []byte
	if json.Unmarshal(data, &start) != nil || json.Unmarshal(start["late"], &late) != nil || !plans.IsSealed(late) {
		return data, nil
	}
	out, err := plans.Reseal(late, func(sealed []byte) ([]byte, error) { return reseal(sealed, nil) })
	if err != nil || bytes.Equal(out, late) {
		return data, err
	}
	if start["late"], err = json.Marshal(out); err != nil {
		return nil, err
	}
	return json.Marshal(start)
}

// keyOf is the id of the key of a seal.
func keyOf(sealed []byte) string { return secrets.KeyOf(sealed) }

// key is the expression for the id of the key that sealed a column; row is what
// stands before column names.
func (c *sealedColumn) key(row string) string {
	name, offset := row+c.name, c.offset
	if row != "" {
		offset = strings.ReplaceAll(offset, "substr(data", "substr("+name)
	}
	return "lower(hex(substr(" + name + ", 1 + " + offset + ", 8)))"
}

// where compares the keys of rows with parameters.
func (t *sealedTable) where(operator string) string {
	return "(" + strings.Join(t.keys, ", ") + ") " + operator + " (" + strings.TrimSuffix(strings.Repeat("?, ", len(t.keys)), ", ") + ")"
}

// sealedRow has the keys of a row and, for each column, its value and what is
// beside it; both nil where it is not sealed.
type sealedRow struct {
	keys   []any
	values [][]byte
}

// read returns rows behind the one with the keys given, in order.
func (t *sealedTable) read(tx *transaction, after []any, limit int) ([]sealedRow, error) {
	var columns, when []string
	columns = append(columns, t.keys...)
	for _, c := range t.columns {
		columns = append(columns, "CASE WHEN "+c.when+" THEN "+c.name+" END", c.beside)
		when = append(when, "("+c.when+")")
	}
	query := "SELECT " + strings.Join(columns, ", ") + " FROM " + t.name + " WHERE (" + strings.Join(when, " OR ") + ")"
	if after != nil {
		query += " AND " + t.where(">")
	}
	stmt, err := tx.statement(query + " ORDER BY " + strings.Join(t.keys, ", ") + " LIMIT ?")
	if err != nil {
		return nil, err
	}
	rows, err := stmt.Query(append(append([]any{}, after...), limit)...)
	if err != nil {
		return nil, fmt.Errorf("cannot read the store: %w", err)
	}
	defer rows.Close()
	var out []sealedRow
	for rows.Next() {
		row := sealedRow{keys: make([]any, len(t.keys)), values: make([][]byte, 2*len(t.columns))}
		var into []any
		for i := range row.keys {
			into = append(into, &row.keys[i])
		}
		for i := range row.values {
			into = append(into, &row.values[i])
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("cannot read the store: %w", err)
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// guard makes the store refuse what retired keys have sealed: a program that was
// started before the key was changed must not write what nobody can read.
func (t *sealedTable) guard(tx *transaction) error {
	for i, c := range t.columns {
		if c.offset == "NULL" {
			continue
		}
		when := qualify(c.when)
		for _, event := range []string{"INSERT", "UPDATE"} {
			name := fmt.Sprintf("retired_%s_%d_%s", t.name, i, strings.ToLower(event))
			_, err := tx.w.conn.ExecContext(context.Background(), "CREATE TRIGGER IF NOT EXISTS "+name+" BEFORE "+event+" ON "+t.name+
				" WHEN ("+when+") AND EXISTS(SELECT 1 FROM retired WHERE effective = 1 AND retired.key = "+c.key("NEW.")+
				") BEGIN SELECT RAISE(ABORT, 'the key was changed, and this program has a former one: start it again with the new key'); END")
			if err != nil {
				return fmt.Errorf("cannot change the layout of the store: %w", err)
			}
		}
	}
	return nil
}

// qualify makes a condition on columns one on the new row of a trigger.
func qualify(when string) string {
	for _, column := range []string{"private_sealed", "secrecy", "flatmap", "data"} {
		when = strings.ReplaceAll(when, column, "NEW."+column)
	}
	when = strings.ReplaceAll(when, "AND private ", "AND NEW.private ")
	switch {
	case when == "sealed", when == "sealed IS NOT NULL":
		return "NEW." + when
	case strings.HasPrefix(when, "NOT sealed"):
		return "NOT NEW." + strings.TrimPrefix(when, "NOT ")
	}
	return when
}
