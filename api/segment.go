package api

// DefaultSegment is the segment a port joins when its spec names none.
const DefaultSegment = "bridge"

// MTU range in bytes: from the smallest an IPv4 link may have (RFC 791 §3.2) to
// the most that a TAP takes, 65535 less an Ethernet header (drivers/net/tun.c).
const (
	MinMTU = 68
	MaxMTU = 65521
)

// validate takes nothing for auto.
func (o Offload) validate() error {
	if o != "" && !o.Valid() {
		return Invalidf("offload %q: want on, off or auto", clip(string(o)))
	}
	return nil
}
