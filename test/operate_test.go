package test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const patient = `
workflow "wait" {
  variable "secret" {
    type      = string
    sensitive = true
  }
  step "look" {
    exec {
      command     = ["sh", "-c", "echo looking; until [ -e go ]; do sleep 0.05; done; echo found"]
      environment = { HIDDEN = var.secret }
      idempotent  = true
    }
  }
}
`

// A server that is asked to end gives running steps only so long, closes the
// streams, and exits as one that has done its work. The next one goes on.
func TestServerLeavesRuns(t *testing.T) {
	p := newServed(t)
	p.write("project.tutti.hcl", served+patient)
	s := p.server("-log-format=json", "-grace=1s")
	var run servedRun
	s.get(&run, 201, "POST", "/runs", map[string]any{"workflow": "wait", "inputs": map[string]any{"secret": "correct-horse"}})
	ended := make(chan string, 1)
	looking := make(chan struct{})
	go func() {
		last, once := "", sync.OnceFunc(func() { close(looking) })
		s.follow(run.ID, func(kind string, data []byte) {
			last = kind
			if strings.Contains(string(data), "looking") {
				once()
			}
		})
		ended <- last
	}()
	<-looking
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if last := <-ended; last == "end" { // which would say that nothing follows: clients come back
		t.Error("the stream says that the run has ended")
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server ends with %v:\n%s", err, s.log.String())
	}
	checkLog(t, s.log.String(), run.ID)

	p.write("go", "")
	s = p.server()
	if status, text := s.follow(run.ID, nil); status != "succeeded" || !strings.HasSuffix(text, "found\n") {
		t.Errorf("the run %s: %q", status, text)
	}
}

// checkLog holds a log in JSON against what is known to have happened.
func checkLog(t *testing.T, log, run string) {
	t.Helper()
	if strings.Contains(log, "correct-horse") {
		t.Error("the log has a secret")
	}
	var said []string
	for line := range strings.SplitSeq(strings.TrimSpace(log), "\n") {
		var entry struct{ Time, Level, Msg, Run, Step, Outcome string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Level == "" {
			t.Errorf("%v in the log: %s", err, line)
		}
		if entry.Run == run {
			said = append(said, strings.TrimSpace(entry.Msg+" "+entry.Step))
		}
	}
	all := strings.Join(said, "; ")
	for _, want := range []string{"run begins", "step begins look", "step ends look", "run ends"} {
		if !strings.Contains(all, want) {
			t.Errorf("the log does not say %q of the run: %s", want, all)
		}
	}
}

// receiver is a collector of traces.
type receiver struct {
	mu    sync.Mutex
	spans []*trace.Span
	raw   []byte
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(req.Body)
	}
	data, err := io.ReadAll(body)
	var sent collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(data, &sent)
	}
	if err != nil || req.URL.Path != "/v1/traces" {
		http.Error(w, "not traces", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw = append(r.raw, data...)
	for _, resource := range sent.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// A run, its steps and their calls of providers are one trace, which belongs to that of
// whoever began the command.
func TestTraces(t *testing.T) {
	p := newProject(t, `
variable "password" {
  default   = "correct-horse"
  sensitive = true
}
resource "null_resource" "a" {
  triggers = { password = var.password }
}
`)
	p.env = append(p.env, "TF_CLI_CONFIG_FILE="+providerMirror(t))
	if out, code := p.run("init"); code != 0 {
		t.Fatal(out)
	}
	r := &receiver{}
	at := httptest.NewServer(r)
	defer at.Close()
	p.env = append(p.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+at.URL, "TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if out, code := p.run("apply", "-auto-approve"); code != 0 {
		t.Fatal(out)
	}
	byID := map[string]*trace.Span{}
	var call *trace.Span
	for _, s := range r.spans {
		byID[string(s.SpanId)] = s
		if s.Name == "ApplyResourceChange" {
			call = s
		}
	}
	if call == nil {
		t.Fatalf("no call among %d spans", len(r.spans))
	}
	var path []string
	for s := call; s != nil; s = byID[string(s.ParentSpanId)] {
		if !bytes.Equal(s.TraceId, []byte("\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c")) {
			t.Errorf("%s is in another trace: %x", s.Name, s.TraceId)
		}
		if s.EndTimeUnixNano <= s.StartTimeUnixNano {
			t.Errorf("%s took no time", s.Name)
		}
		path = append(path, s.Name)
	}
	if got := strings.Join(path, " < "); got != "ApplyResourceChange < create null_resource.a < run apply < tutti apply" {
		t.Error(got)
	}
	if bytes.Contains(r.raw, []byte("correct-horse")) {
		t.Error("a trace has a secret")
	}

	// A collector that is not there changes nothing but a warning.
	at.Close()
	if out, code := p.run("apply", "-auto-approve"); code != 0 || !strings.Contains(out, "Traces cannot be sent") {
		t.Errorf("%d: %s", code, out)
	}
}
