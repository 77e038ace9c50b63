package modules

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// gitSchemes are the transports that the git program may be given. Others run
// programs named in the address.
var gitSchemes = []string{"https", "http", "ssh", "git", "file"}

// git clones a repository with the git program, so that the user's settings and
// credentials apply. The address may have ?ref=, ?depth= and ?sshkey=.
func (f *fetcher) git(ctx context.Context, address *url.URL, into string) error {
	known := false
	for _, scheme := range gitSchemes {
		known = known || scheme == address.Scheme
	}
	if !known {
		return fmt.Errorf("a Git repository cannot be got by %q", address.Scheme)
	}
	program, err := exec.LookPath("git")
	if err != nil {
		return fmt.Errorf("the program git is needed for this, but it is not installed, or not on the PATH")
	}
	query := address.Query()
	g := gitRun{program: program, secrets: []string{query.Get("sshkey")}, environ: f.in.Environ}
	if g.environ == nil {
		g.environ = os.Environ()
	}
	if password, ok := address.User.Password(); ok {
		g.secrets = append(g.secrets, password, url.PathEscape(password), url.QueryEscape(password))
	}
	if key := query.Get("sshkey"); key != "" {
		if err := g.useKey(key, f.work); err != nil {
			return err
		}
	}
	ref := query.Get("ref")
	if strings.HasPrefix(ref, "-") {
		return fmt.Errorf("%q is not the name of a commit, tag or branch", ref)
	}
	depth := 0
	if text := query.Get("depth"); text != "" {
		if depth, err = strconv.Atoi(text); err != nil || depth < 0 {
			return fmt.Errorf("depth must be a whole number, not %q", text)
		}
	}
	for _, name := range []string{"ref", "depth", "sshkey"} {
		query.Del(name)
	}
	plain := *address
	plain.RawQuery = query.Encode()
	if err := g.clone(ctx, plain.String(), ref, depth, into); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(into, ".gitmodules")); err != nil {
		return nil
	}
	args := []string{"-C", into, "submodule", "update", "--init", "--recursive"}
	if depth > 0 {
		args = append(args, "--depth", strconv.Itoa(depth))
	}
	return g.run(ctx, args...)
}

// gitRun runs the git program.
type gitRun struct {
	program string
	environ []string
	secrets []string // text that must not appear in errors
}

// useKey makes SSH use a private key from the address, base64 encoded.
func (g *gitRun) useKey(encoded, work string) error {
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("sshkey must be a private key in base64")
	}
	work, err = filepath.Abs(work)
	if err != nil {
		return err
	}
	name := filepath.Join(work, "key")
	if err := os.WriteFile(name, key, 0o600); err != nil {
		return err
	}
	command := "ssh"
	for _, entry := range g.environ {
		if value, ok := strings.CutPrefix(entry, "GIT_SSH_COMMAND="); ok && value != "" {
			command = value
		}
	}
	quoted := "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	g.environ = append(g.environ[:len(g.environ):len(g.environ)], "GIT_SSH_COMMAND="+command+" -i "+quoted)
	return nil
}

// clone makes a working copy of a commit, tag or branch; of the default branch
// where none is named.
func (g *gitRun) clone(ctx context.Context, address, ref string, depth int, into string) error {
	if depth == 0 {
		if err := g.run(ctx, "clone", "--", address, into); err != nil || ref == "" {
			return err
		}
		return g.run(ctx, "-C", into, "checkout", "--quiet", ref, "--")
	}
	shallow := []string{"clone", "--depth", strconv.Itoa(depth)}
	if ref != "" {
		shallow = append(shallow, "--branch", ref)
	}
	err := g.run(ctx, append(shallow, "--", address, into)...)
	if err == nil || ref == "" || ctx.Err() != nil {
		return err
	}
	// Only branches and tags can be cloned by name; a commit can be fetched.
	_ = os.RemoveAll(into)
	for _, args := range [][]string{
		{"init", "--quiet", "--", into},
		{"-C", into, "remote", "add", "origin", address},
		{"-C", into, "fetch", "--quiet", "--depth", strconv.Itoa(depth), "origin", ref},
		{"-C", into, "checkout", "--quiet", "FETCH_HEAD", "--"},
	} {
		if g.run(ctx, args...) != nil {
			return err // what went wrong first says more
		}
	}
	return nil
}

func (g *gitRun) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, g.program, args...)
	cmd.Env = g.environ
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("cannot run git: %w", err)
	}
	text := strings.TrimSpace(output.String())
	for _, secret := range g.secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "redacted")
		}
	}
	return fmt.Errorf("git ended with exit code %d: %s", exit.ExitCode(), strings.TrimRight(text, "."))
}
