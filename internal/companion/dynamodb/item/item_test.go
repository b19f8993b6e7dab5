package item

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rheostream/rheo/internal/api/dynamodb"
)

func TestNumbers(t *testing.T) {
	digits38 := strings.Repeat("1234567890", 4)[:38]
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "0.000": "0", "00012": "12", "1": "1", "-1": "-1", "+1": "1", "1.0": "1", "1.50": "1.5", ".5": "0.5", "5.": "5",
		"1e3": "1000", "1.5E-3": "0.0015", "-12.5e1": "-125", "100": "100", "0e999999": "0", "1e+2": "100",
		digits38: digits38, "0." + digits38: "0." + digits38, digits38 + "00": digits38 + "00",
		"9.9e125": "99" + strings.Repeat("0", 124), "1e-130": "0." + strings.Repeat("0", 129) + "1",
	} {
		n, err := ParseNumber(text)
		if err != nil || n.String() != want {
			t.Errorf("%s: %s, %v, want %s", text, n, err, want)
		}
		if again, err := ParseNumber(n.String()); err != nil || again != n {
			t.Errorf("%s read again: %v, %v", n, again, err)
		}
	}
	for text, want := range map[string]string{
		"": "The parameter cannot be converted to a numeric value", "x": "The parameter cannot be converted to a numeric value: x",
		"1 ": "The parameter cannot be converted to a numeric value: 1 ", "0x10": "The parameter cannot be converted to a numeric value: 0x10",
		"1e": "The parameter cannot be converted to a numeric value: 1e", "--1": "The parameter cannot be converted to a numeric value: --1",
		".": "The parameter cannot be converted to a numeric value: .", "1e5.5": "The parameter cannot be converted to a numeric value: 1e5.5",
		"NaN":          "The parameter cannot be converted to a numeric value: NaN",
		"1e126":        errOverflow.Error(),
		"-1e99999999":  errOverflow.Error(),
		"1e-131":       errUnderflow.Error(),
		digits38 + "1": errPrecision.Error(), "1." + digits38: errPrecision.Error(),
	} {
		if n, err := ParseNumber(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, %v, want %s", text, n, err, want)
		}
	}
}

// randomNumber has up to 38 digits and any exponent, and is small or zero often.
func randomNumber(r *rand.Rand) Number {
	n := 1 + r.IntN(digitsMax)
	if r.IntN(2) == 0 {
		n = 1 + r.IntN(3)
	}
	var b strings.Builder
	for range n {
		b.WriteByte(byte('0' + r.IntN(10)))
	}
	exp := r.IntN(expMax-expMin+1) + expMin
	if r.IntN(2) == 0 {
		exp = r.IntN(6)
	}
	num, err := makeNumber(r.IntN(2) == 0, b.String(), exp)
	if err != nil {
		return Number{}
	}
	return num
}

func rat(n Number) *big.Rat {
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		panic(n.String())
	}
	return r
}

// TestNumbersAgainstBig: order, the order of keys, and sums are those of math/big.
func TestNumbersAgainstBig(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		a, b := randomNumber(r), randomNumber(r)
		want := rat(a).Cmp(rat(b))
		if got := a.Cmp(b); got != want {
			t.Fatalf("%s and %s: %d", a, b, got)
		}
		ka, kb := AppendKey(nil, Value{Type: N, Num: a}), AppendKey(nil, Value{Type: N, Num: b})
		if got := strings.Compare(string(ka), string(kb)); got != want {
			t.Fatalf("the keys of %s and %s: %d", a, b, got)
		}
		sum := new(big.Rat).Add(rat(a), rat(b))
		if got, err := a.Add(b); err == nil {
			if rat(got).Cmp(sum) != 0 {
				t.Fatalf("%s + %s is %s", a, b, got)
			}
		} else if err == errPrecision {
			digits := strings.Trim(strings.ReplaceAll(sum.FloatString(300), ".", ""), "-0")
			if len(digits) <= digitsMax {
				t.Fatalf("%s + %s: %v", a, b, err)
			}
		}
	}
}

