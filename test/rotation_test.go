//go:build unix

package test

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// postgres is a PostgreSQL server of a test's own, on loopback.
type postgres struct {
	t    *testing.T
	bin  string
	port int
}

const postgresPassword = "hunter2-of-the-superuser"

// newPostgres starts a server; without PostgreSQL the test is skipped.
func newPostgres(t *testing.T) *postgres {
	t.Helper()
	s := &postgres{t: t}
	if path, err := exec.LookPath("initdb"); err == nil {
		s.bin = filepath.Dir(path)
	} else if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) > 0 {
		s.bin = filepath.Dir(slices.Max(found))
	} else {
		t.Skip("PostgreSQL is not installed")
	}
	if _, err := exec.LookPath("psql"); err != nil {
		t.Skip("psql is not installed")
	}
	// The server refuses root.
	var credential *syscall.Credential
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	words := filepath.Join(dir, "password")
	if err := os.WriteFile(words, []byte(postgresPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("nobody")
		if err != nil {
			t.Skip("there is no user to run the server")
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid)), os.Chown(words, int(uid), int(gid))); err != nil {
			t.Fatal(err)
		}
	}
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "--pgdata="+filepath.Join(dir, "data"), "--username=postgres", "--pwfile="+words,
		"--auth=scram-sha-256", "--locale=C", "--encoding=UTF8", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: credential}
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("cannot make a server: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it is TCP
	_ = l.Close()
	// The shell ends the server when its input ends, also when the tests are killed.
	server := exec.Command("sh", "-c", `"$0" "$@" & child=$!; cat >/dev/null; kill -INT $child; wait $child`, filepath.Join(s.bin, "postgres"),
		"-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")
	server.Dir, server.SysProcAttr = dir, &syscall.SysProcAttr{Credential: credential}
	input, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	t.Cleanup(func() {
		_ = input.Close()
		<-read
		_ = server.Wait()
	})
	lines, said, ready := bufio.NewScanner(output), "", false
	for !ready && lines.Scan() {
		said += lines.Text() + "\n"
		ready = strings.Contains(lines.Text(), "ready to accept connections")
	}
	go func() {
		_, _ = io.Copy(io.Discard, output)
		close(read)
	}()
	if !ready {
		t.Fatalf("the server does not start:\n%s", said)
	}
	return s
}

