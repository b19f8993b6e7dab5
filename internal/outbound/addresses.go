package outbound

import "net/netip"

// A network and what it is, for the words of a refusal.
type network struct {
	prefix netip.Prefix
	name   string
}

func networks(rows ...string) []network {
	var all []network
	for i := 0; i < len(rows); i += 2 {
		all = append(all, network{netip.MustParsePrefix(rows[i]), rows[i+1]})
	}
	return all
}

// never are networks that nothing is delivered to. 169.254/16 has the metadata
// services of EC2, ECS, Google and Azure; those outside of it are named.
var never = networks(
	"0.0.0.0/8", "it is an address of no host",
	"169.254.0.0/16", "it is link-local, where clouds have their metadata services",
	"168.63.129.16/32", "it is Azure's host service",
	"100.100.100.200/32", "it is Alibaba Cloud's metadata service",
	"192.0.0.192/32", "it is Oracle Cloud's metadata service",
	"224.0.0.0/4", "it is multicast",
	"240.0.0.0/4", "it is reserved",
	"::/128", "it is an address of no host",
	"fe80::/10", "it is link-local",
	"fd00:ec2::/32", "it is EC2's metadata service",
	"fd20:ce::/32", "it is Google Cloud's metadata service",
	"ff00::/8", "it is multicast",
	"2001::/32", "it is a Teredo tunnel",
)

// private are networks that the public cannot reach, and the server may.
var private = networks(
	"127.0.0.0/8", "it is this machine",
	"::1/128", "it is this machine",
	"10.0.0.0/8", "it is a private network",
	"172.16.0.0/12", "it is a private network",
	"192.168.0.0/16", "it is a private network",
	"100.64.0.0/10", "it is a provider's shared network",
	"198.18.0.0/15", "it is a network for benchmarks",
	"192.0.0.0/24", "it is a network for protocols",
	"fc00::/7", "it is a private network",
	"fec0::/10", "it is a private network",
)

// carriers are IPv6 networks whose addresses carry an IPv4 address, and the byte that it starts at.
var carriers = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},   // NAT64
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12}, // NAT64 of a site, by its usual layout
	{netip.MustParsePrefix("2002::/16"), 2},       // 6to4
}

// embedded returns the IPv4 address that ip carries, or ip, without its zone.
func embedded(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	for _, c := range carriers {
		if c.prefix.Contains(ip) {
			b := ip.As16()
			return netip.AddrFrom4([4]byte(b[c.at : c.at+4]))
		}
	}
	// ::a.b.c.d, long deprecated, but not :: and ::1, which have names of their own.
	if b := ip.As16(); ip.Is6() && [12]byte(b[:12]) == [12]byte{} && (b[12]|b[13]|b[14]) != 0 {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return ip
}

func forbidden(ip netip.Addr) string { return among(never, ip) }

func inner(ip netip.Addr) string { return among(private, ip) }

func among(all []network, ip netip.Addr) string {
	for _, n := range all {
		if n.prefix.Contains(ip) {
			return n.name
		}
	}
	return ""
}
