package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

// forge is how one kind of host of code is spoken to. Paths are of its REST API, as
// its documentation has them.
type forge struct {
	authorize func(h http.Header, token string)
	// states are its words for how a commit stands: under way, good, bad, cancelled.
	states [4]string
	name   string // what it calls the name of a status
	// statusPath and commentsPath are where statuses of a commit and comments on a
	// request to merge are made; commentPath is where one comment is, by its id.
	statusPath   func(r *report) string
	commentsPath func(r *report) string
	commentPath  func(r *report, id int64) string
	update       string // the method that changes a comment
	description  int    // how many characters of a status's description it takes
	comment      int    // how many bytes of a comment
}

var forges = map[projects.NotifyKind]forge{
	// https://docs.github.com/en/rest
	projects.NotifyGitHub: {
		authorize: func(h http.Header, token string) {
			h.Set("Authorization", "Bearer "+token)
			h.Set("Accept", "application/vnd.github+json")
			h.Set("X-GitHub-Api-Version", "2022-11-28")
		},
		states: [4]string{"pending", "success", "failure", "error"}, name: "context",
		statusPath: func(r *report) string { return "/repos/" + r.source.Repository + "/statuses/" + r.source.Commit },
		commentsPath: func(r *report) string {
			return fmt.Sprintf("/repos/%s/issues/%d/comments", r.source.Repository, r.source.PullRequest)
		},
		commentPath: func(r *report, id int64) string {
			return fmt.Sprintf("/repos/%s/issues/comments/%d", r.source.Repository, id)
		},
		update: http.MethodPatch, description: 140, comment: 65_000,
	},
	// https://docs.gitlab.com/api/commits/ and /api/notes/
	projects.NotifyGitLab: {
		authorize: func(h http.Header, token string) { h.Set("Private-Token", token) },
		states:    [4]string{"running", "success", "failed", "canceled"}, name: "name",
		statusPath: func(r *report) string {
			return "/projects/" + url.PathEscape(r.source.Repository) + "/statuses/" + r.source.Commit
		},
		commentsPath: gitlabNotes,
		commentPath:  func(r *report, id int64) string { return fmt.Sprintf("%s/%d", gitlabNotes(r), id) },
		update:       http.MethodPut, description: 255, comment: 250_000,
	},
	// The API of Gitea, which Forgejo has as well.
	projects.NotifyGitea: {
		authorize: func(h http.Header, token string) { h.Set("Authorization", "token "+token) },
		states:    [4]string{"pending", "success", "failure", "error"}, name: "context",
		statusPath: func(r *report) string { return "/repos/" + r.source.Repository + "/statuses/" + r.source.Commit },
		commentsPath: func(r *report) string {
			return fmt.Sprintf("/repos/%s/issues/%d/comments", r.source.Repository, r.source.PullRequest)
		},
		commentPath: func(r *report, id int64) string {
			return fmt.Sprintf("/repos/%s/issues/comments/%d", r.source.Repository, id)
		},
		update: http.MethodPatch, description: 140, comment: 65_000,
	},
}

func gitlabNotes(r *report) string {
	return fmt.Sprintf("/projects/%s/merge_requests/%d/notes", url.PathEscape(r.source.Repository), r.source.PullRequest)
}

// telling is one attempt at telling a host of code about a run.
type telling struct {
	*block
	forge
	report *report
	token  string
}

// tellForge sets the status of the commit and, when a run has ended or waits for
// people, the comment on the request to merge.
func (b *block) tellForge(ctx context.Context, secrets *secretsOf, e *events.Event) error {
	r, concerned, err := b.reportOf(ctx, e)
	if err != nil || !concerned {
		return err
	}
	token, err := secrets.read(ctx, b.Token)
	if err != nil {
		return err
	}
	if strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return fmt.Errorf("the secret %q is no token: it has characters that no header can have", b.Token.Name)
	}
	if r.complete() && b.Plans != nil {
		var lost error
		if r.stacks, lost = b.Plans(ctx, r.run); lost != nil {
			r.lost = true
		}
	}
	t := &telling{b, forges[b.Kind], r, token}
	if err := t.setStatus(ctx); err != nil {
		return err
	}
	if !r.complete() || !b.Comment || r.source.PullRequest == 0 {
		return nil
	}
	return t.setComment(ctx)
}

// subject is what a report is about: another run of the same takes its place.
func (r *report) subject() string {
	name := r.run.Summary
	workflow, is := strings.CutPrefix(name, "workflow ")
	switch {
	case !r.run.Machine():
		name = strings.TrimSpace(r.run.Kind + " " + r.run.Key.Stack)
	case r.run.Kind != runs.WorkflowKind:
		name = r.run.Kind // of several stacks
	case is:
		name, _, _ = strings.Cut(workflow, " ") // what follows is about this run alone
		name = strings.TrimRight(name, ",")
	case strings.HasPrefix(name, "roll back "):
		name = "rollback"
	}
	return strings.Trim(r.run.Key.Environment+"/"+name, "/")
}

