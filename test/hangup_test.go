package test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// TestHangupServer: a closed terminal ends no server, which reads its certificate again.
func TestHangupServer(t *testing.T) {
	certificate, key := selfSigned(t)
	s := newServed(t).server("-tls-cert="+certificate, "-tls-key="+key)
	shown := func() []byte {
		t.Helper()
		conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // whichever it is
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Raw
	}
	first := shown()
	other, otherKey := selfSigned(t)
	for from, to := range map[string]string{other: certificate, otherKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shown(), first) {
		t.Error("a certificate is used that nobody asked to be read")
	}
	hangUp := func() {
		t.Helper()
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hangUp()
	eventually(t, "the other certificate", func() bool { return bytes.Equal(shown(), block.Bytes) })
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, s.log.String())
	}
}

// TestHangupApply: an apply whose terminal is closed finishes what it is doing and
// records it, however often it is told; under nohup it goes on.
func TestHangupApply(t *testing.T) {
	// Whoever runs the tests may ignore the signal, and with them what they start.
	own := make(chan os.Signal, 1)
	signal.Notify(own, syscall.SIGHUP)
	defer signal.Stop(own)
	for _, ignored := range []bool{false, true} {
		p := newProject(t, twins)
		p.pipe("go")
		cmd := p.command("apply", "-auto-approve", "-parallelism=1")
		if ignored {
			cmd = exec.Command("sh", "-c", `trap "" HUP; exec "$0" "$@"`, cmd.Path, "apply", "-auto-approve")
			cmd.Dir, cmd.Env = p.dir, p.env
		}
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p.await("started")
		for range 3 {
			if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		lines, said := bufio.NewScanner(stderr), ""
		for !ignored && !strings.Contains(said, "Interrupt received") && lines.Scan() {
			said += lines.Text()
		}
		p.release()
		for lines.Scan() {
			said += lines.Text()
		}
		err = cmd.Wait()
		list := p.mustRun("state", "list")
		switch {
		case ignored && (err != nil || strings.Count(list, "\n") != 3):
			t.Errorf("ignored, it ends with %v and leaves %s", err, list)
		case !ignored && (cmd.ProcessState.ExitCode() != 1 || strings.Contains(said, "Second interrupt") || p.runs()[0].Status != "cancelled" || !strings.Contains(list, "terraform_data.first")):
			t.Errorf("exit code %d, %+v, %s; it says %s", cmd.ProcessState.ExitCode(), p.runs(), list, said)
		}
	}
}
