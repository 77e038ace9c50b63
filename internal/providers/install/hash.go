package install

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
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

// archiveHash is the h1: hash of the package in a zip file: that of the folder
// it unpacks to.
func archiveHash(file string) (string, error) { return dirhash.HashZip(file, dirhash.Hash1) }

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

// hashesOf are the hashes of a package that was fetched, its h1: hash first.
func hashesOf(pkg fetched) ([]string, error) {
	if pkg.folder != "" {
		hash, err := folderHash(pkg.folder)
		return []string{hash}, err
	}
	unpacked, err := archiveHash(pkg.archive)
	if err != nil {
		return nil, err
	}
	packed, err := zipHash(pkg.archive)
	return []string{unpacked, packed}, err
}

// comparable are the hashes of schemes this program knows. Where a list has
// others only, it says nothing that could be checked.
func comparable(hashes []string) []string {
	var out []string
	for _, hash := range hashes {
		if strings.HasPrefix(hash, "h1:") || strings.HasPrefix(hash, "zh:") {
			out = append(out, hash)
		}
	}
	return out
}

// sumOf finds a file in a list of checksums.
func sumOf(sums []byte, name string) string {
	for line := range strings.Lines(string(sums)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[1] == name {
			return fields[0]
		}
	}
	return ""
}

// listedHashes are the zh: hashes in a list of checksums.
func listedHashes(sums []byte) []string {
	var out []string
	for line := range strings.Lines(string(sums)) {
		if fields := strings.Fields(line); len(fields) == 2 && len(fields[0]) == 2*sha256.Size {
			out = append(out, "zh:"+fields[0])
		}
	}
	return out
}

// checkSignature verifies the signature of a list of checksums with the keys
// that the registry names, and returns the ID of the key that made it.
func checkSignature(sums, signature []byte, keys []string) (string, error) {
	for _, key := range keys {
		ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(key))
		if err != nil {
			continue // a key in a form not known; another may do
		}
		signer, err := openpgp.CheckDetachedSignature(ring, bytes.NewReader(sums), bytes.NewReader(signature))
		if err == nil && signer.PrimaryKey != nil {
			return signer.PrimaryKey.KeyIdString(), nil
		}
	}
	return "", errors.New("the registry's list of checksums is not signed with any of the keys it names")
}
