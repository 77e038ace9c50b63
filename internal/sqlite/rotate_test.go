package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/secrets"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
)

// vaultOf is a store with a keyring of its own, whose keys are files.
func vaultOf(t *testing.T, dir, config string) (*Store, *secrets.Keyring) {
	t.Helper()
	ring := secrets.NewKeyring(secrets.Options{Directory: config, Marker: filepath.Join(dir, "key")})
	s, err := Open(context.Background(), dir, Options{Hider: ring})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, ring
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const canary = "hunter2-canary"

// fillSealed puts something into every place that is sealed.
func fillSealed(t *testing.T, s *Store, ring *secrets.Keyring, count int) {
	t.Helper()
	ctx := context.Background()
	definition := runs.Run{ID: "flow", Kind: "workflow", Key: defaultKey, Status: runs.Running, Created: time.Now(), Blob: "definition/flow"}
	_, err := s.Start(ctx, definition, []byte("definition "+canary), runs.Claim{}, nil)
	must(t, err)
	lease := start(t, s, "run")
	late, err := plans.EncodeValues(map[string]cty.Value{"v": cty.StringVal(canary)}, ring)
	must(t, err)
	begin, err := json.Marshal(map[string][]byte{"late": late})
	must(t, err)
	first := commit(lease, 1)
	first.Entries[0].Kind, first.Entries[0].Data = workflow.RunStarted, begin
	must(t, s.Commit(ctx, []runs.Commit{first}))
	for i := range count {
		inst := instance(fmt.Sprint("x", i), canary)
		inst.SensitivePaths, inst.Private = []cty.Path{cty.GetAttrPath("id")}, []byte(canary)
		c := commit(lease, int64(i+2), states.Change{Object: object(fmt.Sprint("x", i)), After: inst})
		c.Entries[0].Data, c.Entries[0].Sensitive = json.RawMessage(`{"outputs":"`+canary+`"}`), true
		must(t, s.Commit(ctx, []runs.Commit{c}))
		_, err := s.Signal(ctx, "run", workflow.Signal{Kind: "event", Name: "e", Data: json.RawMessage(`"` + canary + `"`), Time: time.Now()})
		must(t, err)
		must(t, s.Cache(ctx, fmt.Sprint("k", i), json.RawMessage(`"`+canary+`"`), true, time.Time{}))
		_, err = s.SetSecret(ctx, "prod", "db", []byte(canary), "ada")
		must(t, err)
	}
	must(t, s.PutBlob(ctx, "plan/values", late))
	part, err := plans.Encode(&plans.Plan{}, ring)
	must(t, err)
	shared := &stacks.Plan{Environment: "prod", Stacks: []stacks.StackPlan{{Name: "a", Encoded: part}}}
	data, err := shared.Encode(ring)
	must(t, err)
	must(t, s.PutBlob(ctx, "stacks/shared", data))
}

// checkSealed reads all of it.
func checkSealed(t *testing.T, s *Store, ring *secrets.Keyring, count int) {
	t.Helper()
	ctx := context.Background()
	st, err := s.State(ctx, defaultKey)
	must(t, err)
	if len(st.Problems) > 0 || len(st.Instances) != count {
		t.Fatalf("%d objects, problems %v", len(st.Instances), st.Problems)
	}
	for _, inst := range st.Instances {
		if !strings.Contains(string(inst.Attributes), canary) || string(inst.Private) != canary {
			t.Fatalf("attributes %s, private %s", inst.Attributes, inst.Private)
		}
	}
	entries, err := s.Read(ctx, "run", 0)
	must(t, err)
	var begin map[string][]byte
	must(t, json.Unmarshal(entries[0].Data, &begin))
	for _, data := range [][]byte{begin["late"], mustBlob(t, s, "plan/values")} {
		values, err := plans.DecodeValues(data, ring)
		if err != nil || values["v"].AsString() != canary {
			t.Fatal(values, err)
		}
	}
	for _, e := range entries[1:] {
		if !strings.Contains(string(e.Data), canary) {
			t.Fatalf("entry %d: %s", e.Sequence, e.Data)
		}
	}
	signals, err := s.Signals(ctx, "run", 0)
	if err != nil || len(signals) != count {
		t.Fatal(len(signals), err)
	}
	for i := range count {
		if data, ok, err := s.Cached(ctx, fmt.Sprint("k", i), time.Now()); !ok || err != nil || !strings.Contains(string(data), canary) {
			t.Fatal(string(data), ok, err)
		}
		if value, _, err := s.SecretAt(ctx, "prod", "db", i+1); err != nil || string(value) != canary {
			t.Fatal(string(value), err)
		}
	}
	if text := mustBlob(t, s, "definition/flow"); string(text) != "definition "+canary {
		t.Fatalf("definition %s", text)
	}
	shared, err := stacks.DecodePlan(mustBlob(t, s, "stacks/shared"), ring)
	must(t, err)
	if _, err := plans.Decode(shared.Stacks[0].Encoded, ring); err != nil {
		t.Fatal(err)
	}
}

func mustBlob(t *testing.T, s *Store, name string) []byte {
	t.Helper()
	data, err := s.Blob(context.Background(), name)
	must(t, err)
	return data
}

// sealedBy counts the seals of a key, as they lie in the file.
func sealedBy(t *testing.T, s *Store, key string) (own, all int) {
	t.Helper()
	must(t, s.write(context.Background(), func(tx *transaction) error {
		own, all = 0, 0
		for i := range sealedTables {
			rows, err := sealedTables[i].read(tx, nil, 1<<30)
			if err != nil {
				return err
			}
			for _, row := range rows {
				for c, column := range sealedTables[i].columns {
					if row.values[2*c] == nil {
						continue
					}
					_, _ = column.reseal(row.values[2*c], nil, func(sealed, _ []byte) ([]byte, error) {
						all++
						if keyOf(sealed) == key {
							own++
						}
						return sealed, nil
					}, s.hider.Open)
				}
			}
		}
		return nil
	}))
	return own, all
}

// TestRotationKilled cuts the change of the key off at every batch: everything
// must be readable then, and in the end the former key must read nothing.
func TestRotationKilled(t *testing.T) {
	ctx := context.Background()
	const count = 5
	dir, config := t.TempDir(), t.TempDir()
	s, ring := vaultOf(t, dir, config)
	fillSealed(t, s, ring, count)
	old, err := ring.KeyID()
	must(t, err)
	if own, all := sealedBy(t, s, old); own != all || all < 6*count {
		t.Fatalf("%d of %d are sealed with the first key", own, all)
	}
	key, err := ring.Make()
	must(t, err)
	r, err := s.BeginRotation(ctx, key, old, "ada")
	must(t, err)
	must(t, ring.Use(key))
	killed := errors.New("killed")
	attempts := 0
	for ; attempts < 1000; attempts++ {
		must(t, s.Close())
		s, ring = vaultOf(t, dir, config)
		checkSealed(t, s, ring, count)
		left := attempts + 1 // batches until it is killed
		under, found, err := s.Rotation(ctx)
		if err != nil || !found || under.Key != key {
			t.Fatal(under, found, err)
		}
		_, err = s.Reseal(ctx, r, ring, ResealOptions{Batch: 2, After: func(Resealed) error {
			if left--; left == 0 {
				return killed
			}
			return nil
		}})
		if err == nil {
			break
		}
		if !errors.Is(err, killed) {
			t.Fatal(err)
		}
	}
	if attempts < 15 {
		t.Errorf("only %d batches", attempts)
	}
	checkSealed(t, s, ring, count)
	if own, _ := sealedBy(t, s, old); own > 0 {
		t.Errorf("%d values are still sealed with the former key", own)
	}
	if own, all := sealedBy(t, s, key); own != all {
		t.Errorf("%d of %d are sealed with the new key", own, all)
	}
	must(t, s.EndRotation(ctx, r))
	if _, found, err := s.Rotation(ctx); found || err != nil {
		t.Error("it is still under way", err)
	}
	retired, err := s.Retired(ctx)
	if err != nil || len(retired) != 1 || retired[0] != old {
		t.Error(retired, err)
	}
}

// TestFormerKey lets a program that knows only the former key read and write
// after the change.
func TestFormerKey(t *testing.T) {
	ctx := context.Background()
	dir, config := t.TempDir(), t.TempDir()
	s, ring := vaultOf(t, dir, config)
	fillSealed(t, s, ring, 1)
	old, err := ring.KeyID()
	must(t, err)
	key, err := ring.Make()
	must(t, err)
	r, err := s.BeginRotation(ctx, key, old, "ada")
	must(t, err)
	must(t, ring.Use(key))
	_, err = s.Reseal(ctx, r, ring, ResealOptions{})
	must(t, err)
	must(t, s.EndRotation(ctx, r))

	elsewhere := t.TempDir() // has the former key only, and no marker
	text, err := os.ReadFile(filepath.Join(config, "keys", "default.key"))
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(elsewhere, "keys"), 0o700))
	must(t, os.WriteFile(filepath.Join(elsewhere, "keys", "default.key"), text, 0o600))
	former, err := Open(ctx, dir, Options{Hider: secrets.NewKeyring(secrets.Options{Directory: elsewhere})})
	must(t, err)
	defer former.Close()
	var needed *secrets.KeyError
	if _, _, err := former.Secret(ctx, "prod", "db"); !errors.As(err, &needed) || needed.Needed != key {
		t.Errorf("the former key reads: %v", err)
	}
	if _, err := former.SetSecret(ctx, "prod", "db", []byte("x"), "ada"); err == nil || !strings.Contains(err.Error(), "the key was changed") {
		t.Errorf("the former key writes: %v", err)
	}
	if err := former.Cache(ctx, "k", json.RawMessage(`1`), true, time.Time{}); err == nil {
		t.Error("the former key writes to the cache")
	}
	if _, err := former.Signal(ctx, "run", workflow.Signal{Kind: "event", Name: "e", Data: json.RawMessage(`1`), Time: time.Now()}); err == nil {
		t.Error("the former key writes signals")
	}
	if err := former.Cache(ctx, "open", json.RawMessage(`1`), false, time.Time{}); err != nil {
		t.Errorf("what is not sealed cannot be written: %v", err)
	}
	checkSealed(t, s, ring, 1)
}

// TestLostKey changes the key of a store of which a part cannot be opened: that
// part is told of and stays.
func TestLostKey(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	lost, _ := vaultOf(t, dir, t.TempDir())
	_, err := lost.SetSecret(ctx, "prod", "lost", []byte(canary), "ada")
	must(t, err)
	s, ring := vaultOf(t, dir, t.TempDir())
	_, err = s.SetSecret(ctx, "prod", "db", []byte(canary), "ada")
	must(t, err)
	old, err := ring.KeyID()
	must(t, err)
	key, err := ring.Make()
	must(t, err)
	r, err := s.BeginRotation(ctx, key, old, "ada")
	must(t, err)
	must(t, ring.Use(key))
	done, err := s.Reseal(ctx, r, ring, ResealOptions{})
	if err != nil || done.Values != 1 || len(done.Skipped) != 1 {
		t.Fatal(done, err)
	}
	if _, _, err := lost.Secret(ctx, "prod", "lost"); err != nil {
		t.Error(err)
	}
}
