package webhooks

import (
	"cmp"
	"encoding/json"
	"strconv"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
)

// readStandard takes the id and the time from the headers, which are signed, and the
// type from the body, as the specification recommends.
func readStandard(e *Endpoint, r *Request, now time.Time) (*Delivery, *Rejection) {
	headers, rejection := r.headers("webhook-id", "webhook-timestamp")
	if rejection != nil {
		return nil, rejection
	}
	data, body, rejection := r.payload(false)
	if rejection != nil {
		return nil, rejection
	}
	at := now
	if seconds, err := strconv.ParseInt(headers[1], 10, 64); err == nil {
		at = time.Unix(seconds, 0).UTC()
	}
	return one(events.Event{ID: headers[0], Source: e.Source, Type: cmp.Or(body.text("type"), "webhook.received"), Time: at, Data: data}), nil
}

// readAlertmanager makes an event of each alert. An alert that is told again has the
// same id as long as it is the same one, firing or resolved.
func readAlertmanager(e *Endpoint, r *Request, now time.Time) (*Delivery, *Rejection) {
	_, body, rejection := r.payload(false)
	if rejection != nil {
		return nil, rejection
	}
	var alerts []object
	if body.text("version") != "4" || json.Unmarshal(body["alerts"], &alerts) != nil {
		return nil, reject(Malformed, "the body is not a notification of Alertmanager in version 4")
	}
	if len(alerts) > MaxEvents {
		return nil, reject(TooManyEvents, "there are too many alerts in one notification")
	}
	d := &Delivery{}
	for _, alert := range alerts {
		status := alert.text("status")
		began, err := time.Parse(time.RFC3339, alert.text("startsAt"))
		if status != "firing" && status != "resolved" || err != nil || alert.text("fingerprint") == "" {
			return nil, reject(Malformed, "an alert has no status, no startsAt or no fingerprint")
		}
		id, at := alert.text("fingerprint")+"-"+began.UTC().Format(time.RFC3339Nano)+"-"+status, began
		if ended, err := time.Parse(time.RFC3339, alert.text("endsAt")); err == nil && status == "resolved" {
			at = ended
			id += "-" + ended.UTC().Format(time.RFC3339Nano)
		}
		for _, name := range []string{"receiver", "groupKey", "groupLabels", "commonLabels", "commonAnnotations", "externalURL"} {
			if _, own := alert[name]; !own && body[name] != nil {
				alert[name] = body[name]
			}
		}
		data, err := json.Marshal(alert)
		if err != nil {
			return nil, reject(Malformed, "an alert cannot be written down")
		}
		d.Events = append(d.Events, one(events.Event{
			ID: id, Type: "io.prometheus.alert." + status, Time: at, Data: data,
			Source:  cmp.Or(body.text("externalURL"), e.Source),
			Subject: alert.text("labels", "alertname"),
		}).Events...)
	}
	return d, nil
}

// readSlack takes events, which are JSON, and commands and interactions, which are
// forms.
func readSlack(e *Endpoint, r *Request, now time.Time) (*Delivery, *Rejection) {
	media, rejection := r.mediaType()
	if rejection != nil {
		return nil, rejection
	}
	if media == formType {
		return readSlackForm(e, r, now)
	}
	data, body, rejection := r.payload(false)
	if rejection != nil {
		return nil, rejection
	}
	switch body.text("type") {
	case "url_verification":
		challenge := body.text("challenge")
		if challenge == "" || len(challenge) > maxAttribute {
			return nil, reject(Malformed, "the verification has no challenge")
		}
		return &Delivery{Reply: []byte(challenge)}, nil
	case "event_callback":
	default:
		return nil, reject(Malformed, "the body is neither an event nor a verification of Slack")
	}
	at := now
	if seconds, err := strconv.ParseInt(body.text("event_time"), 10, 64); err == nil && seconds > 0 && seconds < 1<<40 {
		at = time.Unix(seconds, 0).UTC()
	}
	kind := body.text("event", "type")
	if !eventName.MatchString(kind) {
		return nil, reject(Malformed, "the event has no type")
	}
	return one(events.Event{ID: body.text("event_id"), Source: e.slackSource(body.text("team_id")), Type: "com.slack." + kind, Time: at, Data: data}), nil
}

func readSlackForm(e *Endpoint, r *Request, now time.Time) (*Delivery, *Rejection) {
	form, rejection := readForm(r.Body)
	if rejection != nil {
		return nil, rejection
	}
	if payload := form["payload"]; payload != "" {
		body, rejection := readObject([]byte(payload))
		if rejection != nil {
			return nil, rejection
		}
		kind := body.text("type")
		if !eventName.MatchString(kind) {
			return nil, reject(Malformed, "the interaction has no type")
		}
		return one(events.Event{
			ID: cmp.Or(body.text("trigger_id"), digestID(r.Body)), Source: e.slackSource(body.text("team", "id")),
			Type: "com.slack.interaction." + kind, Time: now, Data: json.RawMessage(payload),
		}), nil
	}
	if form["command"] == "" {
		return nil, reject(Malformed, "the form is neither a command nor an interaction of Slack")
	}
	delete(form, "token") // the secret of an older way to know the sender
	data, err := json.Marshal(form)
	if err != nil {
		return nil, reject(Malformed, "the form cannot be written down")
	}
	return one(events.Event{
		ID: cmp.Or(form["trigger_id"], digestID(r.Body)), Source: e.slackSource(form["team_id"]),
		Type: "com.slack.command", Subject: form["command"], Time: now, Data: data,
	}), nil
}

func (e *Endpoint) slackSource(team string) string {
	if !eventName.MatchString(team) {
		return e.Source
	}
	return "https://slack.com/" + team
}
