package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/access/identities"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// The ways to log in.
const (
	deviceFlow  = "device"
	browserFlow = "browser"
)

// declaredIdentity finds an identity that people can log in with.
func (a *App) declaredIdentity(name string) (*project.Identification, *projects.Identity, diag.List) {
	i, diags := a.Identification(nil)
	if diags.HasErrors() {
		return nil, nil, diags
	}
	var can []string
	if i.Project != nil {
		for _, n := range sortedKeys(i.Project.Identities) {
			if i.Project.Identities[n].ClientID != "" {
				can = append(can, n)
			}
		}
	}
	switch {
	case len(can) == 0:
		return nil, nil, diag.Errorf("No such identity", "This project declares no identity that one could log in with: write an identity block with a client_id in its *%s files.", projects.Suffix)
	case !slices.Contains(can, name):
		return nil, nil, diag.Errorf("No such identity", "This project declares no identity %q that one could log in with. There are: %s.", name, strings.Join(can, ", "))
	}
	return i, i.Project.Identities[name], nil
}

func checkFlow(flow string) diag.List {
	if slices.Contains([]string{"", deviceFlow, browserFlow}, flow) {
		return nil
	}
	return diag.Errorf("Invalid flow", "Option -flow must be %s or %s.", deviceFlow, browserFlow)
}

// loginIdentity logs in with an identity of the project.
func (a *App) loginIdentity(ctx context.Context, name, flow string) int {
	if diags := checkFlow(flow); diags.HasErrors() {
		return a.fail(diags)
	}
	i, d, diags := a.declaredIdentity(name)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	issuer := i.Verifier.Issuer(name)
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	session, who, flow, err := a.logIn(ctx, issuer, flow)
	if err == nil && who.Subject != "" && !strings.HasPrefix(who.Subject, access.UserKind+":") {
		err = fmt.Errorf("its ID token stands for %s, and only people log in", who.Subject)
	}
	if err == nil {
		err = i.Folder.Locked(d, func() error { return i.Folder.Keep(d, session) })
	}
	subject := "identity." + name
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("the login was not finished")
		}
		told := runs.AuditEvent(states.Key{}, "login.failed", subject, project.OSUser(), project.LoginEvent{Issuer: d.Issuer, Flow: flow, Reason: err.Error()})
		if failed := i.Record(context.WithoutCancel(ctx), told); failed != nil {
			err = errors.Join(err, failed)
		}
		return a.fail(i.Explain(subject, "Cannot log in", "Nobody is logged in", err))
	}
	told := runs.AuditEvent(states.Key{}, "login.succeeded", subject, who.Subject, project.LoginEvent{Issuer: d.Issuer, Flow: flow, Groups: who.Groups, Expires: who.Expires})
	if err := i.Record(ctx, told); err != nil {
		// A login that is not told of does not count.
		_, _ = i.Folder.Forget(d)
		return a.failf("Cannot record the login", "%s.", err)
	}
	fmt.Fprintf(a.Out, "Logged in as %s.\n", who.Subject)
	if session.Refresh == "" {
		a.Show(diag.Warningf("The login ends soon", "It is good until %s: %s.", who.Expires.Local().Format(time.DateTime), identities.ErrNoRefresh))
	}
	return exitOK
}

// logIn lets somebody log in on another device where the issuer has that, and in
// the browser otherwise, or as the flow says.
func (a *App) logIn(ctx context.Context, issuer *identities.Issuer, flow string) (identities.Session, identities.Credential, string, error) {
	if flow == "" {
		flow = browserFlow
		device, err := issuer.HasDeviceFlow(ctx)
		if err != nil {
			return identities.Session{}, identities.Credential{}, flow, err
		}
		if device {
			flow = deviceFlow
		}
	}
	if flow == deviceFlow {
		session, who, err := issuer.DeviceLogin(ctx, func(p identities.DevicePrompt) {
			fmt.Fprintf(a.Out, "Open this page on any device:\n  %s\nand enter the code there:\n  %s\n\nWaiting for you there…\n", printable(p.Page), printable(p.Code))
			page := p.Complete
			if page == "" {
				page = p.Page
			}
			browse(ctx, page)
		})
		return session, who, flow, err
	}
	session, who, err := a.logInByBrowser(ctx, issuer)
	return session, who, flow, err
}

func (a *App) logInByBrowser(ctx context.Context, issuer *identities.Issuer) (identities.Session, identities.Credential, error) {
	listener, err := listenForLogin(ctx, nil)
	if err != nil {
		return identities.Session{}, identities.Credential{}, err
	}
	defer listener.Close()
	page, l, err := issuer.BeginLogin(ctx, fmt.Sprintf("http://localhost:%d/login", listener.Addr().(*net.TCPAddr).Port))
	if err != nil {
		return identities.Session{}, identities.Credential{}, err
	}
	fmt.Fprintf(a.Out, "Open this page in your browser to log in:\n  %s\n\nWaiting for you there…\n", page)
	browse(ctx, page)
	code, err := waitForCode(ctx, listener, l.State)
	if err != nil {
		return identities.Session{}, identities.Credential{}, err
	}
	return issuer.FinishLogin(ctx, l, l.State, code)
}

// browse opens a page with the program that the environment variable BROWSER names,
// if it does. The page was printed: what becomes of the program does not matter.
func browse(ctx context.Context, page string) {
	words, err := splitWords(os.Getenv("BROWSER"))
	if err != nil || len(words) == 0 || projects.CheckIssuer(strings.SplitN(page, "?", 2)[0]) != "" {
		return
	}
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], page)...)
	if err := cmd.Start(); err != nil {
		slog.Warn("cannot open the page", "program", words[0], "error", err)
		return
	}
	go func() {
		if err := cmd.Wait(); err != nil {
			slog.Warn("the program that opens pages failed", "program", words[0], "error", err)
		}
	}()
}

// logoutIdentity ends a login: on this computer only.
func (a *App) logoutIdentity(ctx context.Context, name string) int {
	i, d, diags := a.declaredIdentity(name)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	var removed bool
	err := i.Folder.Locked(d, func() (err error) {
		removed, err = i.Folder.Forget(d)
		return err
	})
	if err != nil {
		return a.failf("Cannot log out", "%s.", err)
	}
	if !removed {
		fmt.Fprintf(a.Out, "Nobody is logged in with identity %q.\n", name)
		return exitOK
	}
	told := runs.AuditEvent(states.Key{}, "login.ended", "identity."+name, project.OSUser(), project.LoginEvent{Issuer: d.Issuer})
	if err := i.Record(ctx, told); err != nil {
		a.Show(diag.Warningf("The end of the login is not recorded", "%s.", err))
	}
	fmt.Fprintf(a.Out, "Logged out. The issuer still has the session of your browser.\n")
	return exitOK
}
