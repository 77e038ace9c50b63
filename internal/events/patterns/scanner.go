package patterns

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxNesting is how deep events are read.
const maxNesting = 1000

// scanner reads JSON, strictly, and keeps nothing of it.
type scanner struct {
	data []byte
	at   int
}

// peek is the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// members reads what is in an object or array, up to its end.
func (s *scanner) members(end byte, one func() bool) bool {
	s.at++
	s.space()
	if s.peek() == end {
		s.at++
		return true
	}
	for {
		s.space()
		if !one() {
			return false
		}
		s.space()
		c := s.peek()
		s.at++
		if c == end {
			return true
		}
		if c != ',' {
			return false
		}
	}
}

// str reads a string, and returns what is between its quotes.
func (s *scanner) str() (raw []byte, escaped, ok bool) {
	s.at++
	start := s.at
	for s.at < len(s.data) {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return s.data[start : s.at-1], escaped, true
		case c < ' ':
			return nil, false, false
		case c == '\\':
			escaped = true
			s.at++
			switch s.peek() {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if s.at+4 >= len(s.data) {
					return nil, false, false
				}
				for _, h := range s.data[s.at+1 : s.at+5] {
					if !('0' <= h && h <= '9' || 'a' <= h && h <= 'f' || 'A' <= h && h <= 'F') {
						return nil, false, false
					}
				}
				s.at += 4
			default:
				return nil, false, false
			}
		}
		s.at++
	}
	return nil, false, false
}

// appendUnescaped appends what a string means. Halves of surrogate pairs become
// U+FFFD.
func appendUnescaped(b, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			b = append(b, raw[i])
			continue
		}
		i++
		switch raw[i] {
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r := hexRune(raw[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				second := rune(utf8.RuneError)
				if i+6 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
					second = hexRune(raw[i+3:])
				}
				if r = utf16.DecodeRune(r, second); r != utf8.RuneError {
					i += 6
				}
			}
			b = utf8.AppendRune(b, r)
		default:
			b = append(b, raw[i])
		}
	}
	return b
}

func hexRune(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 32)
	return rune(n)
}

// literal reads true, false or null, and returns its kind, or -1.
func (s *scanner) literal(first byte) int {
	word, kind := "true", kindTrue
	switch first {
	case 'f':
		word, kind = "false", kindFalse
	case 'n':
		word, kind = "null", kindNull
	}
	if !bytes.HasPrefix(s.data[s.at:], []byte(word)) {
		return -1
	}
	s.at += len(word)
	return kind
}

// number reads a number.
func (s *scanner) number() (text []byte, ok bool) {
	start := s.at
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return nil, false
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return nil, false
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return nil, false
		}
	}
	return s.data[start:s.at], true
}

func (s *scanner) digits() bool {
	start := s.at
	for '0' <= s.peek() && s.peek() <= '9' {
		s.at++
	}
	return s.at > start
}
