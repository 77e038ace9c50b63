package cli

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
)

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
	s := app.Source()
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
	app.About = s
	return nil
}

// commitForm is how the hash of a commit looks.
var commitForm = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// sourceThere is the code that the command is about, as a server takes it.
func (a *App) sourceThere() *client.Source {
	s := a.Source()
	if s == nil || !commitForm.MatchString(s.Commit) { // what the environment says may be anything
		return nil
	}
	return &client.Source{Repository: s.Repository, Commit: s.Commit, PullRequest: int64(s.PullRequest)}
}
