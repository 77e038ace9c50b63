package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/net/html"
)

// dexProgram is the OpenID Connect provider that scripts/dex.sh builds; empty where
// it is not built.
func dexProgram() string {
	path, err := filepath.Abs(filepath.Join("..", "..", ".cache", "build", "dex"))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// startDex is "dex [LIFE]": it starts a provider whose ID tokens are valid that long
// (an hour unless given), and sets ISSUER. "dex stop" ends it, "dex again [LIFE]"
// starts another one in its place, with other keys.
func startDex(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 2 {
		ts.Fatalf("usage: dex [stop | again] [LIFE]")
	}
	running, _ := ts.Value(dexKey{}).(*dexProcess)
	if running == nil {
		ts.Fatalf("dex: no place was made for it")
	}
	running.stop()
	if len(args) > 0 && args[0] == "stop" {
		return
	}
	if len(args) > 0 && args[0] == "again" {
		args = args[1:]
	} else {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		ts.Check(err)
		running.address = listener.Addr().String()
		ts.Check(listener.Close())
	}
	life := "1h"
	if len(args) > 0 {
		life = args[0]
	}
	running.cmd = exec.Command(dexProgram(), "-listen="+running.address, "-life="+life)
	var problems strings.Builder
	running.cmd.Stderr = &problems
	ts.Check(running.cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- running.cmd.Wait() }()
	running.ended = ended
	issuer := "http://" + running.address
	ts.Setenv("ISSUER", issuer)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			ended <- err
			ts.Fatalf("dex has ended: %v\n%s", err, problems.String())
		case <-tick.C:
			resp, err := http.Get(issuer + "/.well-known/openid-configuration")
			if err != nil {
				continue
			}
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
}

type dexKey struct{}

// dexProcess is the provider of one script.
type dexProcess struct {
	address string
	cmd     *exec.Cmd
	ended   chan error
}

func (d *dexProcess) stop() {
	if d.cmd != nil {
		_ = d.cmd.Process.Kill()
		<-d.ended
		d.cmd = nil
	}
}

// browse is the program of scripts for which BROWSER stands: it opens a page, fills
// in every form as the person that BROWSE_AS names, and goes where it is sent.
func browse() {
	if err := browsePage(os.Args[len(os.Args)-1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func browsePage(page string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	client := &http.Client{Jar: jar, Timeout: time.Minute}
	resp, err := client.Get(page)
	for range 10 {
		if err != nil {
			return err
		}
		at := resp.Request.URL
		doc, err := html.Parse(io.LimitReader(resp.Body, 1<<20))
		_ = resp.Body.Close()
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", at.Path, resp.Status)
		}
		action, fields := form(doc)
		if action == "" {
			return nil
		}
		if fields.Has("login") {
			fields.Set("login", os.Getenv("BROWSE_AS")+"@example.com")
			fields.Set("password", "password")
		}
		next, err := at.Parse(action)
		if err != nil {
			return err
		}
		resp, err = client.PostForm(next.String(), fields)
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("there are forms without end")
}

// form is the first form of a page: where it goes and what is in it.
func form(doc *html.Node) (action string, fields url.Values) {
	fields = url.Values{}
	inside := false
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		switch {
		case n.Data == "form" && action == "" && strings.EqualFold(attr["method"], "post"):
			action, inside = attr["action"], true
		case n.Data == "form":
			inside = false
		case n.Data == "input" && inside && attr["name"] != "":
			fields.Set(attr["name"], attr["value"])
		}
	}
	return action, fields
}

// idToken is "idtoken NAME": it sets TUTTI_TOKEN to an ID token of somebody, as a
// workload has one from its platform.
func idToken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: idtoken NAME")
	}
	resp, err := http.PostForm(ts.Getenv("ISSUER")+"/token", url.Values{
		"grant_type": {"password"}, "client_id": {"tutti"}, "scope": {"openid email groups"}, "username": {args[0] + "@example.com"}, "password": {"password"},
	})
	ts.Check(err)
	defer resp.Body.Close()
	var answer struct {
		IDToken string `json:"id_token"`
	}
	ts.Check(json.NewDecoder(resp.Body).Decode(&answer))
	if answer.IDToken == "" {
		ts.Fatalf("dex gives no ID token: %s", resp.Status)
	}
	ts.Setenv("TUTTI_TOKEN", answer.IDToken)
}
