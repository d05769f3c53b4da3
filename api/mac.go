package api

import (
	"net"

	"vswitch/internal/frame"
)

// MAC is a 48-bit IEEE 802 address, in text as 02:42:ac:11:00:02; the zero MAC is none.
type MAC = frame.MAC

// ParseMAC reads the forms of [net.ParseMAC]. It takes only an address that one host can
// have: not zero, and the group bit clear (IEEE 802-2014 §8.2).
func ParseMAC(s string) (MAC, error) {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != len(MAC{}) {
		return MAC{}, Invalidf("mac %q: want six bytes in hex, such as 02:42:ac:11:00:02", clip(s))
	}
	return MAC(mac), validateMAC(MAC(mac))
}

func validateMAC(m MAC) error {
	switch {
	case m.IsGroup():
		return Invalidf("mac %s is a group address: want a unicast one, its first byte even", m)
	case m.IsZero():
		return Invalidf("mac %s belongs to nobody: want a unicast address, "+
			"such as 02:42:ac:11:00:02", m)
	}
	return nil
}
