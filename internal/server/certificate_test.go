package server

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
)

// TestReadCertificate: a certificate that cannot be read does not replace the former one.
func TestReadCertificate(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &Server{Certificate: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key")}
	for name, block := range map[string]*pem.Block{s.Certificate: {Type: "CERTIFICATE", Bytes: der}, s.Key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ReadCertificate(); err != nil {
		t.Fatal(err)
	}
	former := s.certificate.Load()
	if err := os.WriteFile(s.Certificate, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.ReadCertificate(); err == nil || s.certificate.Load() != former {
		t.Errorf("%v, and the former certificate is gone: %t", err, s.certificate.Load() != former)
	}
}
