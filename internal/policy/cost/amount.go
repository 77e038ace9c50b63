package cost

import (
	"fmt"
	"math/big"
	"strings"
)

// Amount is an exact number: of money, or of what is paid for. The zero value is
// zero. Amounts are never changed in place.
type Amount struct{ r *big.Rat }

// maxDigits bounds what is read as a number, so that no file can make us compute
// with millions of digits.
const maxDigits = 60

// ParseAmount reads a decimal number such as "0.0104" or "1200".
func ParseAmount(text string) (Amount, error) {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, dot := strings.Cut(digits, ".")
	if whole == "" || dot && fraction == "" || len(digits) > maxDigits || strings.Trim(whole+fraction, "0123456789") != "" {
		return Amount{}, fmt.Errorf("%q is not a decimal number", text)
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return Amount{}, fmt.Errorf("%q is not a decimal number", text)
	}
	return Amount{r}, nil
}

// Whole returns a whole number as an amount.
func Whole(n int64) Amount { return Amount{big.NewRat(n, 1)} }

// Exactly returns a number as an amount.
func Exactly(r *big.Rat) Amount { return Amount{new(big.Rat).Set(r)} }

func (a Amount) rat() *big.Rat {
	if a.r == nil {
		return new(big.Rat)
	}
	return a.r
}

// Plus returns a + b.
func (a Amount) Plus(b Amount) Amount { return Amount{new(big.Rat).Add(a.rat(), b.rat())} }

// Minus returns a - b.
func (a Amount) Minus(b Amount) Amount { return Amount{new(big.Rat).Sub(a.rat(), b.rat())} }

// Times returns a × b.
func (a Amount) Times(b Amount) Amount { return Amount{new(big.Rat).Mul(a.rat(), b.rat())} }

// By returns a ÷ b; b is not zero.
func (a Amount) By(b Amount) Amount { return Amount{new(big.Rat).Quo(a.rat(), b.rat())} }

// Compare returns -1, 0 or 1.
func (a Amount) Compare(b Amount) int { return a.rat().Cmp(b.rat()) }

// Sign returns -1, 0 or 1.
func (a Amount) Sign() int { return a.rat().Sign() }

// Abs returns the amount without its sign.
func (a Amount) Abs() Amount { return Amount{new(big.Rat).Abs(a.rat())} }

// String returns the exact decimal form; ten digits of what has none, such as a
// third.
func (a Amount) String() string {
	digits, exact := a.rat().FloatPrec()
	if !exact || digits > maxDigits {
		return strings.TrimRight(a.rat().FloatString(10), "0")
	}
	return a.rat().FloatString(digits)
}

// Cents returns the amount with two decimals and separated thousands, rounded
// half away from zero: "-1,234.50".
func (a Amount) Cents() string {
	text := a.Abs().rat().FloatString(2)
	whole, fraction, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if a.Sign() < 0 && text != "0.00" {
		whole = "-" + whole
	}
	return whole + "." + fraction
}

// MarshalText writes the exact form: as a string in JSON, because numbers there
// are not exact.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Amount) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAmount(string(text))
	return err
}

// signs are the currencies that have one which people put before the number.
var signs = map[string]string{"USD": "$", "EUR": "€", "GBP": "£"}

// Exact is an amount in a currency with all its digits: "$0.0104".
func Exact(a Amount, currency string) string {
	if sign := signs[currency]; sign != "" {
		return sign + a.String()
	}
	return a.String() + " " + currency
}

// Money is an amount in a currency as people write it: "$1,234.50",
// "1,234.50 CHF".
func Money(a Amount, currency string) string {
	text := a.Cents()
	sign := signs[currency]
	if sign == "" {
		return text + " " + currency
	}
	if rest, negative := strings.CutPrefix(text, "-"); negative {
		return "-" + sign + rest
	}
	return sign + text
}

// Difference is Money with a sign also where it is positive: "+$65.50".
func Difference(a Amount, currency string) string {
	if a.Sign() < 0 {
		return Money(a, currency)
	}
	return "+" + Money(a, currency)
}
