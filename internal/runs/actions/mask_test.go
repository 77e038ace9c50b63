package actions

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMask(t *testing.T) {
	secrets := []string{"hunter22", "pa ss/w<rd\"é", "-----BEGIN-----\nabcdefgh\n  xyz\n", "abc", "trailing\n"}
	awkward, err := json.Marshal(secrets[1])
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"":                            "",
		"nothing here":                "nothing here",
		"password hunter22.":          "password ***.",
		"hunter2":                     "hunter2",
		"hunthunter22hunter22":        "hunt***",
		"json " + string(awkward):     `json "***"`,
		`python "pa ss/w<rd\"\u00e9"`: `python "***"`,
		"?p=" + url.QueryEscape(secrets[1]) + "&": "?p=***&",
		"/" + url.PathEscape(secrets[1]) + "/x":   "/***/x",
		"pa%20ss%2fw%3crd%22%c3%a9":               "***",
		"key: abcdefgh":                           "key: ***",
		"xyz abc":                                 "xyz abc", // lines and secrets that are too short
		"trailing!":                               "***!",
		"Basic " + base64.StdEncoding.EncodeToString([]byte("hunter22")) + " .": "Basic *** .",
	} {
		if got := NewMask(secrets).Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for _, user := range []string{"", "u", "us", "use", "user:"} {
		encoded := base64.StdEncoding.EncodeToString([]byte(user + "hunter22" + user))
		got := NewMask(secrets).Text(encoded)
		// A letter at each end holds bits of a neighbour as well.
		if rest := strings.ReplaceAll(got, Hidden, ""); rest == encoded || len(rest) > 2*base64.StdEncoding.EncodedLen(len(user))+2 {
			t.Errorf("%q in base64: %q", user, got)
		}
	}
	if got := NewMask([]string{"abcdef", "defghi"}).Text("xabcdefghix"); got != "x***x" {
		t.Errorf("secrets that overlap: %q", got)
	}
}

func TestMaskHoldsBackLittle(t *testing.T) {
	var out bytes.Buffer
	w := NewMask([]string{"hunter22"}).Writer(&out)
	for _, s := range []struct{ write, seen string }{
		{"done\n", "done\n"},
		{"hun", ""},
		{"g hunter2", "hung "},
		{"2", "***"},
		{"h", ""},
	} {
		out.Reset()
		if _, err := w.Write([]byte(s.write)); err != nil {
			t.Fatal(err)
		}
		if out.String() != s.seen {
			t.Errorf("after %q: %q, want %q", s.write, out.String(), s.seen)
		}
	}
	out.Reset()
	if err := w.Flush(); err != nil || out.String() != "h" {
		t.Errorf("at the end: %q, %v", out.String(), err)
	}
}

// plainMask says slowly what a mask should do.
func plainMask(secrets []string, in string) string {
	secret := make([]bool, len(in))
	for _, s := range secrets {
		for _, form := range forms(s) {
			for i := range len(in) - len(form) + 1 {
				if in[i:i+len(form)] == form {
					for k := i; k < i+len(form); k++ {
						secret[k] = true
					}
				}
			}
		}
	}
	var out strings.Builder
	for i := range len(in) {
		if !secret[i] {
			out.WriteByte(in[i])
		} else if i == 0 || !secret[i-1] {
			out.WriteString(Hidden)
		}
	}
	return out.String()
}

func FuzzMask(f *testing.F) {
	f.Add("hunter22", "22hunt", "a hunter22hunter22hunt", byte(3))
	f.Add("aaaa", "aaaaab", "aaaaaaaaaaaaab", byte(1))
	f.Add("line one\nline two", "two\nline", "line one\nline two\nline", byte(5))
	f.Add("abcd", "bcde", "YWJjZA==abcdebcd", byte(2))
	f.Fuzz(func(t *testing.T, one, two, in string, cut byte) {
		secrets := []string{one, two}
		var out bytes.Buffer
		w := NewMask(secrets).Writer(&out)
		size := int(cut%16) + 1
		for rest := []byte(in); len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if want := plainMask(secrets, in); out.String() != want {
			t.Errorf("%q in pieces of %d: %q, want %q", in, size, out.String(), want)
		}
		for _, s := range secrets {
			// What stands for a secret may complete one that looks like it.
			if utf8.RuneCountInString(s) >= shortest && !strings.Contains(s, "*") && strings.Contains(out.String(), s) {
				t.Errorf("%q is in %q", s, out.String())
			}
		}
	})
}

func BenchmarkMask(b *testing.B) {
	text := []byte(strings.Repeat("2026-01-02T15:04:05Z level=info msg=\"did something\" path=/a/b/c\n", 1000))
	long := strings.Repeat("a", 1000)
	for name, of := range map[string]struct {
		secret string
		text   []byte
	}{"log": {"hunter22", text}, "itself": {long, bytes.Repeat([]byte("a"), 1<<16)}} {
		b.Run(name, func(b *testing.B) {
			w := NewMask([]string{of.secret}).Writer(io.Discard)
			b.SetBytes(int64(len(of.text)))
			for b.Loop() {
				_, _ = w.Write(of.text)
			}
		})
	}
}
