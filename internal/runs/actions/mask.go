package actions

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Hidden stands where a secret was.
const Hidden = "***"

// shortest is how many characters a secret needs to be hidden: shorter ones stand
// in half of all words, and hiding them would tell where they do.
const shortest = 4

// Mask hides secrets in texts and streams: themselves, their lines, and how they
// look in JSON, in URLs and in base64. Every byte that belongs to one is hidden,
// and a run of such bytes becomes [Hidden], so that secrets that overlap hide
// each other's rest. Secrets of less than four characters are not hidden, nor is
// base64 that is broken into lines.
//
// It is an automaton after Aho and Corasick: its state is the longest end of what
// has been read that a secret begins with, so it knows at every byte what may
// still become part of a secret, however a stream is cut. The zero value hides
// nothing; a Mask may be used from many goroutines.
type Mask struct {
	nodes []node
	first [256]int32 // children of the root, which most bytes are looked up in
}

// node is the beginning of one or more secrets. Siblings form a list: hardly a
// node but the root has two children.
type node struct {
	child, sibling, fail int32
	depth                int32
	match                int32 // length of the longest secret that ends here
	open                 int32 // how many of the last bytes may go on to a secret
	letter               byte
}

// NewMask makes a mask of secrets.
func NewMask(secrets []string) *Mask {
	m := &Mask{}
	for _, s := range secrets {
		for _, form := range forms(s) {
			m.add(form)
		}
	}
	m.link()
	return m
}

func (m *Mask) add(s string) {
	if len(m.nodes) == 0 {
		m.nodes = []node{{}}
	}
	at := int32(0)
	for i := range len(s) {
		next := m.child(at, s[i])
		if next == 0 {
			next = int32(len(m.nodes))
			m.nodes = append(m.nodes, node{letter: s[i], depth: int32(i + 1), sibling: m.nodes[at].child})
			m.nodes[at].child = next
			if at == 0 {
				m.first[s[i]] = next
			}
		}
		at = next
	}
	m.nodes[at].match = m.nodes[at].depth
}

// link sets where to go on when a secret does not: breadth first, so that shorter
// beginnings are done before longer ones.
func (m *Mask) link() {
	if len(m.nodes) == 0 {
		return
	}
	queue := []int32{0}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for c := m.nodes[at].child; c != 0; c = m.nodes[c].sibling {
			n := &m.nodes[c]
			if at != 0 {
				n.fail = m.step(m.nodes[at].fail, n.letter)
			}
			n.match = max(n.match, m.nodes[n.fail].match)
			n.open = m.nodes[n.fail].open
			if n.child != 0 {
				n.open = n.depth
			}
			queue = append(queue, c)
		}
	}
}

func (m *Mask) child(at int32, letter byte) int32 {
	if at == 0 {
		return m.first[letter]
	}
	for c := m.nodes[at].child; c != 0; c = m.nodes[c].sibling {
		if m.nodes[c].letter == letter {
			return c
		}
	}
	return 0
}

func (m *Mask) step(at int32, letter byte) int32 {
	for {
		if next := m.child(at, letter); next != 0 || at == 0 {
			return next
		}
		at = m.nodes[at].fail
	}
}

// Text hides secrets in a text.
func (m *Mask) Text(s string) string {
	if len(m.nodes) == 0 {
		return s
	}
	var out bytes.Buffer
	w := m.Writer(&out)
	_, _ = io.WriteString(w, s)
	_ = w.Flush()
	return out.String()
}

// Writer hides secrets in what is written to w. It holds back only what may be
// the beginning of a secret.
func (m *Mask) Writer(w io.Writer) *MaskedWriter { return &MaskedWriter{mask: m, out: w} }

// MaskedWriter is a stream in which secrets are hidden. It is for one goroutine.
type MaskedWriter struct {
	mask   *Mask
	out    io.Writer
	state  int32
	held   []byte // what may yet become part of a secret …
	secret []bool // … and which of it is one already
	run    int    // at least so many of the last bytes held are
	inside bool   // the last byte that was passed on was part of a secret
	ready  []byte
}

