package test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// sender runs one of the servers that scripts/senders.sh fetches, until the test ends.
func sender(t *testing.T, address, name string, args ...string) {
	t.Helper()
	path, err := filepath.Abs("../.cache/build/senders/usr/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		// The Alertmanager is installed.
		if path, err = exec.LookPath(filepath.Base(name)); err != nil {
			t.Fatalf("%s is missing: scripts/senders.sh fetches it", name)
		}
	}
	command := exec.Command(path, args...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait(); log.Close() })
	eventually(t, name+" takes connections", func() bool {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			connection.Close()
		}
		return err == nil
	})
}

// unused is an address that nobody listens at.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestServerSources: files, a stream of NATS, and a query of Prometheus start runs, each
// once, also for what happened while no server was there.
func TestServerSources(t *testing.T) {
	p := newServed(t)
	messages, metrics := unused(t), unused(t)
	host, port, _ := strings.Cut(messages, ":")
	sender(t, messages, "sbin/nats-server", "-a", host, "-p", port, "-js", "-sd", t.TempDir(), "--auth", "let-me-in")
	p.write("prometheus.yml", "scrape_configs:\n- job_name: itself\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  static_configs: [{targets: [\""+metrics+"\"]}]\n")
	sender(t, metrics, "bin/prometheus", "--config.file", filepath.Join(p.dir, "prometheus.yml"), "--web.listen-address", metrics, "--storage.tsdb.path", t.TempDir())
	connection, err := nats.Connect("nats://"+messages, nats.Token("let-me-in"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	stream, err := jetstream.New(connection)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.*"}}); err != nil {
		t.Fatal(err)
	}
	p.write("nats.token", "let-me-in")
	p.write("in/old.csv", "what was there before is no news")
	p.write("sources.tutti.hcl", fmt.Sprintf(`
secret "nats" {
  file { path = "nats.token" }
}
source "in" {
  files {
    directory = "in"
    patterns  = ["*.csv"]
    settle    = "0s"
  }
}
source "orders" {
  nats {
    servers = ["nats://%s"]
    subject = "orders.*"
    stream  = "ORDERS"
    token   = secret.nats
  }
}
source "up" {
  prometheus {
    url   = "http://%s"
    query = "up"
    above = 0.5
    every = "1s"
  }
}
trigger "file" {
  on     = { type = "file.created" }
  run    = workflow.greet
  inputs = { name = event.data.path }
}
trigger "order" {
  on     = { source = "/nats/orders" }
  run    = workflow.greet
  inputs = { name = event.data.item }
}
trigger "metric" {
  on     = { type = "io.prometheus.query.firing", data = { labels = { job = ["itself"] } } }
  run    = workflow.greet
  inputs = { name = "${event.data.query} ${event.data.value}" }
}
`, messages, metrics))
	s := p.server()
	succeeded := func(prefix string, count int) {
		t.Helper()
		eventually(t, fmt.Sprint(count, " runs of ", prefix), func() bool {
			done := 0
			for _, status := range s.runsOf(prefix + "-e") {
				if status == "succeeded" {
					done++
				}
			}
			return done == count
		})
	}
	succeeded("metric", 1)
	order := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if _, err := stream.Publish(t.Context(), "orders.new", fmt.Appendf(nil, `{"item":"%d"}`, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	order(0, 3)
	succeeded("order", 3)
	p.write("in/one.csv", "1")
	succeeded("file", 1)
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	order(3, 6)
	p.write("in/two.csv", "2")
	p.write("in/notes.txt", "not for anybody")
	s = p.server()
	succeeded("order", 6)
	succeeded("file", 2)
	succeeded("metric", 1)
}

// TestServerAlertmanager: a rule of Prometheus fires, its Alertmanager tells the server,
// and a run starts.
func TestServerAlertmanager(t *testing.T) {
	p := newServed(t)
	metrics, manager := unused(t), unused(t)
	p.write("monitor.secret", "the-secret-of-the-monitor")
	p.write("alerts.tutti.hcl", `
secret "monitor" {
  file { path = "monitor.secret" }
}
webhook "alerts" {
  kind   = "alertmanager"
  secret = secret.monitor
}
trigger "alert" {
  on     = { type = "io.prometheus.alert.firing", data = { labels = { severity = ["page"] } } }
  run    = workflow.greet
  inputs = { name = event.data.labels.alertname }
}
`)
	s := p.server()
	p.write("rules.yml", "groups:\n- name: a\n  interval: 200ms\n  rules:\n  - alert: Up\n    expr: vector(1) > 0\n    labels: {severity: page}\n")
	p.write("prometheus.yml", "global: {evaluation_interval: 200ms}\nrule_files: [rules.yml]\nalerting:\n  alertmanagers:\n  - static_configs: [{targets: [\""+manager+"\"]}]\n")
	p.write("alertmanager.yml", "route: {receiver: tutti, group_wait: 100ms, group_interval: 1s}\nreceivers:\n- name: tutti\n  webhook_configs:\n  - url: "+s.url+"/hooks/alerts\n    http_config: {authorization: {credentials_file: "+filepath.Join(p.dir, "monitor.secret")+"}}\n")
	sender(t, manager, "bin/prometheus-alertmanager", "--config.file", filepath.Join(p.dir, "alertmanager.yml"), "--web.listen-address", manager, "--storage.path", t.TempDir(), "--cluster.listen-address=")
	sender(t, metrics, "bin/prometheus", "--config.file", filepath.Join(p.dir, "prometheus.yml"), "--web.listen-address", metrics, "--storage.tsdb.path", t.TempDir(), "--rules.alert.resend-delay", "1s")
	eventually(t, "the run of the alert", func() bool {
		for _, status := range s.runsOf("alert-e") {
			return status == "succeeded"
		}
		return false
	})
	var list struct {
		Items []struct{ Type, Subject string }
	}
	s.get(&list, http.StatusOK, http.MethodGet, "/events?limit=500", nil)
	found := 0
	for _, e := range list.Items {
		if e.Type == "io.prometheus.alert.firing" && e.Subject == "Up" {
			found++
		}
	}
	if found != 1 {
		t.Errorf("the alert is there %d times", found)
	}
}
