package cost

import (
	"bytes"
	"embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"

	"github.com/tutti-dev/tutti/internal/diag"
)

//go:embed prices/*.csv
var embedded embed.FS

// everyones is the file of what belongs to no provider in particular.
const everyones = "free.csv"

// Defaults returns the prices that come with the program: those for providers,
// named by the last part of their source, or all where none is named.
func Defaults(providers ...string) ([]*Row, diag.List) {
	entries, err := embedded.ReadDir("prices")
	if err != nil {
		return nil, diag.FromError(err)
	}
	var rows []*Row
	var diags diag.List
	for _, e := range entries {
		provider := strings.TrimSuffix(e.Name(), ".csv")
		if len(providers) > 0 && e.Name() != everyones && !slices.Contains(providers, provider) {
			continue
		}
		src, err := embedded.ReadFile("prices/" + e.Name())
		if err != nil {
			return nil, diag.FromError(err)
		}
		list, d := ParseRows(e.Name(), src)
		rows, diags = append(rows, list...), append(diags, d...)
	}
	return rows, diags
}

// maxProblems is how many wrong rows of a file are reported one by one.
const maxProblems = 10

// ParseRows reads a file of prices: CSV with a line of column names, or JSON
// where the name ends in .json. Rows that are wrong are reported and left out.
func ParseRows(name string, src []byte) ([]*Row, diag.List) {
	var rows []*Row
	var diags diag.List
	wrong := 0
	add := func(where string, r *Row, err error) {
		if err == nil {
			err = r.check()
		}
		if err != nil {
			if wrong++; wrong <= maxProblems {
				diags = append(diags, diag.Errorf("Invalid price", "%s, %s: %s.", name, where, err)...)
			}
			return
		}
		r.where = name + ", " + where
		rows = append(rows, r)
	}
	var err error
	if strings.HasSuffix(name, ".json") {
		err = parseJSON(src, add)
	} else {
		err = parseCSV(src, add)
	}
	if err != nil {
		diags = append(diags, diag.Errorf("Cannot read prices", "%s: %s.", name, err)...)
	}
	if wrong > maxProblems {
		diags = append(diags, diag.Errorf("Invalid prices", "%s: %d more rows are wrong.", name, wrong-maxProblems)...)
	}
	return rows, diags
}

// columnsOf are the fields of a row by the names of columns.
func columnsOf(r *Row) map[string]*string {
	return map[string]*string{
		"provider": &r.Provider, "type": &r.Type, "region": &r.Region, "component": &r.Component, "each": &r.Each,
		"match": &r.Match, "quantity": &r.Quantity, "unit": &r.Unit, "currency": &r.Currency,
		"date": &r.Date, "source": &r.Source, "notes": &r.Notes,
	}
}

func columnNames() []string {
	names := []string{"price"}
	for name := range columnsOf(&Row{}) {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func parseCSV(src []byte, add func(string, *Row, error)) error {
	in := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(src, []byte("\ufeff"))))
	in.Comment, in.TrimLeadingSpace = '#', true
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("there is no line of column names")
	}
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, name := range header {
		header[i] = strings.ToLower(strings.TrimSpace(name))
		if columnsOf(&Row{})[header[i]] == nil && header[i] != "price" {
			return fmt.Errorf("there is no column %q; columns are %s", name, strings.Join(columnNames(), ", "))
		}
		if seen[header[i]] {
			return fmt.Errorf("the column %q is there twice", name)
		}
		seen[header[i]] = true
	}
	for _, name := range []string{"type", "unit", "price"} {
		if !seen[name] {
			return fmt.Errorf("the column %q is missing", name)
		}
	}
	in.FieldsPerRecord = len(header)
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line, _ := in.FieldPos(0)
		r := &Row{}
		var problem error
		fields := columnsOf(r)
		for i, name := range header {
			text := strings.TrimSpace(record[i])
			if name == "price" {
				r.Price, problem = ParseAmount(text)
				continue
			}
			*fields[name] = text
		}
		add(fmt.Sprintf("line %d", line), r, problem)
	}
}

// rowJSON is a row whose price may also be written as a number.
type rowJSON struct {
	Row
	Price json.RawMessage `json:"price"`
}

func parseJSON(src []byte, add func(string, *Row, error)) error {
	var doc struct {
		Prices []rowJSON `json:"prices"`
	}
	into := any(&doc)
	if text := bytes.TrimSpace(src); len(text) > 0 && text[0] == '[' {
		into = &doc.Prices
	}
	in := json.NewDecoder(bytes.NewReader(src))
	in.DisallowUnknownFields()
	if err := in.Decode(into); err != nil {
		return err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	for i := range doc.Prices {
		j := &doc.Prices[i]
		var err error
		j.Row.Price, err = ParseAmount(strings.Trim(string(j.Price), `"`))
		add(fmt.Sprintf("price %d", i+1), &j.Row, err)
	}
	return nil
}
