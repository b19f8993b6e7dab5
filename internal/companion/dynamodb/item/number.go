package item

import (
	"errors"
	"math/big"
	"strconv"
	"strings"
)

// A Number is a decimal of up to 38 significant digits, exactly: 0.DIGITS times
// ten to the power of Exp. The zero value is 0. Two numbers that are equal are
// equal in Go, too.
type Number struct {
	Neg    bool
	Exp    int16  // 0 for zero
	Digits string // "0" to "9", neither the first nor the last is "0"; empty for zero
}

const (
	digitsMax = 38
	// The magnitude is between 1E-130 and 9.99...E+125, in the form 0.d times ten to the Exp.
	expMin = -129
	expMax = 126
)

// The mistakes that numbers are refused for, in DynamoDB's words.
var (
	errOverflow  = errors.New("Number overflow. Attempting to store a number with magnitude larger than supported range")
	errUnderflow = errors.New("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	errPrecision = errors.New("Attempting to store more than 38 significant digits in a Number")
)

type notNumeric string

func (text notNumeric) Error() string {
	if text == "" {
		return "The parameter cannot be converted to a numeric value"
	}
	return "The parameter cannot be converted to a numeric value: " + string(text)
}

// ParseNumber reads a number as JSON clients write them: "-1.50", "2e10", ".5".
// Its errors are DynamoDB's messages.
func ParseNumber(text string) (Number, error) {
	var n Number
	rest := text
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		n.Neg = rest[0] == '-'
		rest = rest[1:]
	}
	mantissa, exponent := rest, 0
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		mantissa = rest[:i]
		e, ok := parseExponent(rest[i+1:])
		if !ok {
			return n, notNumeric(clip(text))
		}
		exponent = e
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole == "" && fraction == "" || !allDigits(whole) || !allDigits(fraction) {
		return n, notNumeric(clip(text))
	}
	return makeNumber(n.Neg, whole+fraction, len(whole)+exponent)
}

// parseExponent reads an exponent; what is beyond any bound becomes a number that is, too.
func parseExponent(text string) (int, bool) {
	digits := strings.TrimLeft(text, "+-")
	if digits == "" || len(text)-len(digits) > 1 || !allDigits(digits) {
		return 0, false
	}
	if digits = strings.TrimLeft(digits, "0"); len(digits) > 6 {
		digits = "999999"
	}
	e, _ := strconv.Atoi(digits)
	if text[0] == '-' {
		e = -e
	}
	return e, true
}

// makeNumber makes 0.digits times ten to the exp; digits may have zeros at both ends.
func makeNumber(neg bool, digits string, exp int) (Number, error) {
	trimmed := strings.TrimLeft(digits, "0")
	exp -= len(digits) - len(trimmed)
	trimmed = strings.TrimRight(trimmed, "0")
	switch {
	case trimmed == "":
		return Number{}, nil
	case exp > expMax:
		return Number{}, errOverflow
	case exp < expMin:
		return Number{}, errUnderflow
	case len(trimmed) > digitsMax:
		return Number{}, errPrecision
	}
	return Number{neg, int16(exp), trimmed}, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func clip(s string) string {
	const most = 256
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// Int makes a Number of an integer.
func Int(i int64) Number {
	n, _ := ParseNumber(strconv.FormatInt(i, 10)) // 19 digits at most
	return n
}

// String writes a number without exponent, as DynamoDB returns it.
func (n Number) String() string {
	if n.Digits == "" {
		return "0"
	}
	var b strings.Builder
	if n.Neg {
		b.WriteByte('-')
	}
	exp := int(n.Exp)
	switch {
	case exp <= 0:
		b.WriteString("0.")
		b.WriteString(strings.Repeat("0", -exp))
		b.WriteString(n.Digits)
	case exp >= len(n.Digits):
		b.WriteString(n.Digits)
		b.WriteString(strings.Repeat("0", exp-len(n.Digits)))
	default:
		b.WriteString(n.Digits[:exp])
		b.WriteByte('.')
		b.WriteString(n.Digits[exp:])
	}
	return b.String()
}

// Cmp compares two numbers: -1, 0 or 1.
func (n Number) Cmp(m Number) int {
	if s, t := n.sign(), m.sign(); s != t {
		if s < t {
			return -1
		}
		return 1
	} else if s == 0 {
		return 0
	}
	order := 0
	switch {
	case n.Exp != m.Exp:
		order = 1
		if n.Exp < m.Exp {
			order = -1
		}
	default:
		order = strings.Compare(n.Digits, m.Digits) // a prefix is the smaller one
	}
	if n.Neg {
		return -order
	}
	return order
}

func (n Number) sign() int {
	switch {
	case n.Digits == "":
		return 0
	case n.Neg:
		return -1
	}
	return 1
}

// Negate is -n.
func (n Number) Negate() Number {
	n.Neg = !n.Neg && n.Digits != ""
	return n
}

// Add is n + m, exactly, or an error if that is no valid number.
func (n Number) Add(m Number) (Number, error) {
	if n.Digits == "" {
		return m, nil
	}
	if m.Digits == "" {
		return n, nil
	}
	// Both as integers in units of the last digit that either has.
	unit := min(int(n.Exp)-len(n.Digits), int(m.Exp)-len(m.Digits))
	sum := n.integer(unit)
	sum.Add(sum, m.integer(unit))
	digits := new(big.Int).Abs(sum).String()
	return makeNumber(sum.Sign() < 0, digits, len(digits)+unit)
}

// integer is n in units of ten to the power of unit, which divides it. The
// range of exponents bounds it to some 300 digits.
func (n Number) integer(unit int) *big.Int {
	i, _ := new(big.Int).SetString(n.Digits+strings.Repeat("0", int(n.Exp)-len(n.Digits)-unit), 10)
	if n.Neg {
		i.Neg(i)
	}
	return i
}

// Int64 is n without its fraction; ok is false if it does not fit.
func (n Number) Int64() (i int64, ok bool) {
	whole, _, _ := strings.Cut(n.String(), ".")
	i, err := strconv.ParseInt(whole, 10, 64)
	return i, err == nil
}

// size is what a number counts as: a byte for two digits, which are paired from
// the decimal point, one for the exponent and one for the sign if it has one.
func (n Number) size() int {
	size := (len(n.Digits)+1)/2 + 1
	if len(n.Digits)%2 == 0 && n.Exp%2 != 0 { // the first digit and the last are alone
		size++
	}
	if n.Neg {
		size++
	}
	return size
}
