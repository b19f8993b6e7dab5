package rheo

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// How the values of settings are read, ours and those of other emulators. A
// value that is not understood is an error, never a default.

// quotaMax is the most that a quota may be: what the API's members for quotas
// may say.
const quotaMax = 1_000_000

func parseInt(v string, low, high int, into *int) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		return fmt.Errorf("%q is not a number from %d to %d", v, low, high)
	}
	*into = n
	return nil
}

func parseBytes(v string, low, high int64, into *int64) error {
	num := strings.TrimRight(v, "KMGTiB")
	unit := map[string]int64{"": 1, "B": 1, "K": 1 << 10, "KiB": 1 << 10, "M": 1 << 20, "MiB": 1 << 20, "G": 1 << 30, "GiB": 1 << 30, "T": 1 << 40, "TiB": 1 << 40}[v[len(num):]]
	n, err := strconv.ParseInt(num, 10, 64)
	if err != nil || unit == 0 || n > high/unit || n*unit < low {
		return fmt.Errorf("%q is not a size of at least %d MiB, like 512MiB or 2GiB", v, low>>20)
	}
	*into = n * unit
	return nil
}

// parseKeys adds the keys of a list. Its errors tell no secret.
func parseKeys(v string, c *Config) error {
	for i, one := range fields(v) {
		k, err := parseKey(one)
		if err != nil {
			return fmt.Errorf("key %d %w", i+1, err)
		}
		c.Keys = append(c.Keys, k)
	}
	return nil
}

func parseKey(v string) (Key, error) {
	p := strings.Split(v, ":")
	if len(p) < 2 || len(p) > 3 || p[0] == "" || p[1] == "" {
		return Key{}, errors.New("is not of the form ID:SECRET or ID:SECRET:ACCOUNT")
	}
	k := Key{ID: p[0], Secret: p[1], Account: defaultAccount}
	if len(p) == 3 {
		if k.Account = p[2]; !accountForm.MatchString(k.Account) {
			return Key{}, fmt.Errorf("has the account %q, which is not 12 digits", k.Account)
		}
	}
	return k, nil
}

var accountForm = regexp.MustCompile(`^[0-9]{12}$`)

// readKeysFile adds the keys of a file, one a line. A file without any is
// refused: who names one does not want any credentials to be taken.
func readKeysFile(c *Config, name string) error {
	if name == "" {
		return nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	number, before := 0, len(c.Keys)
	for line := range strings.Lines(string(b)) {
		number++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		k, err := parseKey(line)
		if err != nil {
			return fmt.Errorf("%s:%d: the key %w", name, number, err)
		}
		c.Keys = append(c.Keys, k)
	}
	if len(c.Keys) == before {
		return fmt.Errorf("no key in %s", name)
	}
	return nil
}

// warnOfReaders warns of a file of secrets that every user of the machine can read.
func warnOfReaders(name string) string {
	if name == "" || runtime.GOOS == "windows" { // which has no such bits
		return ""
	}
	if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o004 != 0 {
		return fmt.Sprintf("every user of this machine can read the secrets in %s (mode %04o): chmod o= %s", name, info.Mode().Perm(), name)
	}
	return ""
}

// parseStreams reads NAME, NAME:SHARDS and NAME:SHARDS:REGION, which is what
// kinesis-mock has too.
func parseStreams(c *Config, v string) error {
	for _, one := range fields(v) {
		p := strings.Split(one, ":")
		s := InitialStream{Name: p[0]}
		if len(p) > 3 {
			return fmt.Errorf("%q is not of the form NAME:SHARDS or NAME:SHARDS:REGION", one)
		}
		if len(p) > 1 && (p[1] != "" || len(p) == 2) {
			if err := parseInt(p[1], 1, 10_000, &s.Shards); err != nil {
				return fmt.Errorf("%q: %w", one, err)
			}
		}
		if len(p) == 3 {
			s.Region = p[2]
			if err := checkRegion(s.Region); err != nil {
				return fmt.Errorf("%q: %w", one, err)
			}
		}
		if err := s.check(); err != nil {
			return err
		}
		c.Streams = append(c.Streams, s)
	}
	return nil
}

var regionForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

func checkRegion(v string) error {
	if !regionForm.MatchString(v) {
		return fmt.Errorf("%q is not a region, like us-east-1", v)
	}
	return nil
}

func fields(v string) []string {
	var out []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// hostOf and portOf take LocalStack's list of addresses apart: of the first one
// HOST, or :PORT, may stand alone.
func hostOf(v string) (string, error) {
	host, _, err := firstAddress(v)
	return host, err
}

func portOf(v string) (string, error) {
	_, port, err := firstAddress(v)
	return port, err
}

func firstAddress(v string) (host, port string, err error) {
	first, _, _ := strings.Cut(v, ",")
	first = strings.TrimSpace(first)
	if !strings.Contains(first, ":") {
		return first, "", nil
	}
	if host, port, err = net.SplitHostPort(first); err != nil || port == "" {
		return "", "", fmt.Errorf("%q is not of the form HOST:PORT", first)
	}
	return host, port, nil
}

// milliseconds: LocalStack counts them without a unit.
func milliseconds(v string) (string, error) {
	if _, err := strconv.Atoi(v); err == nil {
		return v + "ms", nil
	}
	return v, nil
}

// quota: LocalStack's word for no limit is our largest.
func quota(v string) (string, error) {
	if strings.EqualFold(v, "infinity") {
		return strconv.Itoa(quotaMax), nil
	}
	return v, nil
}

// debugLevel takes DEBUG=1. Many programs have a DEBUG of their own: what else
// there is in it is not meant for us.
func debugLevel(v string) (string, error) {
	if v == "1" || strings.EqualFold(v, "true") {
		return "debug", nil
	}
	return "", nil
}
