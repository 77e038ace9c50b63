package cli

import (
	"cmp"
	"encoding/json"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
)

// sourceOf is the code that a command is about, as the environment of systems for
// continuous integration says; nil where it says nothing. TUTTI_COMMIT, with
// TUTTI_REPOSITORY and TUTTI_PULL_REQUEST, goes before what they say.
func sourceOf(getenv func(string) string) *runs.Source {
	s := runs.Source{}
	switch {
	case getenv("TUTTI_COMMIT") != "":
		s = runs.Source{Repository: getenv("TUTTI_REPOSITORY"), Commit: getenv("TUTTI_COMMIT"), PullRequest: requestNumber(getenv("TUTTI_PULL_REQUEST"))}
	case getenv("GITLAB_CI") != "":
		s = runs.Source{Repository: getenv("CI_PROJECT_PATH"), Commit: getenv("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"), PullRequest: requestNumber(getenv("CI_MERGE_REQUEST_IID"))}
		if s.Commit == "" { // not a pipeline of the result of merging
			s.Commit = getenv("CI_COMMIT_SHA")
		}
	case getenv("GITHUB_ACTIONS") != "": // Gitea's as well
		s = runs.Source{Repository: getenv("GITHUB_REPOSITORY"), Commit: getenv("GITHUB_SHA")}
		if number, head, ok := requestOfEvent(getenv("GITHUB_EVENT_PATH")); ok {
			s.PullRequest, s.Commit = number, head // the other one is of a merge that nobody sees
		}
	case getenv("CIRCLECI") != "":
		s = runs.Source{Repository: getenv("CIRCLE_PROJECT_USERNAME") + "/" + getenv("CIRCLE_PROJECT_REPONAME"), Commit: getenv("CIRCLE_SHA1")}
		// An address that ends with the number.
		s.PullRequest = requestNumber(path.Base(getenv("CIRCLE_PULL_REQUEST")))
	}
	if s.Commit = strings.ToLower(s.Commit); s.Commit == "" {
		return nil
	}
	return &s
}

// sourceOptions are the flags that say which code a command is about. Each goes before
// what the environment says.
type sourceOptions struct {
	repository, commit string
	pullRequest        int
}

func (o *sourceOptions) register(f *flagSet) {
	f.heading("What hosts of code are told")
	f.text(&o.commit, "commit", "SHA", "The commit that this is about, in full: its host is told how the run goes, as notify blocks say. What CI systems say in the environment, unless given.")
	f.text(&o.repository, "repository", "PATH", "The repository of the commit, such as org/shop.")
	f.number(&o.pullRequest, "pull-request", "N", "The request to merge that this is about: it gets a comment.")
}

func (o *sourceOptions) named() bool { return *o != sourceOptions{} }

// use has what is done be about the code that the options name.
func (o *sourceOptions) use(app *App) diag.List {
	if !o.named() {
		return nil
	}
	s := app.source()
	if s == nil {
		s = &runs.Source{}
	}
	s.Repository, s.Commit, s.PullRequest = cmp.Or(o.repository, s.Repository), cmp.Or(strings.ToLower(o.commit), s.Commit), cmp.Or(o.pullRequest, s.PullRequest)
	switch {
	case s.Commit == "":
		return diag.Errorf("Which commit?", "Options -repository and -pull-request belong to a commit: name it with -commit=SHA.")
	case !commitForm.MatchString(s.Commit):
		return diag.Errorf("Invalid commit", "Option -commit: %q is not the hash of a commit.", s.Commit)
	case s.Repository != "" && !projects.ValidRepository(s.Repository):
		return diag.Errorf("Invalid repository", "Option -repository: %q is not the path of a repository, such as org/shop.", s.Repository)
	case s.PullRequest < 0:
		return diag.Errorf("Invalid number", "Option -pull-request: a request to merge has a number of 1 or more, not %d.", s.PullRequest)
	}
	app.about = s
	return nil
}

// commitForm is how the hash of a commit looks.
var commitForm = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// source is the code that the command is about; nil for none.
func (a *App) source() *runs.Source {
	if a.about != nil {
		s := *a.about
		return &s
	}
	return sourceOf(os.Getenv)
}

// sourceThere is the code that the command is about, as a server takes it.
func (a *App) sourceThere() *client.Source {
	s := a.source()
	if s == nil || !commitForm.MatchString(s.Commit) { // what the environment says may be anything
		return nil
	}
	return &client.Source{Repository: s.Repository, Commit: s.Commit, PullRequest: int64(s.PullRequest)}
}

func requestNumber(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// requestOfEvent is the request to merge that an event of GitHub's, in a file, is
// about, and the commit that is to be merged.
func requestOfEvent(path string) (number int, head string, ok bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, "", false
	}
	var event struct {
		PullRequest *struct {
			Number int `json:"number"`
			Head   struct {
				SHA string `json:"sha"`
			} `json:"head"`
		} `json:"pull_request"`
	}
	if json.Unmarshal(data, &event) != nil || event.PullRequest == nil || event.PullRequest.Head.SHA == "" {
		return 0, "", false
	}
	return event.PullRequest.Number, event.PullRequest.Head.SHA, true
}
