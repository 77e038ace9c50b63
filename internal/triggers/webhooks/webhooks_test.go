package webhooks_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const secret = "It's a Secret to Everybody"

// request makes a request of header lines and a body.
func request(body string, headers ...string) webhooks.Request {
	r := webhooks.Request{Method: http.MethodPost, Header: http.Header{}, Body: []byte(body)}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func endpoint(t testing.TB, kind webhooks.Kind, secrets ...string) *webhooks.Endpoint {
	t.Helper()
	e, err := webhooks.New(webhooks.Config{Kind: kind, Source: "/hooks/test", Secrets: secrets, Open: len(secrets) == 0})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func mac(key string, parts ...string) string {
	h := hmac.New(sha256.New, []byte(key))
	for _, part := range parts {
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func stamp(at time.Time) string { return fmt.Sprint(at.Unix()) }

// Bodies written after the documentation of those who send them, shortened.
const (
	pushBody  = `{"ref":"refs/heads/main","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5","repository":{"id":1,"full_name":"octo/hello","html_url":"https://github.com/octo/hello"},"pusher":{"name":"octo"},"commits":[]}`
	pullBody  = `{"action":"opened","number":2,"pull_request":{"number":2,"title":"Grüße","merged":false},"repository":{"html_url":"https://github.com/octo/hello"}}`
	mergeBody = `{"object_kind":"merge_request","event_type":"merge_request","project":{"id":1,"web_url":"https://gitlab.example/g/p"},"object_attributes":{"id":99,"iid":7,"action":"open"}}`
	giteaBody = `{"ref":"refs/heads/develop","before":"28e1879d029cb852e4844d9c718537df08844e03","repository":{"html_url":"http://localhost:3000/gitea/webhooks"}}`
	stdBody   = `{"type":"user.created","timestamp":"2022-11-03T20:26:10.344522Z","data":{"id":"1f81eb52"}}`
	alertBody = `{"version":"4","groupKey":"{}:{alertname=\"Down\"}","status":"firing","receiver":"tutti","groupLabels":{"alertname":"Down"},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://alerts.example","alerts":[` +
		`{"status":"firing","labels":{"alertname":"Down","instance":"a"},"annotations":{},"startsAt":"2026-03-01T11:58:00.5Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p/","fingerprint":"00a1"},` +
		`{"status":"resolved","labels":{"alertname":"Down","instance":"b"},"annotations":{},"startsAt":"2026-03-01T11:50:00Z","endsAt":"2026-03-01T11:59:00Z","generatorURL":"http://p/","fingerprint":"00b2"}]}`
	slackBody = `{"token":"x","team_id":"T1","api_app_id":"A1","event":{"type":"app_mention","user":"U1","text":"<@U0> deploy"},"type":"event_callback","event_id":"Ev1","event_time":1772366400}`
	ceBody    = `{"specversion":"1.0","type":"com.example.thing","source":"/things","subject":"1","id":"A-1","time":"2018-04-05T17:31:00Z","comexampleextension1":"value","comexampleothervalue":5,"datacontenttype":"application/json","data":{"a":[1,2]}}`
)

func TestReceive(t *testing.T) {
	whsec := "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret))
	at := stamp(now)
	signStandard := func(id, body string) string {
		sum, _ := hex.DecodeString(mac(secret, id, ".", at, ".", body))
		return base64.StdEncoding.EncodeToString(sum)
	}
	public, private, err := ed25519.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	command := "token=old&team_id=T1&command=%2Fdeploy&text=prod+now&trigger_id=13.3"
	for _, c := range []struct {
		name    string
		kind    webhooks.Kind
		secrets []string
		request webhooks.Request
		want    []string // "TYPE ID SOURCE SUBJECT TIME"
	}{
		{"GitHub push", webhooks.GitHub, []string{"another one", secret}, request(pushBody, "Content-Type: application/json", "X-GitHub-Event: push", "X-GitHub-Delivery: d-1", "X-Hub-Signature-256: sha256="+mac(secret, pushBody)),
			[]string{"com.github.push d-1 https://github.com/octo/hello refs/heads/main 2026-03-01T12:00:00Z"}},
		{"GitHub pull request", webhooks.GitHub, []string{secret}, request(pullBody, "Content-Type: application/json; charset=UTF-8", "X-GitHub-Event: pull_request", "X-GitHub-Delivery: d-2", "X-Hub-Signature-256: sha256="+mac(secret, pullBody)),
			[]string{"com.github.pull_request.opened d-2 https://github.com/octo/hello 2 2026-03-01T12:00:00Z"}},
		{"GitHub as a form", webhooks.GitHub, []string{secret}, request("payload=%7B%22zen%22%3A%22x%22%7D", "Content-Type: application/x-www-form-urlencoded", "X-GitHub-Event: ping", "X-GitHub-Delivery: d-3", "X-Hub-Signature-256: sha256="+mac(secret, "payload=%7B%22zen%22%3A%22x%22%7D")),
			[]string{"com.github.ping d-3 /hooks/test  2026-03-01T12:00:00Z"}},
		{"GitLab token", webhooks.GitLab, []string{"old secret", secret}, request(mergeBody, "Content-Type: application/json", "X-Gitlab-Event: Merge Request Hook", "X-Gitlab-Token: "+secret, "Idempotency-Key: k-1"),
			[]string{"com.gitlab.merge_request k-1 https://gitlab.example/g/p 7 2026-03-01T12:00:00Z"}},
		{"GitLab signature", webhooks.GitLab, []string{whsec}, request(mergeBody, "Content-Type: application/json", "webhook-id: k-2", "webhook-timestamp: "+at, "webhook-signature: v1,"+signStandard("k-2", mergeBody)),
			[]string{"com.gitlab.merge_request k-2 https://gitlab.example/g/p 7 2026-03-01T12:00:00Z"}},
		{"Gitea", webhooks.Gitea, []string{secret}, request(giteaBody, "Content-Type: application/json", "X-Gitea-Event: push", "X-Gitea-Delivery: f6", "X-Gitea-Signature: "+mac(secret, giteaBody)),
			[]string{"com.gitea.push f6 http://localhost:3000/gitea/webhooks refs/heads/develop 2026-03-01T12:00:00Z"}},
		{"Standard Webhooks, keys changed", webhooks.Standard, []string{"whsec_" + base64.StdEncoding.EncodeToString([]byte("the next one")), whsec}, request(stdBody, "Content-Type: application/json", "webhook-id: msg_1", "webhook-timestamp: "+at, "webhook-signature: v1,AAAA v2,x v1,"+signStandard("msg_1", stdBody)),
			[]string{"user.created msg_1 /hooks/test  2026-03-01T12:00:00Z"}},
		{"Standard Webhooks, a pair of keys", webhooks.Standard, []string{"whpk_" + base64.StdEncoding.EncodeToString(public)}, request(stdBody, "Content-Type: application/json", "webhook-id: msg_2", "webhook-timestamp: "+at,
			"webhook-signature: v1a,"+base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte("msg_2."+at+"."+stdBody)))),
			[]string{"user.created msg_2 /hooks/test  2026-03-01T12:00:00Z"}},
		{"Alertmanager", webhooks.Alertmanager, []string{secret}, request(alertBody, "Content-Type: application/json", "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("tutti:"+secret))),
			[]string{"io.prometheus.alert.firing 00a1-2026-03-01T11:58:00.5Z-firing http://alerts.example Down 2026-03-01T11:58:00.5Z", "io.prometheus.alert.resolved 00b2-2026-03-01T11:50:00Z-resolved-2026-03-01T11:59:00Z http://alerts.example Down 2026-03-01T11:59:00Z"}},
		{"Slack", webhooks.Slack, []string{secret}, request(slackBody, "Content-Type: application/json", "X-Slack-Request-Timestamp: "+at, "X-Slack-Signature: v0="+mac(secret, "v0:"+at+":"+slackBody)),
			[]string{"com.slack.app_mention Ev1 https://slack.com/T1  2026-03-01T12:00:00Z"}},
		{"Slack command", webhooks.Slack, []string{secret}, request(command, "Content-Type: application/x-www-form-urlencoded", "X-Slack-Request-Timestamp: "+at, "X-Slack-Signature: v0="+mac(secret, "v0:"+at+":"+command)),
			[]string{"com.slack.command 13.3 https://slack.com/T1 /deploy 2026-03-01T12:00:00Z"}},
		{"CloudEvents, structured", webhooks.CloudEvents, []string{secret}, request(ceBody, "Content-Type: application/cloudevents+json; charset=utf-8", "Authorization: Bearer "+secret),
			[]string{"com.example.thing A-1 /things 1 2018-04-05T17:31:00Z"}},
		{"CloudEvents, a batch", webhooks.CloudEvents, []string{secret}, request("["+ceBody+","+strings.Replace(ceBody, "A-1", "A-2", 1)+"]", "Content-Type: application/cloudevents-batch+json", "Authorization: bearer "+secret),
			[]string{"com.example.thing A-1 /things 1 2018-04-05T17:31:00Z", "com.example.thing A-2 /things 1 2018-04-05T17:31:00Z"}},
		{"CloudEvents, an empty batch", webhooks.CloudEvents, []string{secret}, request("[]", "Content-Type: application/cloudevents-batch+json", "Authorization: bearer "+secret), nil},
		{"CloudEvents, binary", webhooks.CloudEvents, []string{secret}, request(`{"x":1}`, "Content-Type: application/json", "Authorization: Bearer "+secret, "ce-specversion: 1.0", "ce-type: t", "ce-source: /s", "ce-id: 1", "ce-subject: Euro%20%E2%82%AC%20%F0%9F%98%80"),
			[]string{"t 1 /s Euro € 😀 2026-03-01T12:00:00Z"}},
		{"CloudEvents, without data", webhooks.CloudEvents, nil, request("", "ce-specversion: 1.0", "ce-type: t", "ce-source: /s", "ce-id: 2"), []string{"t 2 /s  2026-03-01T12:00:00Z"}},
	} {
		d, rejection := endpoint(t, c.kind, c.secrets...).Receive(c.request, now)
		if rejection != nil {
			t.Errorf("%s: %s", c.name, rejection)
			continue
		}
		var got []string
		for _, e := range d.Events {
			got = append(got, fmt.Sprintf("%s %s %s %s %s", e.Type, e.ID, e.Source, e.Subject, e.Time.UTC().Format(time.RFC3339Nano)))
			if e.Digest == "" {
				t.Errorf("%s: no digest", c.name)
			}
			checkReceived(t, &e)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
		// The same request again has the same ids; with any byte changed, or by
		// somebody else, it is nothing.
		if len(c.secrets) == 0 || c.kind == webhooks.CloudEvents || c.kind == webhooks.Alertmanager || c.name == "GitLab token" {
			continue
		}
		c.request.Body = append([]byte(" "), c.request.Body...)
		if _, rejection := endpoint(t, c.kind, c.secrets...).Receive(c.request, now); rejection == nil || rejection.Reason != webhooks.WrongSignature || rejection.Status() != 401 {
			t.Errorf("%s, altered: %v", c.name, rejection)
		}
	}
}

// checkReceived: what is received can be written as a CloudEvent.
func checkReceived(t *testing.T, e *webhooks.Received) {
	t.Helper()
	text, err := e.JSON()
	var back map[string]any
	if err != nil || json.Unmarshal(text, &back) != nil || back["id"] != e.ID || back["source"] != e.Source || back["type"] != e.Type || back["specversion"] != "1.0" {
		t.Errorf("%s, %v", text, err)
	}
}

// TestPublishedSignatures has the examples that GitHub, Slack and Standard Webhooks
// publish for those who check signatures.
func TestPublishedSignatures(t *testing.T) {
	hello := request("Hello, World!", "Content-Type: application/json", "X-GitHub-Event: x", "X-GitHub-Delivery: 1", "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	if _, rejection := endpoint(t, webhooks.GitHub, secret).Receive(hello, now); rejection == nil || rejection.Reason != webhooks.Malformed {
		t.Errorf("GitHub: %v", rejection) // signed, and not JSON
	}
	slack := request("token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
		"Content-Type: application/x-www-form-urlencoded", "X-Slack-Request-Timestamp: 1531420618", "X-Slack-Signature: v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503")
	d, rejection := endpoint(t, webhooks.Slack, "8f742231b10e8888abcd99yyyzzz85a5").Receive(slack, time.Unix(1531420618+300, 0))
	if rejection != nil || d.Events[0].Subject != "/webhook-collect" || strings.Contains(string(d.Events[0].Data), "xyzz0") {
		t.Errorf("Slack: %v", rejection)
	}
	standard := request(`{"test": 2432232314}`, "Content-Type: application/json", "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp: 1614265330", "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	if _, rejection := endpoint(t, webhooks.Standard, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").Receive(standard, time.Unix(1614265330-300, 0)); rejection != nil {
		t.Errorf("Standard Webhooks: %v", rejection)
	}
}

// TestSign: what we send is what we would take, until it is too old.
func TestSign(t *testing.T) {
	secrets := []string{"whsec_" + base64.StdEncoding.EncodeToString([]byte("first secret")), "second secret"}
	header, err := webhooks.Sign(secrets, "msg_1", now, []byte(stdBody))
	if err != nil {
		t.Fatal(err)
	}
	header.Set("Content-Type", "application/json")
	r := webhooks.Request{Method: "POST", Header: header, Body: []byte(stdBody)}
	for _, known := range secrets {
		if _, rejection := endpoint(t, webhooks.Standard, known).Receive(r, now.Add(5*time.Minute)); rejection != nil {
			t.Error(rejection)
		}
		for _, at := range []time.Time{now.Add(5*time.Minute + time.Second), now.Add(-5*time.Minute - time.Second)} {
			if _, rejection := endpoint(t, webhooks.Standard, known).Receive(r, at); rejection == nil || rejection.Reason != webhooks.Stale {
				t.Error(rejection)
			}
		}
	}
	for _, wrong := range [][]string{nil, {""}, {"short"}, {"whsec_?"}} {
		if _, err := webhooks.Sign(wrong, "x", now, nil); err == nil {
			t.Errorf("%q signs", wrong)
		}
	}
}

// TestSlackVerification answers what Slack asks before it sends anything.
func TestSlackVerification(t *testing.T) {
	d, rejection := endpoint(t, webhooks.Slack).Receive(request(`{"type":"url_verification","token":"x","challenge":"3eZbrw1a"}`, "Content-Type: application/json"), now)
	if rejection != nil || string(d.Reply) != "3eZbrw1a" || len(d.Events) != 0 {
		t.Errorf("%+v, %v", d, rejection)
	}
}

// TestData: data that is not JSON comes as text, or in base64.
func TestData(t *testing.T) {
	attributes := []string{"ce-specversion: 1.0", "ce-type: t", "ce-source: /s", "ce-id: 1"}
	for _, c := range []struct{ media, body, want string }{
		{"application/json", `{"a":1}`, `"data":{"a":1}`},
		{"application/vnd.x+json", `[1]`, `"data":[1]`},
		{"text/plain", "a\nb", `"data":"a\nb"`},
		{"application/octet-stream", "\x00\xff", `"data_base64":"AP8="`},
	} {
		d, rejection := endpoint(t, webhooks.CloudEvents).Receive(request(c.body, append(attributes, "Content-Type: "+c.media)...), now)
		if rejection != nil {
			t.Errorf("%s: %s", c.media, rejection)
			continue
		}
		if text, err := d.Events[0].JSON(); err != nil || !strings.Contains(string(text), c.want) {
			t.Errorf("%s: %s, %v", c.media, text, err)
		}
	}
	structured := `{"specversion":"1.0","id":"1","source":"s","type":"t","subject":null,"x":true,"datacontenttype":"application/xml","data_base64":"AP8="}`
	d, rejection := endpoint(t, webhooks.CloudEvents).Receive(request(structured, "Content-Type: application/cloudevents+json"), now)
	if rejection != nil {
		t.Fatal(rejection)
	}
	if text, _ := d.Events[0].JSON(); !strings.Contains(string(text), `"data_base64":"AP8="`) || !strings.Contains(string(text), `"x":true`) {
		t.Errorf("%s", text)
	}
}

func TestNew(t *testing.T) {
	if text := fmt.Sprintf("%+v", endpoint(t, webhooks.GitHub, secret)); text != "github webhooks of /hooks/test" {
		t.Error(text)
	}
	for _, c := range []webhooks.Config{
		{}, {Kind: "x", Source: "s", Open: true}, {Kind: webhooks.GitHub, Source: "s"}, {Kind: webhooks.GitHub, Open: true},
		{Kind: webhooks.GitHub, Source: "s", Open: true, Secrets: []string{secret}}, {Kind: webhooks.GitHub, Source: "s", Secrets: []string{secret, ""}},
		{Kind: webhooks.Standard, Source: "s", Secrets: []string{"whsec_hunter2!"}}, {Kind: webhooks.Standard, Source: "s", Secrets: []string{"whpk_AAAA"}},
		{Kind: webhooks.GitHub, Source: "s", Open: true, Body: 1 << 30}, {Kind: webhooks.GitHub, Source: "s", Open: true, Tolerance: 2 * time.Hour},
	} {
		if _, err := webhooks.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s tells the secret", err)
		}
	}
}
