package functions

import (
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/google/uuid"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/gocty"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/ssh"
)

// digest is one way to turn bytes into text by hashing.
type digest struct {
	newHash func() hash.Hash
	text    func([]byte) string
}

// sum hashes all that r gives.
func (d digest) sum(r io.Reader) (string, error) {
	h := d.newHash()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return d.text(h.Sum(nil)), nil
}

// digests lists the hash functions by the name of the function on strings; the
// function on files has the same name after "file".
func digests() map[string]digest {
	b64 := base64.StdEncoding.EncodeToString
	return map[string]digest{
		"base64sha256": {sha256.New, b64},
		"base64sha512": {sha512.New, b64},
		"md5":          {md5.New, hex.EncodeToString},
		"sha1":         {sha1.New, hex.EncodeToString},
		"sha256":       {sha256.New, hex.EncodeToString},
		"sha512":       {sha512.New, hex.EncodeToString},
	}
}

func cryptoFunctions() map[string]function.Function {
	all := map[string]function.Function{
		"rsadecrypt": rsaDecryptFunc(),
		"uuidv5":     uuidV5Func(),
	}
	for name, d := range digests() {
		all[name] = stringFunc(func(args []string) (string, error) {
			return d.sum(strings.NewReader(args[0]))
		}, "str")
	}
	return all
}

const bcryptDefaultCost = 10

func bcryptFunc() function.Function {
	return function.New(&function.Spec{
		Params:       stringParams("str"),
		VarParam:     &function.Parameter{Name: "cost", Type: cty.Number},
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			cost := bcryptDefaultCost
			if len(args) > 2 {
				return cty.NilVal, errors.New("bcrypt() takes no more than two arguments")
			}
			if len(args) == 2 {
				if err := gocty.FromCtyValue(args[1], &cost); err != nil {
					return cty.NilVal, err
				}
			}
			out, err := bcrypt.GenerateFromPassword([]byte(args[0].AsString()), cost)
			if err != nil {
				return cty.NilVal, fmt.Errorf("error occurred generating password %w", err)
			}
			return cty.StringVal(string(out)), nil
		},
	})
}

func rsaDecryptFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "ciphertext", Type: cty.String, AllowMarked: true},
			{Name: "privatekey", Type: cty.String, AllowMarked: true},
		},
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			cipher, cipherMarks := args[0].Unmark()
			key, keyMarks := args[1].Unmark()
			raw, err := base64.StdEncoding.DecodeString(cipher.AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "failed to decode input %s: cipher text must be base64-encoded", redacted(cipher.AsString(), cipherMarks))
			}
			parsed, err := ssh.ParseRawPrivateKey([]byte(key.AsString()))
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(1, "invalid private key: %w", err)
			}
			private, ok := parsed.(*rsa.PrivateKey)
			if !ok {
				return cty.NilVal, function.NewArgErrorf(1, "invalid private key: an RSA key is needed, not %T", parsed)
			}
			// PKCS #1 v1.5 is what the function is defined to read.
			out, err := rsa.DecryptPKCS1v15(nil, private, raw)
			if err != nil {
				return cty.NilVal, fmt.Errorf("failed to decrypt: %w", err)
			}
			return cty.StringVal(string(out)).WithMarks(cipherMarks, keyMarks), nil
		},
	})
}

func uuidV5Func() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "namespace", Type: cty.String, AllowMarked: true},
			{Name: "name", Type: cty.String, AllowMarked: true},
		},
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			space, spaceMarks := args[0].Unmark()
			name, nameMarks := args[1].Unmark()
			namespace, err := uuidNamespace(space.AsString())
			if err != nil {
				if hidden(spaceMarks) {
					return cty.NilVal, fmt.Errorf("uuidv5() doesn't support namespace %s", redacted("", spaceMarks))
				}
				return cty.NilVal, fmt.Errorf("uuidv5() doesn't support namespace %s (%w)", space.AsString(), err)
			}
			id := uuid.NewSHA1(namespace, []byte(name.AsString())).String()
			return cty.StringVal(id).WithMarks(spaceMarks, nameMarks), nil
		},
	})
}

// uuidNamespace resolves the well-known names of RFC 4122, appendix C, or a
// UUID given as text.
func uuidNamespace(name string) (uuid.UUID, error) {
	switch name {
	case "dns":
		return uuid.NameSpaceDNS, nil
	case "url":
		return uuid.NameSpaceURL, nil
	case "oid":
		return uuid.NameSpaceOID, nil
	case "x500":
		return uuid.NameSpaceX500, nil
	}
	return uuid.Parse(name)
}
