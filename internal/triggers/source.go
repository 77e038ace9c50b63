package triggers

import (
	"cmp"
	"encoding/json"
	"strings"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

// forgeEvent is what events of hosts of code have in common, as far as it says which
// code they are about.
type forgeEvent struct {
	After      string `json:"after"` // of a push
	HeadCommit struct {
		ID string `json:"id"`
	} `json:"head_commit"` // what an annotated tag is of, where After is the tag
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
	PullRequest struct {
		Number int `json:"number"`
		Head   struct {
			SHA string `json:"sha"`
		} `json:"head"`
	} `json:"pull_request"`

	// GitLab's.
	Project struct {
		Path string `json:"path_with_namespace"`
	} `json:"project"`
	CheckoutSHA string `json:"checkout_sha"`
	Attributes  struct {
		IID        int `json:"iid"`
		LastCommit struct {
			ID string `json:"id"`
		} `json:"last_commit"`
	} `json:"object_attributes"`
}

// sourceOf is the code that a push or a request to merge is about; nil for other
// events. What came by a webhook of the project is the host's own word; others claim it.
func sourceOf(p *projects.Project, e *events.Event) *runs.Source {
	host, kind, _ := strings.Cut(strings.TrimPrefix(e.Type, "com."), ".")
	kind, _, _ = strings.Cut(kind, ".")
	var f forgeEvent
	if !strings.HasPrefix(e.Type, "com.") || json.Unmarshal(e.Data, &f) != nil {
		return nil
	}
	s := runs.Source{}
	switch host + " " + kind {
	case "github push", "gitea push":
		s = runs.Source{Repository: f.Repository.FullName, Commit: cmp.Or(f.HeadCommit.ID, f.After)}
	case "github pull_request", "gitea pull_request":
		s = runs.Source{Repository: f.Repository.FullName, Commit: f.PullRequest.Head.SHA, PullRequest: f.PullRequest.Number}
	case "gitlab push", "gitlab tag_push":
		s = runs.Source{Repository: f.Project.Path, Commit: f.CheckoutSHA}
	case "gitlab merge_request":
		s = runs.Source{Repository: f.Project.Path, Commit: f.Attributes.LastCommit.ID, PullRequest: f.Attributes.IID}
	}
	if s.Commit == "" || strings.Trim(s.Commit, "0") == "" {
		return nil // a branch that was deleted, or nothing of all this
	}
	if name, ok := strings.CutPrefix(e.Actor, hookActor); ok {
		if hook := p.Webhooks[name]; hook != nil && hook.Kind == host && !hook.Open {
			s.Host = host
		}
	}
	return &s
}
