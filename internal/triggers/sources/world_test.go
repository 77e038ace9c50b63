package sources

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

// box is an inbox in memory, which outlives the sources that are run with it.
type box struct {
	mutex   sync.Mutex
	memory  []byte
	ids     map[string]bool
	fail    int // how many of the next calls to refuse
	refuse  int // which call from now to refuse, and all after it; 0 for none
	arrived chan webhooks.Received
	taken   chan struct{} // an element for each call that was not refused
}

func newBox() *box {
	return &box{ids: map[string]bool{}, arrived: make(chan webhooks.Received, 10_000), taken: make(chan struct{}, 10_000)}
}

func (b *box) Memory(context.Context) ([]byte, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.memory, nil
}

func (b *box) Take(ctx context.Context, list []webhooks.Received, memory []byte) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.fail > 0 {
		b.fail--
		return errors.New("the disk is full")
	}
	if b.refuse == 1 {
		return errors.New("the disk is full")
	}
	if b.refuse > 0 {
		b.refuse--
	}
	for _, e := range list {
		if id := e.Source + " " + e.ID; !b.ids[id] {
			b.ids[id] = true
			b.arrived <- e
		}
	}
	if memory != nil {
		b.memory = memory
	}
	b.taken <- struct{}{}
	return nil
}

// next is the next event.
func (b *box) next(t *testing.T) webhooks.Received {
	t.Helper()
	select {
	case e := <-b.arrived:
		return e
	case <-time.After(time.Minute):
		t.Fatal("no event for a minute")
		return webhooks.Received{}
	}
}

// quiet fails if there is an event that nobody has asked for.
func (b *box) quiet(t *testing.T) {
	t.Helper()
	select {
	case e := <-b.arrived:
		t.Errorf("an event more than there should be: %s %s", e.Type, e.Data)
	default:
	}
}

// running is a source that runs.
type running struct {
	stop    func() // and waits until it has ended
	trouble chan error
}

func start(t *testing.T, s Source, b *box) *running {
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{trouble: make(chan error, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, b, func(err error) { r.trouble <- err })
	}()
	r.stop = func() { cancel(); <-done }
	t.Cleanup(r.stop)
	return r
}

// wait waits for trouble, or for its end.
func (r *running) wait(t *testing.T, trouble bool) error {
	t.Helper()
	for {
		select {
		case err := <-r.trouble:
			if (err != nil) == trouble {
				return err
			}
		case <-time.After(time.Minute):
			t.Fatalf("no trouble (%v) for a minute", trouble)
		}
	}
}

// program is one of those that scripts/senders.sh fetches.
func program(t *testing.T, name string) string {
	t.Helper()
	root, err := filepath.Abs("../../../.cache/build/senders")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing: scripts/senders.sh fetches it", name)
	}
	t.Setenv("LD_LIBRARY_PATH", filepath.Join(root, "usr/lib/x86_64-linux-gnu")+":"+filepath.Join(root, "usr/lib/aarch64-linux-gnu"))
	return path
}

// serve runs a server until the test ends or stop is called, and returns when it takes
// connections.
func serve(t *testing.T, address, path string, args ...string) (stop func()) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, args...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	var once sync.Once
	stop = func() { once.Do(func() { _ = command.Process.Kill(); <-ended; log.Close() }) }
	t.Cleanup(stop)
	for began := time.Now(); ; {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			connection.Close()
			return stop
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("%s ended: %s", path, text)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("%s takes no connections: %v", path, err)
		}
	}
}

// address is one that nobody listens at.
func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
