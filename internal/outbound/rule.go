package outbound

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// A Rule is an entry of the operator's list.
type Rule struct {
	prefix netip.Prefix // valid: addresses in it
	host   string       // else: a name, in lower case; ".example.com" is every name below example.com
	port   uint16       // 0: all
}

// ParseRule reads an entry of the operator's list: an address (10.1.2.3), a network
// (10.0.0.0/8) or a name (search.internal; *.internal is every name below it), each
// but the network with a port if only that may be reached (search.internal:9200).
// A name allows whatever private addresses it resolves to.
func ParseRule(s string) (Rule, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return Rule{prefix: p.Masked()}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return Rule{prefix: netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())}, nil
	}
	host, port := s, uint16(0)
	if h, p, err := net.SplitHostPort(s); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return Rule{}, fmt.Errorf("%q has no port from 1 to 65535", s)
		}
		host, port = h, uint16(n)
		if a, err := netip.ParseAddr(host); err == nil && a.Zone() == "" {
			return Rule{prefix: netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), port: port}, nil
		}
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if below, ok := strings.CutPrefix(name, "*."); ok {
		name = below
		host = "." + below
	} else {
		host = name
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return Rule{}, fmt.Errorf("%q is no address, no network and no name of a host", s)
		}
	}
	return Rule{host: host, port: port}, nil
}

// matches says whether the rule allows ap, an address of target ("host:port").
func (r Rule) matches(target string, ap netip.AddrPort) bool {
	if r.port != 0 && r.port != ap.Port() {
		return false
	}
	if r.prefix.IsValid() {
		return r.prefix.Contains(ap.Addr())
	}
	return r.named(target)
}

// named says whether the rule is one of names, and target's is one of them.
func (r Rule) named(target string) bool {
	host, _, err := net.SplitHostPort(target)
	if err != nil || r.host == "" {
		return false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if strings.HasPrefix(r.host, ".") {
		return strings.HasSuffix(host, r.host)
	}
	return host == r.host
}
