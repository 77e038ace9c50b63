package clientgen

import (
	"bytes"
	"flag"
	"net/http"
	"os"
	"testing"

	"github.com/tutti-dev/tutti/internal/server/api"
)

var write = flag.Bool("write", false, "write client/api.go anew")

// TestClient: the client is the one that the API's description gives.
func TestClient(t *testing.T) {
	const name = "../../../client/api.go"
	want, err := Client((&api.API{Version: "v1"}).Register(http.NewServeMux()))
	if err != nil {
		t.Fatal(err)
	}
	if *write {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("client/api.go is not what the API's description gives: go test ./internal/server/clientgen -write")
	}
}
