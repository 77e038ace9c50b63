package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Verification is what came of following a whole feed.
type Verification struct {
	Events  int64  // that were verified
	Head    Hash   // of the last of them
	Broken  int64  // number of the first event that is not as it was written; 0 for none
	Problem string // what is wrong; empty where the chain holds
}

// ErrHash says that what was noted as a hash is none.
var ErrHash = errors.New("invalid hash")

// Verify follows a feed from its beginning. Noted is a hash that must be in it,
// which shows whether the whole feed was written anew; empty for none. The error
// is [ErrHash] or one of the feed: a chain that does not hold is none.
func Verify(feed func(each func(*Link) error) (made int64, err error), noted string) (Verification, error) {
	want, err := ParseHash(noted)
	if noted != "" && err != nil {
		return Verification{}, fmt.Errorf("%w: %w", ErrHash, err)
	}
	var chain Chain
	found := noted == "" || chain.Head == want
	made, err := feed(func(l *Link) error {
		err := chain.Follow(l)
		found = found || err == nil && l.Hash == want
		return err
	})
	if err == nil {
		err = chain.End(made)
	}
	v := Verification{Events: chain.Last, Head: chain.Head}
	var broken *Break
	switch {
	case errors.As(err, &broken):
		v.Broken, v.Problem = broken.Sequence, broken.Error()
	case err != nil:
		return Verification{}, err
	case !found:
		v.Problem = "no event has the hash " + noted
	}
	return v, nil
}

// Document is an event for other tools to keep: CloudEvents 1.0 in its JSON
// format, with the place in the chain as extension attributes.
type Document struct {
	SpecVersion string `json:"specversion"`
	Event
	DataContentType string `json:"datacontenttype,omitempty"`
	Sequence        string `json:"sequence"` // text, as the extension of this name wants
	Previous        string `json:"previoushash"`
	Hash            string `json:"hash"`
}

// DocumentOf makes the document of a link.
func DocumentOf(l *Link) Document {
	doc := Document{SpecVersion: "1.0", Event: l.Event, Sequence: strconv.FormatInt(l.Sequence, 10), Previous: l.Previous.String(), Hash: l.Hash.String()}
	if len(l.Data) > 0 {
		doc.DataContentType = "application/json"
		if !json.Valid(l.Data) {
			// Somebody has altered it: it is shown as what it is.
			doc.Data, _ = json.Marshal(string(l.Data)) // a text always can be
			doc.DataContentType = "text/plain"
		}
	}
	return doc
}
