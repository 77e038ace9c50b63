package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/tutti-dev/tutti/internal/runs"
)

// A version of a secret is in one of these states:
//
//	pending   made by a rotation, or taken to go back to; only its run gives it to anybody
//	current   what everybody gets; one at most
//	previous  current before a rotation; kept until that takes it back, or somebody goes back to it
//	revoking  nobody goes back to it any more
//	former    current before somebody set another one, or pending in a run that failed; kept
//	dropped, revoked, removed   its value is forgotten
//
// Each change is one transaction that looks at the states as they are: however
// often runs are interrupted and resumed, and however many there are, no version
// leaves the store that is current, and none is current and revoked.

// secretRow is a version as changes see it.
type secretRow struct {
	version       int
	state         string
	maker, holder string
}

// secretChange is a change under way.
type secretChange struct {
	*transaction
	s                 *Store
	environment, name string
	c                 runs.SecretChange
}

// RotateSecret makes a change to the versions of a secret in an environment and
// tells how they stand then. Making it again changes nothing.
func (s *Store) RotateSecret(ctx context.Context, environment, name string, c runs.SecretChange) (out runs.SecretStanding, err error) {
	if s.hider == nil {
		return out, errNeedsKey
	}
	err = s.write(ctx, func(tx *transaction) error {
		x := &secretChange{tx, s, environment, name, c}
		out, err = x.make()
		return err
	})
	return out, err
}

func (x *secretChange) make() (out runs.SecretStanding, err error) {
	switch x.c.Kind {
	case runs.StageSecret:
		err = x.stage()
	case runs.TakeSecret:
		err = x.take()
	case runs.PromoteSecret:
		err = x.promote()
	case runs.SettleSecret:
		if x.c.Version == 0 {
			// The step that would have said it was interrupted.
			var held secretRow
			if held, err = x.one("holder = ? AND state = 'pending'", x.c.Run); err == nil && held.version != 0 {
				x.c.Version = held.version
			}
		}
	case runs.DropSecret:
		err = x.drop()
	case runs.RetireSecret:
		err = x.retire()
	case runs.ForgetSecret:
		err = x.forget()
	default:
		err = fmt.Errorf("there is no change %q", x.c.Kind)
	}
	if err != nil {
		return out, err
	}
	return x.standing()
}

// one finds a version, the newest of several; one without number where there is
// none.
func (x *secretChange) one(where string, args ...any) (r secretRow, err error) {
	_, err = x.row("SELECT version, state, maker, holder FROM secrets WHERE environment = ? AND name = ? AND "+where+" ORDER BY version DESC LIMIT 1",
		append([]any{x.environment, x.name}, args...), &r.version, &r.state, &r.maker, &r.holder)
	return r, err
}

func (x *secretChange) version(n int) (secretRow, error) { return x.one("version = ?", n) }
func (x *secretChange) current() (secretRow, error)      { return x.one("state = 'current'") }

// become puts a version in a state and tells the feed.
func (x *secretChange) become(version int, state, holder, event string) error {
	now := x.s.now()
	forget := ""
	if state == "dropped" || state == "revoked" {
		if err := forgetting(x.transaction); err != nil {
			return err
		}
		forget = ", data = NULL"
	}
	if _, err := x.exec("UPDATE secrets SET state = ?, holder = ?, since = ?"+forget+" WHERE environment = ? AND name = ? AND version = ?", state, holder, now.UnixNano(), x.environment, x.name, version); err != nil {
		return err
	}
	if event == "" {
		return nil
	}
	return x.tell(event, version)
}

func (x *secretChange) tell(event string, version int) error {
	return x.s.secretEvent(x.transaction, event, x.environment, x.name, version, x.c.Actor, x.s.now(), x.c.Run)
}

// settleOthers refuses a second rotation beside one that has not ended. What an
// ended one left pending is kept: stacks may have it.
func (x *secretChange) settleOthers() error {
	held, err := x.one("state = 'pending'")
	if err != nil || held.version == 0 {
		return err
	}
	ended := true
	if _, err := x.row("SELECT status IN "+endedStatuses+" FROM runs WHERE id = ?", []any{held.holder}, &ended); err != nil {
		return err
	}
	if !ended {
		return fmt.Errorf("the run %s is rotating it and has not ended: wait for it, resume it or cancel it", held.holder)
	}
	return x.become(held.version, "former", "", "")
}