func (t *telling) setStatus(ctx context.Context) error {
	state := t.states[1]
	switch {
	case !t.report.status.Ended():
		state = t.states[0]
	case t.report.status == runs.Cancelled:
		state = t.states[3]
	case t.report.failed():
		state = t.states[2]
	}
	status := map[string]string{
		"state": state, t.name: cut(t.Context+"/"+t.report.subject(), 200), "description": cut(t.report.summary(), t.description-len("…")),
	}
	if t.report.url != "" {
		status["target_url"] = t.report.url
	}
	answer, err := t.call(ctx, http.MethodPost, t.API+t.statusPath(t.report), status)
	if t.Kind == projects.NotifyGitLab && answer != nil && answer.status == http.StatusBadRequest && bytes.Contains(answer.body, []byte("Cannot transition status")) {
		return nil // it stands so already: it was told before
	}
	return err
}

// maxPages bounds how many pages of comments are looked through.
const maxPages = 100

// setComment makes the comment, or changes the one that was made before. One about a
// later run stays: that of an earlier push, which took longer, has nothing to say any
// more.
func (t *telling) setComment(ctx context.Context) error {
	marker, err := t.marker()
	if err != nil {
		return err
	}
	created := t.report.run.Created.UnixMilli()
	body := map[string]string{"body": t.report.comment(fmt.Sprintf("%s%d -->", marker, created), t.comment)}
	all := t.API + t.commentsPath(t.report)
	id, latest, err := t.findComment(ctx, all, marker)
	switch {
	case err != nil:
		return err
	case latest > created:
		return nil
	case id == 0:
		_, err = t.call(ctx, http.MethodPost, all, body)
	default:
		_, err = t.call(ctx, t.update, t.API+t.commentPath(t.report, id), body)
	}
	return err
}

// marker begins a comment and is not shown; when the run was made that the comment is
// about follows. Nobody else can make one: another comment is not taken for ours.
func (t *telling) marker() (string, error) {
	about := fmt.Sprintf("%s %d %s", t.report.source.Repository, t.report.source.PullRequest, t.report.subject())
	sum, err := t.Fingerprint("comment of "+t.Name, []byte(about))
	if err != nil {
		return "", err
	}
	return "<!-- tutti " + sum + " ", nil
}

// findComment looks for the first comment that begins with a marker, and when the run was
// made that it is about, in milliseconds since 1970; 0 where there is none.
func (t *telling) findComment(ctx context.Context, all, marker string) (id, created int64, err error) {
	page := all + "?per_page=100&page=1"
	if t.Kind == projects.NotifyGitea {
		page = all // its comments come all at once
	}
	if t.Kind == projects.NotifyGitLab {
		page += "&sort=asc&order_by=created_at"
	}
	for range maxPages {
		answer, err := t.call(ctx, http.MethodGet, page, nil)
		if err != nil {
			return 0, 0, err
		}
		var list []struct {
			ID   int64  `json:"id"`
			Body string `json:"body"`
		}
		if err := json.Unmarshal(answer.body, &list); err != nil {
			return 0, 0, errors.New("the host does not answer with a list of comments")
		}
		for _, c := range list {
			if rest, ours := strings.CutPrefix(c.Body, marker); ours {
				number, _, _ := strings.Cut(rest, " ")
				created, _ = strconv.ParseInt(number, 10, 64) // 0 where it was not written down yet
				return c.ID, created, nil
			}
		}
		if page = nextPage(answer, page); page == "" {
			return 0, 0, nil
		}
	}
	return 0, 0, &failure{problem: "the request to merge has too many comments to find ours among them", final: true}
}

// nextPage is what follows a page, by the header Link (RFC 8288) that all these hosts
// send; empty for nothing. Only its query counts: the token goes along, and a host
// behind a proxy may have another name there.
func nextPage(a *answer, page string) string {
	for _, link := range strings.Split(strings.Join(a.header.Values("Link"), ","), ",") {
		target, parameters, _ := strings.Cut(strings.TrimSpace(link), ";")
		if !strings.Contains(strings.ReplaceAll(parameters, " ", ""), `rel="next"`) {
			continue
		}
		here, err := url.Parse(page)
		next, nextErr := url.Parse(strings.Trim(strings.TrimSpace(target), "<>"))
		if err != nil || nextErr != nil || next.RawQuery == "" {
			return ""
		}
		here.RawQuery = next.RawQuery
		return here.String()
	}
	return ""
}

func (t *telling) call(ctx context.Context, method, address string, body any) (*answer, error) {
	sent := bytes.NewReader(nil)
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, sent)
	if err != nil {
		return nil, errors.New("the address is none")
	}
	t.authorize(req.Header, t.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	a, err := t.client.do(req, t.now())
	if err == nil {
		return a, nil
	}
	var why *failure
	if errors.As(err, &why) {
		what := map[string]string{http.MethodGet: "looking for the comment"}[method]
		switch {
		case what != "":
		case strings.Contains(address, "/statuses/"):
			what = "setting the status of commit " + strconv.QuoteToASCII(t.report.source.Commit)
		default:
			what = fmt.Sprintf("writing the comment on request %d", t.report.source.PullRequest)
		}
		why.problem = what + " at " + t.API + ": " + why.problem
	}
	return a, err
}
