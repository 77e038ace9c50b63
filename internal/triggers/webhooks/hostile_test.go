package webhooks_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

// sender makes requests as one of those whose webhooks are taken does.
type sender struct {
	kind webhooks.Kind
	body string
	// sign signs any body at a time.
	sign func(body string, at time.Time) webhooks.Request
	// proofs are the headers without which nothing must be taken.
	proofs []string
	// timed and signed say what the proof is about.
	timed, signed bool
}

var senders = []sender{
	{webhooks.GitHub, pushBody, func(body string, _ time.Time) webhooks.Request {
		return request(body, "Content-Type: application/json", "X-GitHub-Event: push", "X-GitHub-Delivery: d", "X-Hub-Signature-256: sha256="+mac(secret, body))
	}, []string{"X-Hub-Signature-256"}, false, true},
	{webhooks.Gitea, giteaBody, func(body string, _ time.Time) webhooks.Request {
		return request(body, "Content-Type: application/json", "X-Gitea-Event: push", "X-Gitea-Delivery: d", "X-Gitea-Signature: "+mac(secret, body))
	}, []string{"X-Gitea-Signature"}, false, true},
	{webhooks.GitLab, mergeBody, func(body string, _ time.Time) webhooks.Request {
		return request(body, "Content-Type: application/json", "X-Gitlab-Token: "+secret, "Idempotency-Key: d")
	}, []string{"X-Gitlab-Token"}, false, false},
	{webhooks.GitLab, mergeBody, signStandard, []string{"webhook-signature", "webhook-timestamp", "webhook-id"}, true, true},
	{webhooks.Standard, stdBody, signStandard, []string{"webhook-signature", "webhook-timestamp", "webhook-id"}, true, true},
	{webhooks.Slack, slackBody, func(body string, at time.Time) webhooks.Request {
		return request(body, "Content-Type: application/json", "X-Slack-Request-Timestamp: "+stamp(at), "X-Slack-Signature: v0="+mac(secret, "v0:"+stamp(at)+":"+body))
	}, []string{"X-Slack-Signature", "X-Slack-Request-Timestamp"}, true, true},
	{webhooks.Alertmanager, alertBody, func(body string, _ time.Time) webhooks.Request {
		return request(body, "Content-Type: application/json", "Authorization: Bearer "+secret)
	}, []string{"Authorization"}, false, false},
	{webhooks.CloudEvents, ceBody, func(body string, _ time.Time) webhooks.Request {
		return request(body, "Content-Type: application/cloudevents+json", "Authorization: Bearer "+secret)
	}, []string{"Authorization"}, false, false},
}

func signStandard(body string, at time.Time) webhooks.Request {
	sum, _ := hex.DecodeString(mac(secret, "delivery.", stamp(at), ".", body))
	return request(body, "Content-Type: application/json", "webhook-id: delivery", "webhook-timestamp: "+stamp(at), "webhook-signature: v1,"+base64.StdEncoding.EncodeToString(sum))
}

// smallBody is the limit of bodies in the test, so that it is quick.
const smallBody = 64 << 10

var (
	deepArray  = strings.Repeat("[", 50_000)
	deepObject = strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
)

