package provision

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// defaultTimeout is how long connecting is tried: new machines need a while.
const defaultTimeout = 5 * time.Minute

// machine is an open connection to another machine.
type machine struct {
	client  *ssh.Client
	bastion *ssh.Client
	agent   net.Conn
	close   []io.Closer
}

func (m *machine) Close() {
	for i := len(m.close) - 1; i >= 0; i-- {
		_ = m.close[i].Close()
	}
}

// connect opens an SSH connection, trying again until the timeout of the
// connection block has passed.
func connect(ctx context.Context, r Request) (*machine, error) {
	c := r.Connection
	if c == cty.NilVal {
		return nil, errors.New("there is no connection block that says how to reach the machine")
	}
	if typ := text(c, "type"); typ != "" && typ != "ssh" {
		return nil, fmt.Errorf("connections of type %q are not supported: only ssh is", typ)
	}
	host := text(c, "host")
	if host == "" {
		return nil, errors.New("the connection block has no host")
	}
	timeout := defaultTimeout
	if t := text(c, "timeout"); t != "" {
		var err error
		if timeout, err = time.ParseDuration(t); err != nil {
			return nil, fmt.Errorf("invalid timeout %q in the connection block: use a form like 30s or 5m", t)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r.Output("Connecting to remote host via SSH...")
	for wait := time.Second; ; wait = min(2*wait, 20*time.Second) {
		m, err := dialMachine(ctx, c, host)
		if err == nil {
			r.Output("Connected!")
			return m, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("cannot connect to %s: %w", host, err)
		case <-timer.C:
		}
	}
}

func dialMachine(ctx context.Context, c cty.Value, host string) (m *machine, err error) {
	m = &machine{}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	user := text(c, "user")
	if user == "" {
		user = "root"
	}
	if err := m.openAgent(c); err != nil {
		return nil, err
	}
	address := net.JoinHostPort(host, strconv.Itoa(number(c, "port", 22)))
	config, err := m.clientConfig(c, user, "", address)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
	if bastion := text(c, "bastion_host"); bastion != "" {
		bastionAddress := net.JoinHostPort(bastion, strconv.Itoa(number(c, "bastion_port", number(c, "port", 22))))
		if u := text(c, "bastion_user"); u != "" {
			user = u
		}
		bastionConfig, err := m.clientConfig(c, user, "bastion_", bastionAddress)
		if err != nil {
			return nil, err
		}
		if m.bastion, err = handshake(ctx, dial, bastionAddress, bastionConfig); err != nil {
			return nil, fmt.Errorf("bastion: %w", err)
		}
		m.close = append(m.close, m.bastion)
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return m.bastion.DialContext(ctx, "tcp", address)
		}
	}
	if m.client, err = handshake(ctx, dial, address, config); err != nil {
		return nil, err
	}
	m.close = append(m.close, m.client)
	return m, nil
}

func handshake(ctx context.Context, dial func(context.Context, string) (net.Conn, error), address string, config *ssh.ClientConfig) (*ssh.Client, error) {
	conn, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	sc, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return ssh.NewClient(sc, channels, requests), nil
}

// openAgent connects to the SSH agent of the environment, unless agent = false.
func (m *machine) openAgent(c cty.Value) error {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if !flag(c, "agent", socket != "") {
		return nil
	}
	if socket == "" {
		return errors.New("the connection block asks for an SSH agent, but SSH_AUTH_SOCK names none")
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return fmt.Errorf("cannot reach the SSH agent: %w", err)
	}
	m.agent, m.close = conn, append(m.close, conn)
	return nil
}

// clientConfig gathers the ways to log in; prefix selects the arguments for the
// bastion, which fall back to those for the machine itself.
func (m *machine) clientConfig(c cty.Value, user, prefix, address string) (*ssh.ClientConfig, error) {
	argument := func(name string) string {
		if prefix != "" {
			if v := text(c, prefix+name); v != "" {
				return v
			}
		}
		return text(c, name)
	}
	config := &ssh.ClientConfig{User: user, Timeout: 30 * time.Second, HostKeyCallback: ssh.InsecureIgnoreHostKey()} //nolint:gosec // as Terraform: only a given host_key is checked
	if key := text(c, prefix+"host_key"); key != "" {
		public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key))
		if err != nil {
			return nil, fmt.Errorf("invalid %shost_key for %s: %w", prefix, address, err)
		}
		config.HostKeyCallback = ssh.FixedHostKey(public)
	}
	if key := argument("private_key"); key != "" {
		signer, err := signerFor(key, argument("certificate"))
		if err != nil {
			return nil, err
		}
		config.Auth = append(config.Auth, ssh.PublicKeys(signer))
	}
	if password := argument("password"); password != "" {
		config.Auth = append(config.Auth, ssh.Password(password), ssh.KeyboardInteractive(
			func(_, _ string, questions []string, _ []bool) ([]string, error) {
				answers := make([]string, len(questions))
				for i := range answers {
					answers[i] = password
				}
				return answers, nil
			}))
	}
	if m.agent != nil {
		config.Auth = append(config.Auth, ssh.PublicKeysCallback(agent.NewClient(m.agent).Signers))
	}
	return config, nil
}

