package functions

import (
	"fmt"
	"math/big"
	"net"
	"strings"

	"github.com/apparentlymart/go-cidr/cidr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/gocty"
)

func networkFunctions() map[string]function.Function {
	return map[string]function.Function{
		"cidrcontains": cidrContainsFunc(),
		"cidrhost":     cidrHostFunc(),
		"cidrnetmask":  cidrNetmaskFunc(),
		"cidrsubnet":   cidrSubnetFunc(),
		"cidrsubnets":  cidrSubnetsFunc(),
	}
}

// parseCIDR reads an address prefix. Leading zeros in IPv4 octets are ignored,
// as they always were in this language; Go refuses them, since other programs
// read such octets as octal.
func parseCIDR(text string) (*net.IPNet, error) {
	_, network, err := net.ParseCIDR(withoutLeadingZeros(text))
	if err != nil {
		return nil, fmt.Errorf("invalid CIDR expression: invalid CIDR address: %s", text)
	}
	return network, nil
}

// withoutLeadingZeros drops leading zeros from the dotted decimal part of an
// address.
func withoutLeadingZeros(text string) string {
	address, rest, _ := strings.Cut(text, "/")
	if !strings.Contains(address, ".") {
		return text
	}
	head := ""
	if i := strings.LastIndexByte(address, ':'); i >= 0 {
		head, address = address[:i+1], address[i+1:]
	}
	octets := strings.Split(address, ".")
	for i, octet := range octets {
		trimmed := strings.TrimLeft(octet, "0")
		if trimmed == "" && octet != "" {
			trimmed = "0"
		}
		octets[i] = trimmed
	}
	address = head + strings.Join(octets, ".")
	if len(rest) > 0 {
		address += "/" + rest
	}
	return address
}

func cidrHostFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "prefix", Type: cty.String},
			{Name: "hostnum", Type: cty.Number},
		},
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			var host *big.Int
			if err := gocty.FromCtyValue(args[1], &host); err != nil {
				return cty.NilVal, err
			}
			network, err := parseCIDR(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			ip, err := cidr.HostBig(network, host)
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(ip.String()), nil
		},
	})
}

func cidrNetmaskFunc() function.Function {
	return stringFunc(func(args []string) (string, error) {
		network, err := parseCIDR(args[0])
		if err != nil {
			return "", err
		}
		if network.IP.To4() == nil {
			return "", fmt.Errorf("IPv6 addresses cannot have a netmask: %s", args[0])
		}
		return net.IP(network.Mask).String(), nil
	}, "prefix")
}

func cidrSubnetFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "prefix", Type: cty.String},
			{Name: "newbits", Type: cty.Number},
			{Name: "netnum", Type: cty.Number},
		},
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			var newBits int
			if err := gocty.FromCtyValue(args[1], &newBits); err != nil {
				return cty.NilVal, err
			}
			var number *big.Int
			if err := gocty.FromCtyValue(args[2], &number); err != nil {
				return cty.NilVal, err
			}
			network, err := parseCIDR(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			subnet, err := cidr.SubnetBig(network, newBits, number)
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(subnet.String()), nil
		},
	})
}

func cidrSubnetsFunc() function.Function {
	return function.New(&function.Spec{
		Params:       stringParams("prefix"),
		VarParam:     &function.Parameter{Name: "newbits", Type: cty.Number},
		Type:         function.StaticReturnType(cty.List(cty.String)),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			network, err := parseCIDR(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			if len(args) == 1 {
				return cty.ListValEmpty(cty.String), nil
			}
			nets, err := consecutiveSubnets(network, args[1:])
			if err != nil {
				return cty.NilVal, err
			}
			return cty.ListVal(nets), nil
		},
	})
}

// maxNewBits bounds one extension of a prefix, so that a typing error in an
// IPv6 plan does not silently make absurd networks.
const maxNewBits = 32

// consecutiveSubnets lays networks of the wanted sizes one after the other into
// the given one. The argument errors count from the first argument of
// cidrsubnets, the prefix.
func consecutiveSubnets(network *net.IPNet, newBits []cty.Value) ([]cty.Value, error) {
	startLen, addressLen := network.Mask.Size()
	protocol := "IPv4"
	if addressLen > 32 {
		protocol = "IPv6"
	}
	out := make([]cty.Value, len(newBits))
	var current *net.IPNet
	for i, v := range newBits {
		var bits int
		if err := gocty.FromCtyValue(v, &bits); err != nil {
			return nil, function.NewArgError(i+1, err)
		}
		length := startLen + bits
		switch {
		case bits < 1:
			return nil, function.NewArgErrorf(i+1, "must extend prefix by at least one bit")
		case bits > maxNewBits:
			return nil, function.NewArgErrorf(i+1, "may not extend prefix by more than %d bits", maxNewBits)
		case length > addressLen:
			return nil, function.NewArgErrorf(i+1, "would extend prefix to %d bits, which is too long for an %s address", length, protocol)
		}
		next := &net.IPNet{IP: network.IP, Mask: net.CIDRMask(length, addressLen)}
		if i > 0 {
			var wrapped bool
			if next, wrapped = cidr.NextSubnet(current, length); wrapped || !network.Contains(next.IP) {
				return nil, function.NewArgErrorf(i+1, "not enough remaining address space for a subnet with a prefix of %d bits after %s", length, current)
			}
		}
		current = next
		out[i] = cty.StringVal(current.String())
	}
	return out, nil
}

// cidrContainsFunc is OpenTofu's: whether an address or prefix lies within a
// prefix of the same family.
func cidrContainsFunc() function.Function {
	return function.New(&function.Spec{
		Params:       stringParams("containing_prefix", "contained_ip_or_prefix"),
		Type:         function.StaticReturnType(cty.Bool),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			outer, err := parseCIDR(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			first, last, err := addressRange(args[1].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(1, err)
			}
			if (outer.IP.To4() == nil) != (first.To4() == nil) {
				return cty.NilVal, fmt.Errorf("address family mismatch: %s vs. %s", args[0].AsString(), args[1].AsString())
			}
			return cty.BoolVal(outer.Contains(first) && outer.Contains(last)), nil
		},
	})
}

// addressRange returns the first and last address of a prefix, or the one
// address it is given twice.
func addressRange(text string) (first, last net.IP, err error) {
	if ip := net.ParseIP(withoutLeadingZeros(text)); ip != nil {
		return ip, ip, nil
	}
	network, err := parseCIDR(text)
	if err != nil {
		return nil, nil, fmt.Errorf("invalid IP address or prefix: %s", text)
	}
	first, last = cidr.AddressRange(network)
	return first, last, nil
}
