package webhooks

import (
	"cmp"
	"regexp"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
)

// eventName is how forges name events and actions.
var eventName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)

// readGitHub names events as the CloudEvents adapter for GitHub does:
// com.github.EVENT.ACTION.
func readGitHub(e *Endpoint, r *Request, now time.Time) (*Delivery, *Rejection) {
	return e.readForge(r, now, "com.github.", "X-GitHub-Event", "X-GitHub-Delivery")
}

func readGitea(e *Endpoint, r *Request, now time.Time) (*Delivery, *Rejection) {
	return e.readForge(r, now, "com.gitea.", "X-Gitea-Event", "X-Gitea-Delivery")
}

func (e *Endpoint) readForge(r *Request, now time.Time, prefix, eventHeader, deliveryHeader string) (*Delivery, *Rejection) {
	headers, rejection := r.headers(eventHeader, deliveryHeader)
	if rejection != nil {
		return nil, rejection
	}
	if !eventName.MatchString(headers[0]) || headers[1] == "" {
		return nil, reject(Malformed, "the header "+eventHeader+" or "+deliveryHeader+" is missing or malformed")
	}
	data, body, rejection := r.payload(true)
	if rejection != nil {
		return nil, rejection
	}
	kind := prefix + headers[0]
	if action := body.text("action"); eventName.MatchString(action) {
		kind += "." + action
	}
	return one(events.Event{
		ID: headers[1], Type: kind, Time: now, Data: data,
		Source:  cmp.Or(body.text("repository", "html_url"), e.Source),
		Subject: cmp.Or(body.text("pull_request", "number"), body.text("issue", "number"), body.text("ref")),
	}), nil
}

// readGitLab names events by their object_kind. The UUID that GitLab gives an event
// is shared by events that webhooks lead to; the id of the delivery is not.
func readGitLab(e *Endpoint, r *Request, now time.Time) (*Delivery, *Rejection) {
	headers, rejection := r.headers("webhook-id", "Idempotency-Key", "X-Gitlab-Event-UUID")
	if rejection != nil {
		return nil, rejection
	}
	data, body, rejection := r.payload(false)
	if rejection != nil {
		return nil, rejection
	}
	kind := cmp.Or(body.text("object_kind"), body.text("event_name"))
	if !eventName.MatchString(kind) {
		return nil, reject(Malformed, "the body has no object_kind")
	}
	id := cmp.Or(headers[0], headers[1])
	if id == "" {
		id = digestID([]byte(headers[2]), r.Body)
	}
	return one(events.Event{
		ID: id, Type: "com.gitlab." + kind, Time: now, Data: data,
		Source:  cmp.Or(body.text("project", "web_url"), e.Source),
		Subject: cmp.Or(body.text("object_attributes", "iid"), body.text("object_attributes", "id"), body.text("ref")),
	}), nil
}

// one is a delivery of one event with data in JSON.
func one(e events.Event) *Delivery {
	return &Delivery{Events: []Received{{Event: e, ContentType: jsonType}}}
}