// spoil makes of a request that would be taken one that must not be, and says how.
func spoil(r *rand.Rand, s *sender) (webhooks.Request, string) {
	good := s.sign(s.body, now)
	proof := s.proofs[r.IntN(len(s.proofs))]
	value := func() string { return good.Header.Get(proof) }
	set := func(v string) { good.Header.Set(proof, v) }
	switch r.IntN(14) {
	case 0:
		good.Header.Del(proof)
		return good, "without " + proof
	case 1:
		good.Header.Add(proof, value())
		return good, "twice " + proof
	case 2:
		good.Header[strings.ToLower(proof)] = []string{value()}
		good.Header[http.CanonicalHeaderKey(proof)] = []string{value()}
		return good, "twice in other case " + proof
	case 3:
		set(value()[:r.IntN(len(value()))])
		return good, "cut " + proof
	case 4:
		v := []byte(value())
		v[len(v)-2-r.IntN(3)] ^= byte(1 + r.IntN(3)) // before what base64 may leave open
		set(string(v))
		return good, "altered " + proof
	case 5:
		set([]string{"", " ", "sha256=", "v1,", "v1", "v0=", "Bearer ", "Bearer", "Basic Og==", "null", "\x00", "sha1=" + mac(secret, s.body), strings.Repeat("v1,AAAA ", 100), strings.Repeat("9", 400), "-1", "1e9"}[r.IntN(16)])
		return good, "another " + proof
	case 6:
		good.Method = []string{"GET", "PUT", "", "post", "OPTIONS", "DELETE"}[r.IntN(6)]
		return good, "by " + good.Method
	case 7:
		good.Header.Set("Content-Encoding", []string{"gzip", "br", "deflate, identity"}[r.IntN(3)])
		return good, "compressed"
	case 8:
		good.Header.Set("Content-Type", []string{"", "text/html", "application/json; charset=utf-16", ";", "application/xml", "multipart/form-data", "application/cloudevents+avro"}[r.IntN(7)])
		return good, "of another type"
	case 9:
		if s.timed {
			return s.sign(s.body, now.Add([]time.Duration{-6 * time.Minute, 6 * time.Minute, -time.Hour * 24 * 365, time.Hour * 24 * 365 * 100}[r.IntN(4)])), "of another time"
		}
	case 10:
		if s.signed {
			body := []byte(s.body)
			body[r.IntN(len(body))] ^= byte(1 + r.IntN(255))
			good.Body = body
			return good, "altered after it was signed"
		}
	case 11:
		return s.sign(s.body+strings.Repeat(" ", smallBody), now), "too large"
	}
	// By whom it should be, and not what it should be.
	cut := r.IntN(len(s.body))
	garbage := make([]byte, r.IntN(200))
	for i := range garbage {
		garbage[i] = byte(r.Uint32())
	}
	bodies := []string{
		s.body[:cut], s.body + "x", s.body + s.body, "", "null", "[]", "1", `"x"`, "{}", "[null]", `{"specversion":1`, string(garbage), deepArray, deepObject,
		`{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "," + s.body[1:],
		`{"ref":"a","ref":"b","type":"a","type":"b","object_kind":"a","object_kind":"b",` + s.body[1:], `{"x":{"y":1,"y":2},` + s.body[1:],
		`{"x":"` + "\xff\xfe" + `",` + s.body[1:], strings.Replace(s.body, ":", "::", 1), `{"x":"\ud8",` + s.body[1:], `{"x":01,` + s.body[1:],
		"\xef\xbb\xbf" + s.body, strings.Replace(s.body, `"`, "'", 1), "{\"x\":\"\x01\"," + s.body[1:], `{"x":NaN,` + s.body[1:], `{,` + s.body[1:],
	}
	n := r.IntN(len(bodies))
	if bodies[n] == "{}" && (s.kind == webhooks.GitHub || s.kind == webhooks.Gitea || s.kind == webhooks.Standard) {
		n = 0 // an empty object is an event of these
	}
	return s.sign(bodies[n], now), fmt.Sprint("signed body ", n)
}

// TestHostile: of ten thousand requests that are forged, altered, ambiguous or
// malformed none is taken, and none takes long.
func TestHostile(t *testing.T) {
	whsec := "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret))
	var endpoints []*webhooks.Endpoint
	for i := range senders {
		s := &senders[i]
		key := secret
		if s.kind == webhooks.Standard || s.kind == webhooks.GitLab && s.timed {
			key = whsec
		}
		e, err := webhooks.New(webhooks.Config{Kind: s.kind, Source: "/hooks/test", Secrets: []string{"another secret", key}, Body: smallBody})
		if err != nil {
			t.Fatal(err)
		}
		if _, rejection := e.Receive(s.sign(s.body, now), now); rejection != nil {
			t.Fatalf("%s: what is right is refused: %s", s.kind, rejection)
		}
		endpoints = append(endpoints, e)
	}
	r := rand.New(rand.NewPCG(1, 2))
	reasons := map[webhooks.Reason]int{}
	for n := range 10_000 {
		at := n % len(senders)
		bad, how := spoil(r, &senders[at])
		d, rejection := endpoints[at].Receive(bad, now)
		if rejection == nil {
			t.Errorf("%s: taken: %s\n%v\n%.300s\n%+v", senders[at].kind, how, bad.Header, bad.Body, d)
			continue
		}
		if rejection.Status() < 400 || rejection.Detail == "" || strings.Contains(rejection.Error(), secret) {
			t.Errorf("%s: %d %s", senders[at].kind, rejection.Status(), rejection)
		}
		reasons[rejection.Reason]++
	}
	for _, reason := range []webhooks.Reason{webhooks.WrongMethod, webhooks.TooLarge, webhooks.UnknownEncoding, webhooks.UnknownType, webhooks.NoSignature, webhooks.WrongSignature, webhooks.Stale, webhooks.Ambiguous, webhooks.Malformed} {
		if reasons[reason] < 20 {
			t.Errorf("%s: %d times; the test says little about it", reason, reasons[reason])
		}
	}
}

// FuzzReceive: whatever comes to an open endpoint is an event that can be written
// down, or is refused.
func FuzzReceive(f *testing.F) {
	for i := range senders {
		f.Add(i, "application/json", []byte(senders[i].body))
	}
	f.Add(7, "application/cloudevents-batch+json", []byte("["+ceBody+"]"))
	f.Add(5, "application/x-www-form-urlencoded", []byte("command=%2fx&text=%ff"))
	f.Add(7, "text/plain", []byte("x"))
	f.Fuzz(func(t *testing.T, which int, media string, body []byte) {
		s := &senders[uint(which)%uint(len(senders))]
		r := s.sign(string(body), now)
		r.Header.Set("Content-Type", media)
		if s.kind == webhooks.CloudEvents && which%2 == 0 {
			for name, value := range map[string]string{"ce-id": "1", "ce-source": "s", "ce-type": "t", "ce-specversion": "1.0"} {
				r.Header.Set(name, value)
			}
		}
		d, rejection := endpoint(t, s.kind).Receive(r, now)
		if rejection != nil {
			return
		}
		for _, e := range d.Events {
			checkReceived(t, &e)
		}
	})
}