// Write implements io.Writer.
func (w *MaskedWriter) Write(p []byte) (int, error) {
	m := w.mask
	if len(m.nodes) == 0 {
		return w.out.Write(p)
	}
	w.ready = w.ready[:0]
	for i := 0; i < len(p); i++ {
		if w.state == 0 && m.first[p[i]] == 0 {
			start := i
			for i+1 < len(p) && m.first[p[i+1]] == 0 {
				i++
			}
			w.settle(0)
			w.ready = append(w.ready, p[start:i+1]...)
			w.inside = false
			continue
		}
		w.state = m.step(w.state, p[i])
		w.held, w.secret = append(w.held, p[i]), append(w.secret, false)
		n := &m.nodes[w.state]
		w.mark(int(n.match))
		// What cannot go on is settled in one go, not byte by byte, except where
		// it piles up.
		if n.open == 0 || len(w.held) > 2*int(n.open)+64 {
			w.settle(int(n.open))
		}
	}
	w.settle(int(m.nodes[w.state].open))
	return len(p), w.pass()
}

// mark says that the last bytes are a secret, the newest of which is not marked
// yet. It leaves out those that are: a secret may overlap itself at every byte.
func (w *MaskedWriter) mark(length int) {
	if length == 0 {
		w.run = 0
		return
	}
	last := len(w.secret) - 1
	for k := len(w.secret) - length; k < last-w.run; k++ {
		w.secret[k] = true
	}
	w.secret[last] = true
	w.run = max(w.run+1, length)
}

// Flush passes on what was held back: nothing follows that could make it a
// secret.
func (w *MaskedWriter) Flush() error {
	w.ready = w.ready[:0]
	w.settle(0)
	w.state, w.inside = 0, false
	return w.pass()
}

// settle decides on all but the last bytes that are held.
func (w *MaskedWriter) settle(keep int) {
	n := len(w.held) - keep
	for i := range n {
		switch {
		case !w.secret[i]:
			w.ready = append(w.ready, w.held[i])
		case !w.inside:
			w.ready = append(w.ready, Hidden...)
		}
		w.inside = w.secret[i]
	}
	w.run = min(w.run, keep)
	if n > 0 {
		w.held = append(w.held[:0], w.held[n:]...)
		w.secret = append(w.secret[:0], w.secret[n:]...)
	}
}

func (w *MaskedWriter) pass() error {
	if len(w.ready) == 0 {
		return nil
	}
	_, err := w.out.Write(w.ready)
	return err
}

// forms are the ways a secret may be written down.
func forms(secret string) []string {
	texts := []string{secret}
	if trimmed := strings.TrimSpace(secret); trimmed != secret {
		texts = append(texts, trimmed)
	}
	if strings.ContainsAny(secret, "\r\n") {
		for line := range strings.Lines(secret) {
			texts = append(texts, strings.TrimSpace(line))
		}
	}
	var out []string
	for _, t := range texts {
		if utf8.RuneCountInString(t) < shortest {
			continue
		}
		out = append(out, t)
		out = append(out, inJSON(t)...)
		out = append(out, inURL(t)...)
		out = append(out, inBase64(t)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// inJSON is a text as encoders write it: with and without escapes for what is
// special in HTML, with and without escapes for what is not ASCII.
func inJSON(s string) []string {
	quoted := func(html bool) string {
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(html)
		_ = e.Encode(s)
		return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(out.String()), `"`), `"`)
	}
	plain := quoted(false)
	var ascii strings.Builder
	for _, r := range plain {
		switch {
		case r < utf8.RuneSelf:
			ascii.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&ascii, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&ascii, `\u%04x`, r)
		}
	}
	return []string{plain, quoted(true), ascii.String(), strings.ReplaceAll(plain, "/", `\/`)}
}

// inURL is a text in a path, in a query and in a form, with hexadecimal digits of
// both cases.
func inURL(s string) []string {
	query := url.QueryEscape(s)
	out := []string{query, strings.ReplaceAll(query, "+", "%20"), url.PathEscape(s), strings.ReplaceAll(url.PathEscape(s), "%2F", "/")}
	for _, form := range out[:len(out):len(out)] {
		lower := []byte(form)
		for i := 0; i+2 < len(lower); i++ {
			if lower[i] == '%' {
				copy(lower[i+1:], bytes.ToLower(lower[i+1:i+3]))
				i += 2
			}
		}
		out = append(out, string(lower))
	}
	return out
}

// inBase64 is what does not depend on the surroundings of a text in base64: there
// are three ways to lie in groups of three bytes. A password within an encoded
// "user:password" is found like this.
func inBase64(s string) []string {
	var out []string
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			encoded := encoding.EncodeToString(append(make([]byte, before), s...))
			// Letters of six bits that hold a bit of a neighbour are not ours.
			core := encoded[(8*before+5)/6 : 8*(before+len(s))/6]
			if len(core) >= 6 {
				out = append(out, core)
			}
		}
		out = append(out, encoding.EncodeToString([]byte(s)), encoding.WithPadding('=').EncodeToString([]byte(s)))
	}
	return out
}
