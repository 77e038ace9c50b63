package install

import (
	"fmt"

	"github.com/tutti-dev/tutti/internal/addrs"
)

// EventKind says what an [Event] reports.
type EventKind string

// The kinds of events.
const (
	Finding     EventKind = "finding"      // versions are being listed
	Pinned      EventKind = "pinned"       // the lock file decides the version
	Reused      EventKind = "reused"       // the version is here already
	Cached      EventKind = "cached"       // taken from the shared cache
	Fetching    EventKind = "fetching"     // a package is being brought
	Completed   EventKind = "completed"    // and is here now
	Overridden  EventKind = "overridden"   // by a developer's own build
	Attached    EventKind = "attached"     // to a process that somebody else runs
	LockWritten EventKind = "lock_written" // the lock file was written
	Locked      EventKind = "locked"       // checksums for a platform are known
	Mirrored    EventKind = "mirrored"     // a package is in the mirror
)

// Event is something an installation does.
type Event struct {
	Kind     EventKind
	Provider addrs.Provider
	Version  string
	Detail   string // constraints, a place, a platform, or how a package was checked
}

// String says it to people.
func (e Event) String() string {
	name := e.Provider.ForDisplay()
	switch e.Kind {
	case Finding:
		if e.Detail == "" {
			return fmt.Sprintf("Finding latest version of %s...", name)
		}
		return fmt.Sprintf("Finding %s versions matching %q...", name, e.Detail)
	case Pinned:
		return fmt.Sprintf("Reusing previous version of %s from the dependency lock file", name)
	case Reused:
		return fmt.Sprintf("Using previously-installed %s v%s", name, e.Version)
	case Cached:
		return fmt.Sprintf("Using %s v%s from the shared cache directory", name, e.Version)
	case Fetching:
		return fmt.Sprintf("Installing %s v%s...", name, e.Version)
	case Overridden:
		return fmt.Sprintf("Using %s from %s, as dev_overrides says", name, e.Detail)
	case Attached:
		return fmt.Sprintf("Using %s from a running process, as TF_REATTACH_PROVIDERS says", name)
	case LockWritten:
		return fmt.Sprintf("Wrote %s: commit it, so that everybody gets the same providers", e.Detail)
	case Locked:
		return fmt.Sprintf("Obtained %s %s checksums for %s", name, e.Version, e.Detail)
	case Mirrored:
		return fmt.Sprintf("Mirrored %s v%s for %s", name, e.Version, e.Detail)
	}
	return fmt.Sprintf("Installed %s v%s (%s)", name, e.Version, e.Detail)
}
