package patterns

import (
	"bytes"
	"cmp"
	"encoding/binary"
)

// decimal is an exact decimal number: sign × 0.digits × 10^exponent, with no zeros
// at either end of the digits. Zero has no sign and no digits.
type decimal struct {
	sign     int8
	exponent int64
	digits   []byte
}

// farthest is where exponents end: numbers beyond are as good as infinite, and no
// pattern names them.
const farthest = 1 << 40

// parseDecimal reads a number in the syntax of JSON; its digits are appended to
// buffer, which is returned for further use.
func parseDecimal(text, buffer []byte) (decimal, []byte) {
	var d decimal
	sign := int8(1)
	if len(text) > 0 && text[0] == '-' {
		sign, text = -1, text[1:]
	}
	if at := bytes.IndexAny(text, "eE"); at >= 0 {
		d.exponent, text = parseExponent(text[at+1:]), text[:at]
	}
	start, fraction := len(buffer), false
	for _, c := range text {
		switch {
		case c == '.':
			fraction = true
		case c != '0' || len(buffer) > start:
			buffer = append(buffer, c)
			if !fraction {
				d.exponent++
			}
		case fraction: // a zero before the first digit
			d.exponent--
		}
	}
	digits := bytes.TrimRight(buffer[start:], "0")
	buffer = buffer[:start+len(digits)]
	if len(digits) == 0 {
		return decimal{}, buffer
	}
	d.sign, d.digits = sign, digits
	return d, buffer
}

func parseExponent(text []byte) int64 {
	sign, value := int64(1), int64(0)
	for _, c := range text {
		switch c {
		case '-':
			sign = -1
		case '+':
		default:
			value = min(value*10+int64(c-'0'), farthest)
		}
	}
	return sign * value
}

// compare is negative where a is less than b, 0 where they are equal.
func (a decimal) compare(b decimal) int {
	if a.sign != b.sign {
		return int(a.sign) - int(b.sign)
	}
	magnitude := cmp.Compare(a.exponent, b.exponent)
	if magnitude == 0 {
		magnitude = bytes.Compare(a.digits, b.digits)
	}
	return int(a.sign) * magnitude
}

// appendKey appends what is the same for equal numbers, and for no others.
func (a decimal) appendKey(b []byte) []byte {
	b = append(b, byte(a.sign))
	b = binary.BigEndian.AppendUint64(b, uint64(a.exponent))
	return append(b, a.digits...)
}
