package outbound

import "net/netip"

// Judge lets tests ask about addresses that nothing listens at.
func (d *Dialer) Judge(target string, ap netip.AddrPort) string { return d.judge(target, ap) }
