package project

import (
	"encoding/json"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/tutti-dev/tutti/internal/runs"
)

// SourceOf is the code that a command is about, as the environment of systems for
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

// Source is the code that the command is about; nil for none.
func (s *Session) Source() *runs.Source {
	if s.About != nil {
		about := *s.About
		return &about
	}
	return sourceOf(os.Getenv)
}
