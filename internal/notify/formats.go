package notify

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

// runOf is the run that an event is about, if it is about one.
func (n *Notifier) runOf(ctx context.Context, e *events.Event) (run runs.Run, ok bool, err error) {
	if kind, _, _ := strings.Cut(e.Type, "."); kind != "run" && kind != "approval" || e.Subject == "" {
		return run, false, nil
	}
	run, err = n.Store.Run(ctx, e.Subject)
	if errors.Is(err, runs.ErrNotFound) {
		return run, false, nil
	}
	return run, err == nil, err
}

// runURL is where people look at a run; empty where nobody knows.
func (n *Notifier) runURL(id string) string {
	if n.PublicURL == "" {
		return ""
	}
	return strings.TrimRight(n.PublicURL, "/") + "/runs/" + url.PathEscape(id)
}

// titleOf says in a few words what a run does.
func titleOf(run runs.Run) string {
	if run.Machine() && run.Summary != "" {
		return run.Summary
	}
	return strings.TrimSpace(run.Kind + " " + run.Key.Stack)
}

// cdVersion is the version of CDEvents that is spoken.
const cdVersion = "0.4.1"

// cdType is what an event is in CDEvents.
type cdType struct {
	name    string // without the version, which is the same for all of them
	outcome string // of what has ended
}

// cdTypes are the events that CDEvents has a word for. It knows no cancelling: what
// was cancelled is an error, which says so.
var cdTypes = map[string]cdType{
	"run.started":         {"pipelinerun.started", ""},
	"run.succeeded":       {"pipelinerun.finished", "success"},
	"run.failed":          {"pipelinerun.finished", "failure"},
	"run.cancelled":       {"pipelinerun.finished", "error"},
	"environment.created": {"environment.created", ""},
	"environment.deleted": {"environment.deleted", ""},
}

// cdVersions is that of all types above in cdVersion.
const cdVersions = ".0.2.0"

type cdContext struct {
	Version   string    `json:"version"`
	ID        string    `json:"id"`
	Source    string    `json:"source"`
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
}

type cdSubject struct {
	ID      string    `json:"id"`
	Source  string    `json:"source"`
	Type    string    `json:"type"`
	Content cdContent `json:"content"`
}

type cdContent struct {
	Name         string `json:"name,omitempty"`         // of an environment
	PipelineName string `json:"pipelineName,omitempty"` // of a run
	URL          string `json:"url,omitempty"`
	Outcome      string `json:"outcome,omitempty"`
	Errors       string `json:"errors,omitempty"`
}

// cdEvent is an event as CDEvents has it, in the envelope of CloudEvents. What Tutti
// says beyond that is its customData.
func (n *Notifier) cdEvent(ctx context.Context, e *events.Event) any {
	to := cdTypes[e.Type]
	name := "dev.cdevents." + to.name + cdVersions
	subject := cdSubject{ID: e.Subject, Source: e.Source, Type: "environment", Content: cdContent{Name: e.Subject}}
	if strings.HasPrefix(e.Type, "run.") {
		run, _, _ := n.runOf(ctx, e) // one that is gone has the name of its event
		subject.Type, subject.Content = "pipelineRun", cdContent{PipelineName: titleOf(run), URL: n.runURL(e.Subject), Outcome: to.outcome, Errors: problemOf(e)}
		if subject.Content.PipelineName == "" {
			subject.Content.PipelineName = e.Subject
		}
		if e.Type == "run.cancelled" && subject.Content.Errors == "" {
			subject.Content.Errors = "it was cancelled"
		}
	}
	return struct {
		SpecVersion     string    `json:"specversion"`
		ID              string    `json:"id"`
		Source          string    `json:"source"`
		Type            string    `json:"type"`
		Subject         string    `json:"subject"`
		Time            time.Time `json:"time"`
		DataContentType string    `json:"datacontenttype"`
		Data            any       `json:"data"`
	}{
		"1.0", e.ID, e.Source, name, e.Subject, e.Time, "application/json",
		struct {
			Context     cdContext       `json:"context"`
			Subject     cdSubject       `json:"subject"`
			CustomData  json.RawMessage `json:"customData,omitempty"`
			ContentType string          `json:"customDataContentType,omitempty"`
		}{cdContext{cdVersion, e.ID, e.Source, name, e.Time}, subject, e.Data, contentTypeOf(e.Data)},
	}
}

