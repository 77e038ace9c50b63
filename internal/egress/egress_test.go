package egress

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "172.32.0.1": true, "100.128.0.1": true, "2606:4700::1111": true, "64:ff9b::808:808": true, "::ffff:8.8.8.8": true,

		"0.0.0.0": false, "127.0.0.1": false, "127.255.255.254": false, "10.1.2.3": false, "172.31.255.255": false, "192.168.0.1": false,
		"169.254.169.254": false, "100.100.100.200": false, "192.0.0.192": false, "168.63.129.16": false, "198.19.0.1": false,
		"224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fd00:ec2::254": false, "ff02::1": false,
		// IPv4 in other clothes.
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false,
		"64:ff9b:1::7f00:1": false, "2002:7f00:1::": false, "2001:0:7f00:1::": false, "2001:db8::1": false,
	} {
		if got := Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: public %t, want %t", address, got, want)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address at all is public")
	}
}

func TestParseNetworks(t *testing.T) {
	list, err := ParseNetworks([]string{"10.1.2.3/8", " 192.168.7.7", "fd00::/8", "::1", "::ffff:10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"10.0.0.0/8", "192.168.7.7/32", "fd00::/8", "::1/128", "10.0.0.1/32"} {
		if list[i].String() != want {
			t.Errorf("%s, want %s", list[i], want)
		}
	}
	for _, wrong := range []string{"", "10.0.0.0/33", "localhost", "10.0.0", "fe80::1%eth0", "::ffff:10.0.0.0/104"} {
		if _, err := ParseNetworks([]string{wrong}); err == nil {
			t.Errorf("%q is read as a network", wrong)
		}
	}
}

// TestControl dials for real: a name is judged by the address behind it.
func TestControl(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dial := func(g *Guard, host string) error {
		conn, err := (&net.Dialer{Timeout: 10 * time.Second, Control: g.Control}).Dial("tcp", net.JoinHostPort(host, port))
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1", "0.0.0.0"} {
		var refused *Refused
		if err := dial(New(), host); !errors.As(err, &refused) {
			t.Errorf("%s is dialled: %v", host, err)
		}
		if err := dial(New(netip.MustParsePrefix("10.0.0.0/8")), host); !errors.As(err, &refused) {
			t.Errorf("%s is dialled, allowed is another network: %v", host, err)
		}
	}
	if err := dial(New(netip.MustParsePrefix("127.0.0.0/8")), "127.0.0.1"); err != nil {
		t.Errorf("what is allowed is not dialled: %v", err)
	}
	plain := func(g *Guard) error { return g.ControlAllowed("tcp", listener.Addr().String(), nil) }
	var refused *Refused
	if err := plain(New(netip.MustParsePrefix("10.0.0.0/8"))); !errors.As(err, &refused) || !refused.Plain {
		t.Errorf("without TLS: %v", err)
	}
	if err := New().ControlAllowed("tcp", "8.8.8.8:80", nil); !errors.As(err, &refused) {
		t.Errorf("to the world without TLS: %v", err)
	}
	if err := plain(New(netip.MustParsePrefix("127.0.0.0/8"))); err != nil {
		t.Error(err)
	}
	if err := dial(nil, "127.0.0.1"); err != nil {
		t.Errorf("without a guard: %v", err)
	}
}