func TestKeysSort(t *testing.T) {
	texts := []string{"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "a", "a\x00", "a\x00b", "a\x01", "aa", "ab", "b", "\xff"}
	var last string
	for i, s := range texts {
		key := string(AppendKey(nil, Value{Type: B, Text: s})) + "tail"
		if i > 0 && key <= last {
			t.Errorf("the key of %q does not sort behind that of %q", s, texts[i-1])
		}
		last = key
		prefix := string(AppendKeyPrefix(nil, Value{Type: B, Text: s}))
		for _, other := range texts {
			if got := strings.HasPrefix(string(AppendKey(nil, Value{Type: B, Text: other})), prefix); strings.HasPrefix(other, s) && !got {
				t.Errorf("the key of %q does not begin as %q does", other, s)
			}
		}
	}
}

func api(t testing.TB, text string) map[string]dynamodb.AttributeValue {
	t.Helper()
	var m map[string]dynamodb.AttributeValue
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

const everything = `{"s": {"S": "é"}, "empty": {"S": ""}, "n": {"N": "-1.50"}, "b": {"B": "AAEC"}, "nob": {"B": ""}, "t": {"BOOL": true}, "f": {"BOOL": false},
	"null": {"NULL": true}, "ss": {"SS": ["b", "a"]}, "ns": {"NS": ["10", "9", "-1"]}, "bs": {"BS": ["AQ==", "AA=="]},
	"l": {"L": [{"S": "x"}, {"L": []}, {"M": {}}]}, "m": {"M": {"deep": {"M": {"n": {"N": "1e3"}}}, "": {"S": "a map may have it"}}}}`

func TestStoredForm(t *testing.T) {
	it, err := ItemFromAPI(api(t, everything))
	if err != nil {
		t.Fatal(err)
	}
	stored := string(it.Append(nil))
	again, err := Decode(stored)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := (Value{Type: M, Map: it}), (Value{Type: M, Map: again}); !Equal(a, b) || a.Echo() != b.Echo() {
		t.Errorf("%s\nread again is\n%s", a.Echo(), b.Echo())
	}
	back, err := ItemFromAPI(again.API())
	if err != nil || string(back.Append(nil)) != stored {
		t.Errorf("through the API it is another one: %v", err)
	}
	picked, err := Pick(stored, []string{"n", "t", "absent"})
	if err != nil || len(picked) != 2 || picked["n"].Num.String() != "-1.5" || !picked["t"].Bool {
		t.Errorf("picked %v, %v", picked, err)
	}
	for i := range stored {
		if _, err := Decode(stored[:i]); err == nil {
			t.Fatalf("the first %d bytes of %d were taken for an item", i, len(stored))
		}
	}
}

func TestValueMistakes(t *testing.T) {
	deep := func(n int) string {
		return strings.Repeat(`{"L": [`, n) + `{"S": "x"}` + strings.Repeat(`]}`, n)
	}
	if _, err := ItemFromAPI(api(t, `{"a": `+deep(DepthMax)+`}`)); err != nil {
		t.Errorf("nested %d deep: %v", DepthMax, err)
	}
	for text, want := range map[string]string{
		`{}`:                       "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
		`{"S": "a", "N": "1"}`:     "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
		`{"NULL": false}`:          "One or more parameter values were invalid: Null attribute value types must have the value of true",
		`{"SS": []}`:               "One or more parameter values were invalid: An string set  may not be empty",
		`{"NS": []}`:               "One or more parameter values were invalid: An number set  may not be empty",
		`{"BS": []}`:               "One or more parameter values were invalid: Binary sets should not be empty",
		`{"SS": ["b", "a", "b"]}`:  "One or more parameter values were invalid: Input collection [b, a, b] contains duplicates.",
		`{"NS": ["1", "1.0"]}`:     "Input collection contains duplicates",
		`{"BS": ["AA==", "AA=="]}`: "One or more parameter values were invalid: Input collection [AA==, AA==]of type BS contains duplicates.",
		`{"L": [{"N": "x"}]}`:      "The parameter cannot be converted to a numeric value: x",
		deep(DepthMax + 1):         "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit",
	} {
		if _, err := ItemFromAPI(api(t, `{"a": `+text+`}`)); err == nil || err.Error() != want {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int{
		`{"a": {"S": "é"}}`: 3, `{"ab": {"N": "123"}}`: 5, `{"a": {"N": "12"}}`: 3, `{"a": {"N": "1.2"}}`: 4, `{"a": {"N": "0"}}`: 2, `{"a": {"N": "-100"}}`: 4, `{"a": {"BOOL": true}}`: 2, `{"a": {"NULL": true}}`: 2,
		`{"a": {"SS": ["x", "yy"]}}`: 4, `{"a": {"L": [{"S": "x"}, {"S": "y"}]}}`: 8, `{"a": {"M": {"k": {"S": "v"}}}}`: 7, `{}`: 0,
	} {
		it, err := ItemFromAPI(api(t, text))
		if err != nil || it.Size() != want {
			t.Errorf("%s: %d, %v, want %d", text, it.Size(), err, want)
		}
	}
}

func TestSets(t *testing.T) {
	ns := func(list ...int64) Value {
		v := Value{Type: NS}
		for _, i := range list {
			v.Nums = append(v.Nums, Int(i))
		}
		slices.SortFunc(v.Nums, Number.Cmp)
		return v
	}
	if got := Union(ns(1, 3), ns(2, 3)); !Equal(got, ns(1, 2, 3)) {
		t.Error(got.Echo())
	}
	if got := Minus(ns(1, 2, 3), ns(2, 4)); !Equal(got, ns(1, 3)) {
		t.Error(got.Echo())
	}
	if got := Minus(ns(1), ns(1)); got.Type != None {
		t.Error(got.Echo())
	}
}

// FuzzDecode: no bytes make the reader panic or take more memory than they are
// worth, and what it reads it writes in a form that means the same.
func FuzzDecode(f *testing.F) {
	it, err := ItemFromAPI(api(f, everything))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(it.Append(nil)))
	f.Add("\x01\x01a\x03\x00\x02\x011")
	f.Fuzz(func(t *testing.T, stored string) {
		it, err := Decode(stored)
		Pick(stored, []string{"a", "s"})
		if err != nil {
			return
		}
		if again, err := Decode(string(it.Append(nil))); err != nil || len(again) != len(it) {
			t.Fatalf("%q: %v", stored, err)
		}
	})
}

// TestDecodedBytes: what an item is said to take is about what it takes.
func TestDecodedBytes(t *testing.T) {
	list := func(n int, v Value) Value { return Value{Type: L, List: slices.Repeat([]Value{v}, n)} }
	m := make(Item)
	var strs []string
	var nums []Number
	for i := range 5000 {
		m[fmt.Sprint("name", i)] = Value{Type: NULL}
		strs = append(strs, fmt.Sprintf("%06d", i))
		n, err := ParseNumber(fmt.Sprint(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		nums = append(nums, n)
	}
	for name, it := range map[string]Item{
		"lease":   {"k": String("a"), "n": {Type: N, Num: nums[6]}, "owner": String("worker")},
		"text":    {"k": String(strings.Repeat("x", 400_000))},
		"nulls":   {"l": list(15_000, Value{Type: NULL})},
		"names":   m,
		"map":     {"m": {Type: M, Map: m}},
		"small":   {"l": list(5000, Value{Type: M, Map: Item{"a": String("x")}})},
		"nested":  {"l": list(100, list(100, String("x")))},
		"strings": {"s": {Type: SS, Strs: strs}},
		"numbers": {"s": {Type: NS, Nums: nums}},
	} {
		stored := string(it.Append(nil))
		said, err := DecodedBytes(stored)
		if err != nil {
			t.Fatal(err)
		}
		const runs = 5
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if _, err := Decode(stored); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		takes := float64(after.TotalAlloc-before.TotalAlloc) / runs
		if share := float64(said) / takes; share < 0.8 || share > 3 {
			t.Errorf("%s: %d bytes are said, %.0f taken", name, said, takes)
		}
		if _, err := DecodedBytes(stored[:len(stored)-1]); err == nil {
			t.Errorf("%s: cut, and no error", name)
		}
		if n := testing.AllocsPerRun(5, func() { DecodedBytes(stored) }); n > 0 {
			t.Errorf("%s: %v allocations to know it", name, n)
		}
	}
}