func (x *secretChange) stage() error {
	mine, err := x.one("maker = ?", x.c.Run)
	if err != nil {
		return err
	}
	if mine.version != 0 {
		return nil // the run was interrupted after it had made it
	}
	if err := x.settleOthers(); err != nil {
		return err
	}
	version, err := x.s.addSecret(x.transaction, x.environment, x.name, x.c.Value, x.c.Actor, "pending", x.c.Run, x.s.now())
	if err != nil {
		return err
	}
	return x.tell("secret.created", version)
}

func (x *secretChange) take() error {
	if x.c.Version == 0 {
		held, err := x.one("maker = ? AND holder = ? AND state = 'pending'", x.c.Run, x.c.Run)
		if err == nil && held.version == 0 {
			err = errors.New("this run has no version of it that is pending")
		}
		x.c.Version = held.version
		return err
	}
	r, err := x.version(x.c.Version)
	switch {
	case err != nil:
		return err
	case r.state == "pending" && r.holder == x.c.Run:
		return nil
	case r.state != "previous" && r.state != "former":
		return fmt.Errorf("version %d cannot be gone back to: %s", x.c.Version, stateOf(r))
	}
	if err := x.settleOthers(); err != nil {
		return err
	}
	return x.become(r.version, "pending", x.c.Run, "secret.taken")
}

func stateOf(r secretRow) string {
	if r.version == 0 {
		return "there is none"
	}
	return "it is " + r.state
}

func (x *secretChange) promote() error {
	r, err := x.version(x.c.Version)
	if err != nil || r.state == "current" {
		return err
	}
	if r.state != "pending" {
		return fmt.Errorf("version %d cannot become current: %s", x.c.Version, stateOf(r))
	}
	current, err := x.current()
	if err != nil {
		return err
	}
	if current.version != x.c.Old {
		return fmt.Errorf("version %d became current while it was being rotated, so that version %d cannot", current.version, x.c.Version)
	}
	if current.version != 0 {
		if err := x.become(current.version, "previous", "", ""); err != nil {
			return err
		}
	}
	return x.become(r.version, "current", "", "secret.promoted")
}

func (x *secretChange) drop() error {
	r, err := x.version(x.c.Version)
	switch {
	case err != nil || r.state != "pending":
		return err // it came to be current, or was dropped before
	case r.maker == r.holder:
		return x.become(r.version, "dropped", "", "secret.dropped")
	}
	return x.become(r.version, "previous", "", "secret.dropped")
}

func (x *secretChange) retire() error {
	r, err := x.version(x.c.Version)
	if err != nil || r.state != "previous" {
		return err // somebody went back to it
	}
	current, err := x.current()
	if err != nil || current.version == 0 {
		return err // nothing has taken its place
	}
	return x.become(r.version, "revoking", "", "secret.retired")
}

func (x *secretChange) forget() error {
	r, err := x.version(x.c.Version)
	if err != nil || r.state == "revoked" || r.state == "removed" {
		return err
	}
	if r.state != "revoking" {
		return fmt.Errorf("version %d is not being revoked: %s", x.c.Version, stateOf(r))
	}
	return x.become(r.version, "revoked", "", "secret.revoked")
}

// standing tells how the versions that a change is about stand.
func (x *secretChange) standing() (out runs.SecretStanding, err error) {
	current, err := x.current()
	if err != nil {
		return out, err
	}
	mine, err := x.one("maker = ?", x.c.Run)
	if err != nil {
		return out, err
	}
	out.Current, out.Version, out.Old = current.version, x.c.Version, x.c.Old
	if out.Version == 0 && x.c.Kind != runs.SettleSecret {
		out.Version = mine.version
	}
	if out.Old == 0 && current.version != out.Version {
		out.Old = current.version
	}
	for _, one := range []struct {
		version int
		state   *string
	}{{out.Version, &out.VersionState}, {out.Old, &out.OldState}} {
		r, err := x.version(one.version)
		if err != nil {
			return out, err
		}
		*one.state = r.state
		if one.version == out.Version && one.state == &out.VersionState {
			out.Promoted, out.Retired = r.state == "current", r.state == "revoking"
			out.Made = r.version != 0 && r.maker != "" && (r.holder == "" || r.maker == r.holder)
		}
	}
	return out, nil
}
