package functions

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"

	yaml "github.com/zclconf/go-cty-yaml"
)

func encodingFunctions() map[string]function.Function {
	return map[string]function.Function{
		"base64decode":     base64DecodeFunc(),
		"base64encode":     stringFunc(base64Encode, "str"),
		"base64gunzip":     base64GunzipFunc(),
		"base64gzip":       stringFunc(base64Gzip, "str"),
		"csvdecode":        stdlib.CSVDecodeFunc,
		"jsondecode":       stdlib.JSONDecodeFunc,
		"jsonencode":       stdlib.JSONEncodeFunc,
		"textdecodebase64": textDecodeBase64Func(),
		"textencodebase64": textEncodeBase64Func(),
		"urldecode":        urlDecodeFunc(),
		"urlencode": stringFunc(func(args []string) (string, error) {
			return url.QueryEscape(args[0]), nil
		}, "str"),
		"yamldecode": yaml.YAMLDecodeFunc,
		"yamlencode": yaml.YAMLEncodeFunc,
	}
}

// maskedFunc is a function of one string whose error messages quote the
// argument: impl gets it as text, and as it may be shown.
func maskedFunc(name string, impl func(text, shown string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params:       []function.Parameter{{Name: name, Type: cty.String, AllowMarked: true}},
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, all := args[0].Unmark()
			out, err := impl(v.AsString(), redacted(v.AsString(), all))
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(out).WithMarks(all), nil
		},
	})
}

func base64Encode(args []string) (string, error) {
	return base64.StdEncoding.EncodeToString([]byte(args[0])), nil
}

func base64DecodeFunc() function.Function {
	return maskedFunc("str", func(text, shown string) (string, error) {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", fmt.Errorf("failed to decode base64 data %s", shown)
		}
		return utf8Result(raw, "decoding")
	})
}

// utf8Result refuses what the language's strings cannot hold.
func utf8Result(raw []byte, doing string) (string, error) {
	if !utf8.Valid(raw) {
		return "", fmt.Errorf("the result of %s the provided string is not valid UTF-8", doing)
	}
	return string(raw), nil
}

func base64Gzip(args []string) (string, error) {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := io.WriteString(w, args[0]); err != nil {
		return "", fmt.Errorf("failed to write gzip raw data: %w", err)
	}
	// The flush makes one block more than needed, but the same bytes that
	// Terraform makes, and so no difference in any plan.
	if err := w.Flush(); err != nil {
		return "", fmt.Errorf("failed to flush gzip writer: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("failed to close gzip writer: %w", err)
	}
	return base64.StdEncoding.EncodeToString(buf.Bytes()), nil
}

func base64GunzipFunc() function.Function {
	return maskedFunc("str", func(text, shown string) (string, error) {
		packed, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", fmt.Errorf("failed to decode base64 data %s", shown)
		}
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return "", fmt.Errorf("failed to read gzip data: %w", err)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			return "", fmt.Errorf("failed to read gzip data: %w", err)
		}
		return utf8Result(raw, "unpacking")
	})
}

func urlDecodeFunc() function.Function {
	return maskedFunc("str", func(text, shown string) (string, error) {
		raw, err := url.QueryUnescape(text)
		if err != nil {
			return "", fmt.Errorf("failed to decode URL-encoded data %s", shown)
		}
		return utf8Result([]byte(raw), "decoding")
	})
}

// findEncoding looks a character encoding up by its IANA name and returns the
// official spelling of the name as well.
func findEncoding(name string) (encoding.Encoding, string, error) {
	enc, err := ianaindex.IANA.Encoding(name)
	if err != nil || enc == nil {
		return nil, "", function.NewArgErrorf(1, "%q is not a supported IANA encoding name or alias in this version", name)
	}
	official, err := ianaindex.IANA.Name(enc)
	if err != nil {
		official = name
	}
	return enc, official, nil
}

func textEncodeBase64Func() function.Function {
	return stringFunc(func(args []string) (string, error) {
		enc, name, err := findEncoding(args[1])
		if err != nil {
			return "", err
		}
		encoded, err := enc.NewEncoder().Bytes([]byte(args[0]))
		if err != nil {
			return "", function.NewArgErrorf(0, "the given string contains characters that cannot be represented in %s", name)
		}
		return base64.StdEncoding.EncodeToString(encoded), nil
	}, "string", "encoding")
}

func textDecodeBase64Func() function.Function {
	return stringFunc(func(args []string) (string, error) {
		enc, name, err := findEncoding(args[1])
		if err != nil {
			return "", err
		}
		raw, err := base64.StdEncoding.DecodeString(args[0])
		if err != nil {
			var corrupt base64.CorruptInputError
			if errors.As(err, &corrupt) {
				return "", function.NewArgErrorf(0, "the given value has an invalid base64 symbol at offset %d", int(corrupt))
			}
			return "", function.NewArgErrorf(0, "invalid source string: %w", err)
		}
		decoded, err := enc.NewDecoder().Bytes(raw)
		// Decoders replace what they do not know instead of failing.
		if err != nil || strings.ContainsRune(string(decoded), utf8.RuneError) {
			return "", function.NewArgErrorf(0, "the given string contains symbols that are not defined for %s", name)
		}
		return string(decoded), nil
	}, "source", "encoding")
}