func contentTypeOf(data json.RawMessage) string {
	if len(data) == 0 {
		return ""
	}
	return "application/json"
}

// problemOf is why a run failed, as its event says.
func problemOf(e *events.Event) string {
	var data struct {
		Problem string `json:"problem"`
	}
	_ = json.Unmarshal(e.Data, &data) // events without have none
	return data.Problem
}

// slackMessage is an incoming webhook of Slack, with nothing in it that Mattermost,
// Rocket.Chat and others do not take as well.
type slackMessage struct {
	Text        string            `json:"text"` // what notifications show
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Fallback  string   `json:"fallback"`
	Color     string   `json:"color"`
	Title     string   `json:"title"`
	TitleLink string   `json:"title_link,omitempty"`
	Text      string   `json:"text,omitempty"`
	Footer    string   `json:"footer,omitempty"`
	Time      int64    `json:"ts"`
	Formatted []string `json:"mrkdwn_in"`
}

// The colours of messages.
const (
	goodColor    = "#2eb886"
	warningColor = "#daa038"
	dangerColor  = "#a30200"
	plainColor   = "#808080"
)

// maxSlackText is how much of a text that somebody else wrote a message has.
const maxSlackText = 1000

func (n *Notifier) slackMessage(ctx context.Context, e *events.Event) slackMessage {
	title, color, text := e.Type+" "+e.Subject, plainColor, ""
	link := ""
	if run, ok, err := n.runOf(ctx, e); ok && err == nil {
		title, link = runSentence(e, run), n.runURL(run.ID)
		text = problemOf(e)
		if text == "" && run.Problem != "" && e.Type == "run.failed" {
			text = run.Problem
		}
	}
	switch _, what, _ := strings.Cut(e.Type, "."); what {
	case "succeeded", "approved", "created":
		color = goodColor
	case "failed", "denied", "lost", "dead", "rejected":
		color = dangerColor
	case "cancelled", "cancel_requested", "overridden", "needed", "found":
		color = warningColor
	}
	title = slackText(strings.TrimSpace(title))
	a := slackAttachment{Fallback: title, Color: color, Title: title, TitleLink: link, Text: slackCode(text), Time: e.Time.Unix(), Formatted: []string{"text"}}
	if e.Actor != "" {
		a.Footer = slackText(e.Actor)
	}
	return slackMessage{Text: title, Attachments: []slackAttachment{a}}
}

// runSentence says what happened to a run.
func runSentence(e *events.Event, run runs.Run) string {
	_, what, _ := strings.Cut(e.Type, ".")
	if said, ok := map[string]string{
		"run.started": "has started", "run.resumed": "goes on", "run.succeeded": "has succeeded", "run.failed": "has failed", "run.cancelled": "was cancelled",
		"run.cancel_requested": "is to be cancelled", "approval.needed": "waits for an approval", "approval.approved": "was approved", "approval.rejected": "was rejected",
	}[e.Type]; ok {
		what = said
	} else {
		what = strings.ReplaceAll(what, "_", " ")
	}
	place := ""
	if run.Key.Environment != "" {
		place = " in " + run.Key.Environment
	}
	return "Run " + run.ID + " (" + titleOf(run) + place + ") " + what
}

// slackText is text of somebody else's in a message: it mentions nobody and has no
// links or formats.
func slackText(text string) string {
	text = cut(strings.Join(strings.Fields(text), " "), maxSlackText)
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@\u200b", "`", "'", "*", "∗", "[", "(", "]", ")", "~", "∼", "://", ":/\u200b/").Replace(text)
}

// slackCode is text of somebody else's as it is, set apart.
func slackCode(text string) string {
	if text == "" {
		return ""
	}
	text = cut(text, maxSlackText)
	return "```\n" + strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@\u200b", "`", "'").Replace(text) + "\n```"
}

// cut is the beginning of a text that is too long.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}
