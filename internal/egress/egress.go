// Package egress keeps requests that are made for others out of networks that are
// not public: of this machine, of its neighbours, of the cloud it stands in. Whoever
// may say where a server sends something could otherwise have it talk to what only
// the server reaches (server-side request forgery).
//
// What is looked at is the address that is about to be connected to, after names
// were resolved: a name that stands for another address each time it is asked for
// gains nothing.
package egress

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
)

// Guard refuses connections to addresses that are not public, but for networks that
// are allowed. A nil Guard refuses nothing.
type Guard struct{ allowed []netip.Prefix }

// New makes a guard that lets connections into these networks, and into all that
// are public.
func New(allowed ...netip.Prefix) *Guard { return &Guard{allowed} }

// Refused is the error of a connection that was not made.
type Refused struct {
	Address netip.Addr
	// Plain says that the connection would not be encrypted.
	Plain bool
}

func (e *Refused) Error() string {
	if e.Plain {
		return fmt.Sprintf("without TLS the address %s is not connected to: its network is not among those that are allowed", e.Address)
	}
	return fmt.Sprintf("the address %s is not a public one, and its network is not among those that are allowed", e.Address)
}

// Check refuses an address with a [*Refused].
func (g *Guard) Check(address netip.Addr) error {
	if g == nil {
		return nil
	}
	address = address.Unmap()
	if Public(address) || g.Allows(address) {
		return nil
	}
	return &Refused{Address: address}
}

// Allows reports whether an address is in one of the networks that are allowed.
func (g *Guard) Allows(address netip.Addr) bool {
	if g == nil {
		return true
	}
	address = address.Unmap().WithZone("")
	for _, network := range g.allowed {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// Control is a [Control]: it sees each address right before it is connected to.
func (g *Guard) Control(_, address string, _ syscall.RawConn) error {
	if g == nil {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("the address %q is not one of IP", address)
	}
	return g.Check(to.Addr())
}

// Control is what [net.Dialer] calls before it connects.
type Control = func(network, address string, conn syscall.RawConn) error

// ControlAllowed is [Guard.Control] for connections that are not encrypted, which
// must not leave the networks that are allowed.
func (g *Guard) ControlAllowed(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("the address %q is not one of IP", address)
	}
	if !g.Allows(to.Addr()) {
		return &Refused{to.Addr().Unmap(), true}
	}
	return nil
}

// special are the networks that are not for everybody, by the registries of IANA for
// addresses of special purpose (RFC 6890 and what came after), and addresses that a
// cloud answers at although they look public.
var special = networks(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32",                                     // Azure's platform, at each machine of it
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", // tunnels, documentation
)

var (
	// unicast6 is what of IPv6 is given to networks of the world.
	unicast6 = netip.MustParsePrefix("2000::/3")
	// translated stands for IPv4 addresses, in its last four bytes (RFC 6052).
	translated = netip.MustParsePrefix("64:ff9b::/96")
)

func networks(list ...string) (out []netip.Prefix) {
	for _, text := range list {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// Public reports whether an address is one that everybody in the world may reach.
func Public(address netip.Addr) bool {
	address = address.Unmap()
	if translated.Contains(address) {
		bytes := address.As16()
		address = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	if !address.IsValid() || address.Zone() != "" || address.Is6() && !unicast6.Contains(address) {
		return false
	}
	for _, network := range special {
		if network.Contains(address) {
			return false
		}
	}
	return true
}

// ParseNetworks reads networks ("10.0.0.0/8") and addresses.
func ParseNetworks(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		text = strings.TrimSpace(text)
		network, err := netip.ParsePrefix(text)
		if address, addressErr := netip.ParseAddr(text); addressErr == nil && address.Zone() == "" {
			network, err = address.Unmap().Prefix(address.Unmap().BitLen())
		}
		if err != nil || network.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is not a network: write for example \"10.0.0.0/8\" or \"fd00::/8\"", text)
		}
		out = append(out, network.Masked())
	}
	return out, nil
}
