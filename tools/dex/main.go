// Command dex is the OpenID Connect provider of that name, as tests start it: in
// memory, on loopback, with two people who log in with the password "password"
// and one public client, "tutti". It serves until it is killed.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/server/signer"
	"github.com/dexidp/dex/server/tokens"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"golang.org/x/crypto/bcrypt"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:5556", "address and port")
	life := flag.Duration("life", time.Hour, "how long ID tokens are valid")
	rotation := flag.Duration("rotation", 6*time.Hour, "how long a key signs")
	flag.Parse()
	if err := serve(*listen, *life, *rotation); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(listen string, life, rotation time.Duration) error {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	hash, err := bcrypt.GenerateFromPassword([]byte("password"), 10)
	if err != nil {
		return err
	}
	person := func(name string, groups ...string) storage.Password {
		return storage.Password{Email: name + "@example.com", Hash: hash, Username: name, PreferredUsername: name, UserID: name + "-1", Groups: groups}
	}
	var store storage.Storage = &reentrant{Storage: memory.New(logger)}
	store = storage.WithStaticClients(store, []storage.Client{{ID: "tutti", Name: "Tutti", Public: true}})
	store = storage.WithStaticPasswords(store, []storage.Password{person("ann", "sre", "dev"), person("bob", "dev")}, logger)
	store = storage.WithStaticConnectors(store, []storage.Connector{{ID: "local", Type: "local", Name: "Password"}})

	keys := signer.LocalConfig{KeysRotationPeriod: rotation.String()}
	sign, err := keys.Open(ctx, store, life, time.Now, logger)
	if err != nil {
		return err
	}
	dex, err := server.NewServer(ctx, server.Config{
		Issuer: "http://" + listen, Storage: store, Signer: sign, Logger: logger, Now: time.Now,
		IDTokensValidFor: life, SkipApprovalScreen: true, PasswordConnector: "local",
		// Every refresh token is good for one use.
		RefreshTokenPolicy: tokens.NewRefreshStrategy(true, 0, 0, 0, time.Now),
	})
	if err != nil {
		return err
	}
	if !strings.HasPrefix(listen, "127.0.0.1:") {
		return fmt.Errorf("%s is not on loopback: everybody knows the passwords", listen)
	}
	s := &http.Server{Addr: listen, Handler: dex, ReadHeaderTimeout: 10 * time.Second}
	return s.ListenAndServe()
}

// reentrant renews refresh tokens outside the storage's lock: renewing looks at
// other things in the storage, and the lock of the one in memory is not for that.
type reentrant struct {
	storage.Storage
	mu sync.Mutex
}

func (r *reentrant) UpdateRefreshToken(ctx context.Context, id string, change func(storage.RefreshToken) (storage.RefreshToken, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, err := r.GetRefresh(ctx, id)
	if err != nil {
		return err
	}
	changed, err := change(old)
	if err != nil {
		return err
	}
	return r.Storage.UpdateRefreshToken(ctx, id, func(storage.RefreshToken) (storage.RefreshToken, error) { return changed, nil })
}
