package work

import (
	"github.com/tutti-dev/tutti/internal/access/identities"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/server"
)

// RefuseRequest tells of somebody who was not let in by a server.
func RefuseRequest(s *project.Session, r server.Refusal) {
	e := project.Refusal{Kind: "token.refused", Data: project.RefusalData{Route: r.Route, Address: r.Address, Reason: r.Err.Error()}}
	if r.Token != "" {
		e.Subject = identities.TokenID(r.Token)
	}
	if r.Login {
		e.Kind = "login.failed"
	}
	if r.Name != "" {
		e.Subject = "identity." + r.Name
	}
	s.Refuse(e)
}
