package cli

import (
	"github.com/tutti-dev/tutti/internal/access/identities"
	"github.com/tutti-dev/tutti/internal/server"
)

// refuseRequest tells of somebody who was not let in by a server.
func refuseRequest(s *Session, r server.Refusal) {
	e := refusal{kind: "token.refused", data: refusalData{Route: r.Route, Address: r.Address, Reason: r.Err.Error()}}
	if r.Token != "" {
		e.subject = identities.TokenID(r.Token)
	}
	if r.Login {
		e.kind = "login.failed"
	}
	if r.Name != "" {
		e.subject = "identity." + r.Name
	}
	s.refuse(e)
}
