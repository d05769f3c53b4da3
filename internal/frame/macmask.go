package frame

import "fmt"

// MACMask is one MAC address or several that have bits in common: those a for which
// a&Mask is MAC. The zero MACMask is none.
type MACMask struct{ MAC, Mask MAC }

// SingleMAC returns the MACMask of one address.
func SingleMAC(m MAC) MACMask { return MACMask{m, Broadcast} }

// ParseMACMask reads an address, or an address and a mask as
// "00:00:5e:00:01:00/ff:ff:ff:ff:ff:00".
func ParseMACMask(s string) (MACMask, error) {
	text, mask := s, Broadcast.String()
	if at := len(mask); len(s) > at && s[at] == '/' {
		text, mask = s[:at], s[at+1:]
	}
	m, err := ParseMAC(text)
	if err != nil {
		return MACMask{}, err
	}
	r := SingleMAC(m)
	if r.Mask, err = ParseMAC(mask); err != nil {
		return MACMask{}, fmt.Errorf("mask %w", err)
	}
	return r, nil
}

// Contains reports whether m is one of the addresses.
func (r MACMask) Contains(m MAC) bool {
	return m.Uint64()&r.Mask.Uint64() == r.MAC.Uint64()
}

// IsSingle reports whether it is one address.
func (r MACMask) IsSingle() bool { return r.Mask == Broadcast }

// Masked returns it without the bits of MAC that Mask does not have.
func (r MACMask) Masked() MACMask {
	return MACMask{MACFromUint64(r.MAC.Uint64() & r.Mask.Uint64()), r.Mask}
}

// String is as [ParseMACMask] reads it, without the mask of a single address.
func (r MACMask) String() string {
	if r.IsSingle() {
		return r.MAC.String()
	}
	return r.MAC.String() + "/" + r.Mask.String()
}

// MarshalText implements [encoding.TextMarshaler].
func (r MACMask) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *MACMask) UnmarshalText(b []byte) error {
	v, err := ParseMACMask(string(b))
	if err == nil {
		*r = v
	}
	return err
}
