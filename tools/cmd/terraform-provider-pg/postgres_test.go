//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// server is a PostgreSQL server of the tests' own, on loopback.
type server struct {
	port     int
	password string // of the role "postgres"
	stop     func()
}

// started is the one server of all tests of this package.
type started struct {
	once   sync.Once
	server *server
	err    error
}

var shared started

// errNoPostgres says that there is no PostgreSQL to run.
var errNoPostgres = errors.New("PostgreSQL is not installed")

// TestMain stops the server after the last test.
func TestMain(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		shared.server.stop()
	}
	os.Exit(code)
}

// useServer starts the server with the first test that wants it and makes the
// provider reach it through the environment. Without PostgreSQL the test is
// skipped.
func useServer(t *testing.T) *server {
	t.Helper()
	shared.once.Do(func() { shared.server, shared.err = startServer() })
	if errors.Is(shared.err, errNoPostgres) {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	s := shared.server
	for name, value := range map[string]string{
		"PGHOST": "127.0.0.1", "PGPORT": strconv.Itoa(s.port), "PGUSER": "postgres",
		"PGPASSWORD": s.password, "PGDATABASE": "postgres", "PGSSLMODE": "disable",
	} {
		t.Setenv(name, value)
	}
	return s
}

// programs finds the folder with initdb and postgres: in the path, or the newest
// where Debian puts them.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if _, err := exec.LookPath("postgres"); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return "", errNoPostgres
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

// owner is who runs the server, which refuses root: nil for the one who runs the
// tests.
func owningUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
			gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
		}
	}
	return nil, errors.New("the server must not run as root, and there is no user postgres or nobody")
}

// freePort asks the system for a port that nobody uses now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close() //nolint:forcetypeassert // it is TCP
}

// startServer makes a server with its data in a temporary folder and waits until
// it answers.
func startServer() (*server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	credential, err := owningUser()
	if err != nil {
		return nil, err
	}
	s := &server{password: "of-the-tests"}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	s.stop = func() { _ = os.RemoveAll(dir) }
	words := filepath.Join(dir, "password")
	if err = os.WriteFile(words, []byte(s.password+"\n"), 0o600); err == nil && credential != nil {
		err = errors.Join(os.Chown(dir, int(credential.Uid), int(credential.Gid)), os.Chown(words, int(credential.Uid), int(credential.Gid)))
	}
	data := filepath.Join(dir, "data")
	if err == nil {
		initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--pwfile="+words,
			"--auth=scram-sha-256", "--locale=C", "--encoding=UTF8", "--no-sync")
		initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: credential}
		var out []byte
		if out, err = initdb.CombinedOutput(); err != nil {
			err = fmt.Errorf("cannot make a server: %w\n%s", err, out)
		}
	}
	if err == nil {
		err = s.run(credential, dir, filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(s.port),
			"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// run starts the server under a shell that ends it when its input ends: when stop
// closes it, and also when the tests are killed.
func (s *server) run(credential *syscall.Credential, dir string, command ...string) error {
	cmd := exec.Command("sh", append([]string{"-c", `"$0" "$@" & child=$!; cat >/dev/null; kill -INT $child; wait $child`}, command...)...)
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: credential, Setpgid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	output, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	read, remove := make(chan struct{}), s.stop
	s.stop = func() {
		_ = input.Close()
		<-read
		_ = cmd.Wait()
		remove()
	}
	var said strings.Builder
	lines := bufio.NewScanner(output)
	// Somebody must go on reading: the server would block when the pipe is full.
	defer func() {
		go func() {
			_, _ = io.Copy(io.Discard, output)
			close(read)
		}()
	}()
	for lines.Scan() {
		if strings.Contains(lines.Text(), "ready to accept connections") {
			return nil
		}
		fmt.Fprintln(&said, lines.Text())
		if strings.Contains(lines.Text(), "FATAL") {
			break
		}
	}
	return fmt.Errorf("the server does not start:\n%s", said.String())
}

// connect logs in.
func (s *server) connect(database, role, password string) (*pgx.Conn, error) {
	return pgx.Connect(context.Background(), fmt.Sprintf("host=127.0.0.1 port=%d dbname=%s user=%s password=%s sslmode=disable", s.port, database, role, password))
}

// exec does something that the provider does not know of.
func (s *server) exec(t *testing.T, database, statement string) {
	t.Helper()
	conn, err := s.connect(database, "postgres", s.password)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(context.Background(), statement); err != nil {
		t.Fatal(err)
	}
}

// text asks for one value.
func (s *server) text(database, query string) (string, error) {
	conn, err := s.connect(database, "postgres", s.password)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var answer string
	err = conn.QueryRow(context.Background(), query).Scan(&answer)
	return answer, err
}
