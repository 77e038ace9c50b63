package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// folder is where the things are.
type folder string

// stored is a thing on disk.
type stored struct {
	Value    string `json:"value"`
	Revision int64  `json:"revision"`
	Tag      string `json:"tag,omitempty"`
}

func (f folder) path(kind, id string) string { return filepath.Join(string(f), kind+"."+id+".json") }

// log notes that an operation had its effect. A short line appended at once stays
// in one piece, whoever else writes.
func (f folder) log(operation, kind, id, value string) error {
	file, err := os.OpenFile(filepath.Join(string(f), "operations.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%s %s %s %s\n", operation, kind, id, value)
	return errors.Join(err, file.Close())
}

// create makes a thing that must not exist.
func (f folder) create(kind, id string, s stored) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	// Complete, or not there at all: whoever looks sees no half of it.
	draft, err := os.CreateTemp(string(f), ".draft-*")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	_, err = draft.Write(data)
	if err = errors.Join(err, draft.Close()); err != nil {
		return err
	}
	if err := os.Link(draft.Name(), f.path(kind, id)); err != nil {
		return fmt.Errorf("%s %s exists already: %w", kind, id, err)
	}
	return f.log("create", kind, id, s.Value)
}

// read returns fs.ErrNotExist where there is no such thing.
func (f folder) read(kind, id string) (stored, error) {
	var s stored
	data, err := os.ReadFile(f.path(kind, id))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	return s, err
}

func (f folder) update(kind, id, value string) (stored, error) {
	s, err := f.read(kind, id)
	if err != nil || s.Value == value {
		return s, err // what the thing says is as it shall be: nothing is written
	}
	s.Value, s.Revision = value, s.Revision+1
	data, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	draft := f.path(kind, id) + ".new"
	if err := os.WriteFile(draft, data, 0o600); err != nil {
		return s, err
	}
	if err := os.Rename(draft, f.path(kind, id)); err != nil {
		return s, err
	}
	return s, f.log("update", kind, id, value)
}

func (f folder) remove(kind, id string) error {
	if err := os.Remove(f.path(kind, id)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return f.log("delete", kind, id, "")
}

// refuse reports whether an operation is to fail: the first times it is tried.
func (f folder) refuse(kind, id string, times int64) (bool, error) {
	if times == 0 {
		return false, nil
	}
	file, err := os.OpenFile(filepath.Join(string(f), kind+"."+id+".tries"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() >= times {
		return false, err
	}
	_, err = file.WriteString(".")
	return true, err
}

// pause lasts some milliseconds.
func pause(milliseconds int64) { time.Sleep(time.Duration(milliseconds) * time.Millisecond) }