// ask logs in as a role and asks for something.
func (s *postgres) ask(role, password, statement string) (string, error) {
	psql := exec.Command("psql", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-U", role, "-d", "postgres", "-AtqX", "-v", "ON_ERROR_STOP=1")
	psql.Env = append(os.Environ(), "PGPASSWORD="+password)
	psql.Stdin = strings.NewReader(statement)
	out, err := psql.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// logsIn reports whether a login "ROLE:PASSWORD" is good.
func (s *postgres) logsIn(login string) bool {
	role, password, _ := strings.Cut(login, ":")
	_, err := s.ask(role, password, "SELECT 1")
	return err == nil
}

// rotatedLogin has the login of an application, of one of two roles that take
// turns: while one is in use, the other gets a new password.
const rotatedLogin = `
secret "admin" {
  file { path = "../admin" }
}
secret "login" {
  store {}
  rotation {
    grace = "0s"
    create {
      script {
        interpreter = "sh"
        source      = file("create.sh")
        environment = { PGPASSWORD = secret.admin, CURRENT = secret.login, PORT = "PORTNUMBER" }
        idempotent  = true
      }
      retry { # the server may still be at what a process wanted that was killed
        attempts = 5
        backoff  = "200ms"
      }
    }
    verify {
      script {
        interpreter = "sh"
        source      = <<-EOT
          export PGPASSWORD="$${LOGIN#*:}"
          echo "SELECT 'logged in as ' || current_user" | psql -h 127.0.0.1 -p PORTNUMBER -U "$${LOGIN%%:*}" -d postgres -AtqX || { echo "$LOGIN does not do" >&2; exit 1; }
          test ! -e broken || { echo "broken: $LOGIN" >&2; exit 1; }
        EOT
        environment = { LOGIN = rotation.new }
        idempotent  = true
      }
    }
    revoke {
      exec {
        command     = ["sh", "-c", "echo \"ALTER ROLE $${LOGIN%%:*} PASSWORD NULL\" | psql -h 127.0.0.1 -p PORTNUMBER -U postgres -d postgres -qX -v ON_ERROR_STOP=1"]
        environment = { PGPASSWORD = secret.admin, LOGIN = rotation.old }
        idempotent  = true
      }
      retry {
        attempts = 5
        backoff  = "200ms"
      }
    }
  }
}
stack "app" {
  source = "./app"
  inputs = { login = secret.login, login_version = secret_version.login }
}
stack "report" {
  source = "./report"
  inputs = { login = stack.app.login }
}
`

const createLogin = `
role=app_a
case "$CURRENT" in app_a:*) role=app_b ;; esac
new=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
# The statement goes by standard input: arguments are seen by everybody.
echo "ALTER ROLE $role LOGIN PASSWORD '$new'" | psql -h 127.0.0.1 -p "$PORT" -U postgres -d postgres -qX -v ON_ERROR_STOP=1 || exit 1
cat /proc/[0-9]*/cmdline >> ../cmdlines 2>/dev/null || true # processes end meanwhile, and scripts at the first failure
echo "made $new" >&2
echo "$role:$new"
`

// loginStack has the login of an application.
const loginStack = `
variable "login" {
  type = string
}
variable "login_version" {
  type    = number
  default = 0
}
resource "terraform_data" "app" {
  input            = var.login
  triggers_replace = var.login_version
}
output "login" {
  value     = terraform_data.app.output
  sensitive = true
}
`

// newLogin is a project whose login is that of the role app_a.
func newLogin(t *testing.T, s *postgres) *canaryCage {
	t.Helper()
	c := &canaryCage{project: newProject(t, ""), said: map[string]string{}}
	c.outer = c.dir
	c.dir = filepath.Join(c.outer, "project")
	for _, stack := range []string{"app", "report"} {
		if err := os.MkdirAll(filepath.Join(c.dir, stack), 0o700); err != nil {
			t.Fatal(err)
		}
		c.write(filepath.Join(stack, "main.tf"), loginStack)
	}
	c.write("../admin", postgresPassword)
	c.write("create.sh", createLogin)
	c.write("project.tutti.hcl", strings.ReplaceAll(rotatedLogin, "PORTNUMBER", strconv.Itoa(s.port)))
	if out, err := s.ask("postgres", postgresPassword, "CREATE ROLE app_a LOGIN PASSWORD 'hunter2-first'; CREATE ROLE app_b"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	set := c.command("secret", "set", "login")
	set.Stdin = strings.NewReader("app_a:hunter2-first\n")
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.must("apply", "-auto-approve")
	return c
}

// logins are the values that are somewhere: the current one, and what each
// application has.
func (c *canaryCage) logins() map[string]string {
	c.t.Helper()
	out := map[string]string{"current": strings.TrimSpace(c.mustRun("secret", "get", "login", "-reveal"))}
	for _, stack := range []string{"app", "report"} {
		out[stack] = strings.TrimSpace(c.mustRun("output", "-stack="+stack, "-raw", "login"))
	}
	return out
}

// rotate rotates the login, and tells what the steps wrote where that fails.
func (c *canaryCage) rotate() {
	c.t.Helper()
	if out, err := c.command("secret", "rotate", "login").CombinedOutput(); err != nil {
		logs := ""
		for _, r := range c.runs() {
			text, _ := c.run("logs", r.ID)
			logs += text
		}
		c.t.Fatalf("%s\n%s", out, logs)
	}
}

// TestPostgresPasswordIsRotated rotates the login of an application on a real
// server, again after a rotation that is not verified, and back.
func TestPostgresPasswordIsRotated(t *testing.T) {
	s := newPostgres(t)
	c := newLogin(t, s)
	same := func(logins map[string]string) string {
		t.Helper()
		for who, login := range logins {
			if login != logins["current"] || !s.logsIn(login) {
				t.Fatalf("%s has the role of %.5s, current is %.5s, good: %t", who, login, logins["current"], s.logsIn(login))
			}
		}
		return logins["current"]
	}
	known := []string{"hunter2"}
	first := same(c.logins())
	c.rotate()
	second := same(c.logins())
	known = append(known, strings.TrimPrefix(second, "app_b:"))
	if !strings.HasPrefix(second, "app_b:") || s.logsIn(first) {
		t.Errorf("the role is %.5s, the first login is good: %t", second, s.logsIn(first))
	}
	// What verify says last has the new login in it.
	c.write("broken", "")
	c.fails("secret", "rotate", "login")
	out, _ := c.try("secret", "history", "login")
	if got := same(c.logins()); got != second || !strings.Contains(out, "3  set") || !strings.Contains(out, "dropped") {
		t.Errorf("after a rotation that was not verified:\n%s", out)
	}
	if err := os.Remove(filepath.Join(c.dir, "broken")); err != nil {
		t.Fatal(err)
	}
	// With time to go back.
	project, err := os.ReadFile(filepath.Join(c.dir, "project.tutti.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	c.write("project.tutti.hcl", strings.ReplaceAll(string(project), `grace = "0s"`, `grace = "24h"`))
	id, _ := c.try("secret", "rotate", "login", "-detach")
	drive := func() (stop func()) {
		runner := c.command("runner", "-quiet")
		if err := runner.Start(); err != nil {
			t.Fatal(err)
		}
		return func() {
			_ = runner.Process.Kill()
			_ = runner.Wait()
		}
	}
	stop := drive()
	c.until("4  set .* current")
	third := same(c.logins())
	if !s.logsIn(second) {
		t.Error("the former login is not good any more")
	}
	c.try("secret", "rollback", "login", "-detach")
	c.until("2  set .* current")
	if got := same(c.logins()); got != second || !s.logsIn(third) {
		t.Error("it was not gone back to")
	}
	stop()
	for _, r := range c.runs() {
		c.try("runs", "show", r.ID)
		c.try("runs", "show", "-json", r.ID)
		c.try("logs", r.ID)
	}
	if len(strings.TrimSpace(id)) == 0 {
		t.Error("no run was made")
	}
	c.must("audit", "export")
	c.must("secret", "list")
	if err := os.Remove(filepath.Join(c.outer, "admin")); err != nil { // which has to have it
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(c.outer, "cmdlines")); err != nil || !strings.Contains(string(data), "psql") && !strings.Contains(string(data), "postgres") {
		t.Errorf("the list of processes was not looked at: %v", err)
	}
	c.search(append(known, strings.TrimPrefix(third, "app_a:")))
}

// until waits until the history of the login says something.
func (c *canaryCage) until(pattern string) {
	c.t.Helper()
	words := strings.Split(pattern, " .* ")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out, _ := c.run("secret", "history", "login")
		for line := range strings.Lines(out) {
			if strings.Contains(line, words[0]) && strings.Contains(line, words[1]) {
				return
			}
		}
		if time.Now().After(deadline) {
			runs, _ := c.run("runs")
			c.t.Fatalf("never %s:\n%s\n%s", pattern, out, runs)
		}
	}
}

// TestKilledRotation kills the process that rotates, and those that resume it, at
// instants drawn from a seed. Whenever it is dead, the current login and those
// that the applications have are good; in the end they are the same.
func TestKilledRotation(t *testing.T) {
	s := newPostgres(t)
	c := newLogin(t, s)
	random := rand.New(rand.NewPCG(11, 3))
	kills, failures := 0, 0
	// Where all is quick, many instants are too late: some rounds more, then.
	for round := 0; round < 3 || kills < 4 && round < 20; round++ {
		before := c.logins()["current"]
		args := []string{"secret", "rotate", "login"}
		for n := 0; ; n++ {
			delay := time.Duration(20+random.IntN(200)) * time.Millisecond
			if n > 6 {
				delay = time.Minute
			}
			killed, ok := c.kill(delay, args...)
			if killed {
				kills++
			}
			for who, login := range c.logins() {
				if !s.logsIn(login) {
					history, _ := c.run("secret", "history", "login")
					list, _ := c.run("runs")
					t.Fatalf("round %d, %d kills: the login of %s is not good\n%s\n%s", round, kills, who, history, list)
				}
			}
			if ok {
				break
			}
			if !killed {
				id := ""
				for _, r := range c.runs() {
					if id == "" && !strings.Contains(r.ID, ".") {
						id = r.ID
					}
				}
				out, _ := c.run("runs", "show", id)
				last, _ := c.run("logs", id)
				switch {
				case strings.Contains(out, "0 of 0 ended"): // killed before it began: nothing was done
					c.mustRun("cancel", id)
				case strings.Contains(out, "step verify:") && strings.Contains(last, "does not do") && failures == 0:
					// The server carried out what a killed process had asked for after what
					// the next one did.
					failures++
				default:
					t.Fatalf("round %d: %v failed\n%s\n%s", round, args, out, last)
				}
			}
			if args = []string{"resume", "-auto-approve"}; !c.interrupted() {
				args = []string{"secret", "rotate", "login"} // it had not begun, or it had ended
				if c.logins()["current"] != before && !strings.Contains(c.mustRun("secret", "history", "login"), "previous since") {
					break
				}
			}
		}
		after := c.logins()
		if after["current"] == before || s.logsIn(before) || after["app"] != after["current"] || after["report"] != after["current"] {
			t.Errorf("round %d: rotated is %t, the former login is good: %t, all have it: %t", round, after["current"] != before, s.logsIn(before), after["app"] == after["report"])
		}
	}
	t.Logf("%d kills", kills)
	if kills < 4 {
		t.Errorf("only %d kills hit", kills)
	}
}
