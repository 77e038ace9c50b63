package asl

import (
	"fmt"
	"strings"
)

// ResourceKind says what a task calls.
type ResourceKind string

// The kinds of resources.
const (
	// Integration is a service and its action: arn:aws:states:::sqs:sendMessage,
	// or ours, such as tutti:exec.
	Integration ResourceKind = "integration"
	// Function is a Lambda function, named by its own ARN.
	Function ResourceKind = "function"
	// Worker is an activity.
	Worker ResourceKind = "activity"
)

// Pattern says what ends a task that calls a service.
type Pattern string

// The patterns.
const (
	RequestResponse  Pattern = ""                 // the answer
	RunJob           Pattern = "sync"             // the end of what was begun
	RunJob2          Pattern = "sync:2"           // likewise; output is a value and not text
	WaitForTaskToken Pattern = "waitForTaskToken" // who has the token
)

// Resource is the Resource of a Task state, taken apart.
type Resource struct {
	Kind    ResourceKind
	Text    string  // as it stands in the definition
	Service string  // of an integration: sqs, aws-sdk:sfn, tutti
	Action  string  // sendMessage; the whole text of what has no form known here
	Pattern Pattern // what ends it
	Name    string  // of an activity
	// Function is the Lambda function that is called, and Qualifier its version
	// or alias. Of lambda:invoke they follow from the arguments: only effects
	// have them.
	Function, Qualifier string
	Region              string // of a function or activity
	place               string // what stands before :function:, if known
}

// ParseResource takes a resource apart. Texts that are no ARNs are left to who
// carries them out.
func ParseResource(text string) (Resource, error) {
	r := Resource{Kind: Integration, Text: text, Action: text}
	parts := strings.Split(text, ":")
	if parts[0] != "arn" {
		body := r.cutPattern(text)
		if service, action, ok := strings.Cut(body, ":"); ok {
			r.Service, r.Action = service, action
		} else {
			r.Action = body
		}
		return r, nil
	}
	bad := func(want string) (Resource, error) {
		return r, fmt.Errorf("the resource %q is not an ARN that a task can call: it should be %s", text, want)
	}
	if len(parts) < 6 {
		return bad("arn:aws:SERVICE:REGION:ACCOUNT:...")
	}
	r.Region = parts[3]
	rest := parts[5:]
	switch {
	case parts[2] == "lambda":
		if rest[0] != "function" || len(rest) < 2 || len(rest) > 3 || rest[1] == "" {
			return bad("arn:aws:lambda:REGION:ACCOUNT:function:NAME")
		}
		r.Kind, r.Service, r.Action, r.Function = Function, "lambda", "", rest[1]
		r.place = strings.Join(parts[:5], ":")
		if len(rest) == 3 {
			r.Qualifier = rest[2]
		}
	case parts[2] == "states" && rest[0] == "activity":
		if len(rest) != 2 || rest[1] == "" {
			return bad("arn:aws:states:REGION:ACCOUNT:activity:NAME")
		}
		r.Kind, r.Service, r.Action, r.Name = Worker, "", "", rest[1]
	case parts[2] == "states" && parts[3] == "" && parts[4] == "":
		body := r.cutPattern(strings.Join(rest, ":"))
		service, action, ok := strings.Cut(body, ":")
		if ok && service == "aws-sdk" {
			var inner string
			inner, action, ok = strings.Cut(action, ":")
			service += ":" + inner
		}
		if !ok || action == "" || strings.ContainsAny(action, ":.") || strings.HasSuffix(service, ":") {
			return bad("arn:aws:states:::SERVICE:ACTION, with .sync, .sync:2 or .waitForTaskToken behind it or nothing")
		}
		r.Service, r.Action = service, action
	default:
		// The service takes other ARNs for what they are; bindings may know them.
		r.Service, r.Action = parts[2], strings.Join(rest, ":")
	}
	return r, nil
}

// cutPattern takes the pattern off the end.
func (r *Resource) cutPattern(s string) string {
	for _, p := range []Pattern{RunJob2, RunJob, WaitForTaskToken} {
		if body, ok := strings.CutSuffix(s, "."+string(p)); ok {
			r.Pattern = p
			return body
		}
	}
	return s
}

// label is the action with its pattern, as events tell it.
func (r *Resource) label() string {
	if r.Pattern == RequestResponse {
		return r.Action
	}
	return r.Action + "." + string(r.Pattern)
}

// jobs reports whether a task ends later than the answer to its call.
func (r *Resource) jobs() bool { return r.Pattern != RequestResponse }

// calledFunction fills in the function that lambda:invoke calls: a name, an ARN
// or an account and name, with a qualifier or without.
func (r *Resource) calledFunction(name string) {
	if place, rest, ok := strings.Cut(name, ":function:"); ok {
		name = rest
		if parts := strings.Split(place, ":"); parts[0] == "arn" && len(parts) == 5 {
			r.Region, r.place = parts[3], place
		}
	}
	r.Function, r.Qualifier, _ = strings.Cut(name, ":")
}

// Binding says what is called instead of resources that do not exist here.
type Binding struct {
	// Pattern is a resource as definitions name it; each * in it stands for any
	// text. One with :function: in it is for a Lambda function, however that is
	// called.
	Pattern string
	// Target is what to call instead; its meaning is the caller's.
	Target string
}

// Bound returns the binding for a resource. One for a Lambda function goes
// before one for lambda:invoke, one without * before one with, one with more
// letters before one with fewer, and the first before others.
func Bound(bindings []Binding, r Resource) (Binding, bool) {
	var best Binding
	most := -1
	for _, b := range bindings {
		rank := 4 * (len(b.Pattern) - strings.Count(b.Pattern, "*"))
		if !strings.Contains(b.Pattern, "*") {
			rank++
		}
		place, name, function := strings.Cut(b.Pattern, ":function:")
		fits := false
		if function && r.Function != "" {
			rank += 1 << 20
			fits = (r.place == "" || wild(place, r.place)) &&
				(wild(name, r.Function) || wild(name, r.Function+":"+r.Qualifier))
		} else {
			fits = wild(b.Pattern, r.Text)
		}
		if fits && rank > most {
			best, most = b, rank
		}
	}
	return best, most >= 0
}

// wild matches a text with a pattern that has no escapes.
func wild(pattern, s string) bool { return matches(strings.ReplaceAll(pattern, `\`, `\\`), s) }
