package frame

import (
	"encoding/hex"
	"fmt"
	"net/netip"
)

// MAC is a 48-bit IEEE 802 address.
type MAC [6]byte

// Broadcast is the all-ones group address.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ParseMAC reads the form "02:42:ac:11:00:02" (either case); no other.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	if len(s) != 17 {
		return MAC{}, macError(s)
	}
	for i := range m {
		if i > 0 && s[i*3-1] != ':' {
			return MAC{}, macError(s)
		}
		if _, err := hex.Decode(m[i:i+1], []byte(s[i*3:i*3+2])); err != nil {
			return MAC{}, macError(s)
		}
	}
	return m, nil
}

func macError(s string) error {
	return fmt.Errorf("%q is not a MAC address: write it as 02:42:ac:11:00:02", s)
}

// MACFromIPv4 is Docker's address for a container: 02:42 and the four bytes of
// its IPv4 address (moby, libnetwork/netutils.GenerateMACFromIP). For an
// address that is not IPv4 the four bytes are zero.
func MACFromIPv4(a netip.Addr) MAC {
	v4 := as4(a)
	return MAC{0x02, 0x42, v4[0], v4[1], v4[2], v4[3]}
}

// MACFromUint64 takes the low 48 bits of v, most significant byte first.
func MACFromUint64(v uint64) MAC {
	return MAC{byte(v >> 40), byte(v >> 32), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
}

// Uint64 is the address as a number, most significant byte first.
func (m MAC) Uint64() uint64 {
	return uint64(m[0])<<40 | uint64(m[1])<<32 | uint64(m[2])<<24 | uint64(m[3])<<16 | uint64(m[4])<<8 | uint64(m[5])
}

// IsGroup says whether the I/G bit is set: multicast or broadcast.
func (m MAC) IsGroup() bool { return m[0]&1 != 0 }

// IsZero says whether the address is all zeros, which no station may use.
func (m MAC) IsZero() bool { return m == MAC{} }

// IsUnicast says whether the address may belong to one station.
func (m MAC) IsUnicast() bool { return !m.IsGroup() && !m.IsZero() }

// String is the lower-case colon form.
func (m MAC) String() string {
	const digits = "0123456789abcdef"
	var b [17]byte
	for i, v := range m {
		b[i*3], b[i*3+1] = digits[v>>4], digits[v&15]
		if i < 5 {
			b[i*3+2] = ':'
		}
	}
	return string(b[:])
}

// MarshalText implements [encoding.TextMarshaler].
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (m *MAC) UnmarshalText(b []byte) error {
	v, err := ParseMAC(string(b))
	if err == nil {
		*m = v
	}
	return err
}
