package install

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/openpgp" //nolint:staticcheck // frozen, and enough to check a detached signature
	"golang.org/x/mod/sumdb/dirhash"
)

// folderHash is the h1: hash of an unpacked package.
func folderHash(dir string) (string, error) {
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	return dirhash.HashDir(resolved, "", dirhash.Hash1)
}

// zipHash is the zh: hash of a packed package.
func zipHash(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "zh:" + hex.EncodeToString(h.Sum(nil)), nil
}

// checkSignature verifies the signature of a list of checksums with the keys
// that the registry gives, and says what was verified.
func (s registrySource) checkSignature(ctx context.Context, base, ref string, sums []byte, keys []string) (string, error) {
	if ref == "" || len(keys) == 0 {
		return "not signed", nil
	}
	signature, err := s.text(ctx, base, ref)
	if err != nil {
		return "", err
	}
	for _, key := range keys {
		ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(key))
		if err != nil {
			continue
		}
		signer, err := openpgp.CheckDetachedSignature(ring, bytes.NewReader(sums), bytes.NewReader(signature))
		if err == nil && signer.PrimaryKey != nil {
			return "signed with key " + signer.PrimaryKey.KeyIdString(), nil
		}
	}
	return "", errors.New("the registry's list of checksums is not signed with any of the keys it names")
}

// unpack extracts a package. Names that lead out of the folder are refused.
func unpack(archive, dir string) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("cannot read package: %w", err)
	}
	defer r.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range r.File {
		if !filepath.IsLocal(f.Name) {
			return fmt.Errorf("the package has a file with the dangerous name %q", f.Name)
		}
		target := filepath.Join(dir, filepath.FromSlash(f.Name))
		if f.FileInfo().IsDir() {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
			continue
		}
		if err := unpackFile(f, target); err != nil {
			return fmt.Errorf("cannot unpack %s: %w", f.Name, err)
		}
	}
	return nil
}

func unpackFile(f *zip.File, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	mode := os.FileMode(0o644)
	if f.Mode()&0o111 != 0 || strings.HasPrefix(filepath.Base(target), "terraform-provider-") {
		mode = 0o755
	}
	out, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) //nolint:gosec // a provider is as large as it is, and was checked
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return err
}