func signerFor(key, certificate string) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey([]byte(key))
	if err != nil {
		return nil, errors.New("the private_key of the connection block is not a private key in PEM form without passphrase")
	}
	if certificate == "" {
		return signer, nil
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(certificate))
	if err != nil {
		return nil, fmt.Errorf("invalid certificate in the connection block: %w", err)
	}
	cert, ok := public.(*ssh.Certificate)
	if !ok {
		return nil, errors.New("the certificate of the connection block is a key, not a certificate")
	}
	return ssh.NewCertSigner(cert, signer)
}

// remoteExec uploads scripts and runs them, one after the other.
func remoteExec(ctx context.Context, r Request) error {
	scripts, err := scriptTexts(r)
	if err != nil {
		return err
	}
	m, err := connect(ctx, r)
	if err != nil {
		return err
	}
	defer m.Close()
	for _, script := range scripts {
		if err := m.runScript(ctx, r, script); err != nil {
			return err
		}
	}
	return nil
}

// scriptTexts returns the scripts a remote-exec provisioner runs.
func scriptTexts(r Request) ([]string, error) {
	inline, script, list := texts(r.Config, "inline"), text(r.Config, "script"), texts(r.Config, "scripts")
	given := 0
	for _, yes := range []bool{inline != nil, script != "", list != nil} {
		if yes {
			given++
		}
	}
	if given != 1 {
		return nil, errors.New("a remote-exec provisioner needs exactly one of the arguments inline, script and scripts")
	}
	if inline != nil {
		return []string{"#!/bin/sh\n" + strings.Join(inline, "\n") + "\n"}, nil
	}
	if script != "" {
		list = []string{script}
	}
	var out []string
	for _, name := range list {
		data, err := os.ReadFile(workingDirectory(r.WorkDir, name))
		if err != nil {
			return nil, fmt.Errorf("cannot read script: %w", err)
		}
		out = append(out, string(data))
	}
	return out, nil
}

func (m *machine) runScript(ctx context.Context, r Request, script string) error {
	target := text(r.Connection, "script_path")
	if target == "" {
		target = "/tmp/terraform_%RAND%.sh"
	}
	var random [8]byte
	_, _ = rand.Read(random[:])
	target = strings.ReplaceAll(target, "%RAND%", hex.EncodeToString(random[:]))
	if err := m.upload(ctx, strings.NewReader(script), target, "0700"); err != nil {
		return fmt.Errorf("cannot upload the script: %w", err)
	}
	err := m.command(ctx, shellQuote(target), nil, r.Output)
	_ = m.command(context.WithoutCancel(ctx), "rm -f "+shellQuote(target), nil, func(string) {})
	if err != nil {
		return fmt.Errorf("error executing script on the remote machine: %w", err)
	}
	return nil
}

// command runs a command line and waits for its end.
func (m *machine) command(ctx context.Context, line string, input io.Reader, output func(string)) error {
	session, err := m.client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = session.Signal(ssh.SIGTERM)
		_ = session.Close()
	})
	defer stop()
	lines := newLineWriter(output)
	session.Stdin, session.Stdout, session.Stderr = input, lines, lines
	err = session.Run(line)
	lines.flush()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// upload writes a file. It needs nothing but a shell on the other side.
func (m *machine) upload(ctx context.Context, content io.Reader, target, mode string) error {
	quoted := shellQuote(target)
	var problem []string
	err := m.command(ctx, "umask 077 && cat > "+quoted+" && chmod "+mode+" "+quoted, content, func(line string) { problem = append(problem, line) })
	if err != nil && len(problem) > 0 {
		return fmt.Errorf("%w: %s", err, strings.Join(problem, " "))
	}
	return err
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// copyFile copies a file, the contents of a folder, or given text. As with
// rsync, a trailing slash on a source folder means its contents.
func copyFile(ctx context.Context, r Request) error {
	source, content, destination := text(r.Config, "source"), r.Config.GetAttr("content"), text(r.Config, "destination")
	if (source == "") == content.IsNull() {
		return errors.New("a file provisioner needs exactly one of the arguments source and content")
	}
	var info os.FileInfo
	local := workingDirectory(r.WorkDir, source)
	if source != "" {
		var err error
		if info, err = os.Stat(local); err != nil {
			return fmt.Errorf("cannot read the source: %w", err)
		}
	}
	m, err := connect(ctx, r)
	if err != nil {
		return err
	}
	defer m.Close()
	switch {
	case source == "":
		err = m.upload(ctx, strings.NewReader(content.AsString()), destination, "0644")
	case info.IsDir():
		if !strings.HasSuffix(source, "/") {
			destination = path.Join(destination, filepath.Base(local))
		}
		err = m.uploadFolder(ctx, local, destination)
	default:
		err = m.uploadFile(ctx, local, destination, info)
	}
	if err != nil {
		return fmt.Errorf("cannot upload to %s: %w", destination, err)
	}
	return nil
}

func (m *machine) uploadFile(ctx context.Context, local, target string, info os.FileInfo) error {
	f, err := os.Open(local)
	if err != nil {
		return err
	}
	defer f.Close()
	if strings.HasSuffix(target, "/") {
		target += filepath.Base(local)
	}
	return m.upload(ctx, f, target, fmt.Sprintf("%04o", info.Mode().Perm()))
}

func (m *machine) uploadFolder(ctx context.Context, local, target string) error {
	return filepath.WalkDir(local, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(local, name)
		if err != nil {
			return err
		}
		remote := path.Join(target, filepath.ToSlash(relative))
		if entry.IsDir() {
			return m.command(ctx, "mkdir -p "+shellQuote(remote), nil, func(string) {})
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		return m.uploadFile(ctx, name, remote, info)
	})
}
