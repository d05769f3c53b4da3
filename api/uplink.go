package api

// Uplinks of a segment.
const (
	UplinkHost = "host" // the host has the gateway's address and is the way out
	UplinkNone = "none" // the gateway answers alone, and nothing leaves the segment
)

// HostLink is the interface by which the host reaches a segment.
type HostLink struct {
	Name     string   `json:"name"`
	State    string   `json:"state"`            // [PortUp] or [PortDown]
	Reason   string   `json:"reason,omitempty"` // why it is not up, or what else is wrong
	Counters Counters `json:"counters"`         // received from the host, and sent to it
}

// UplinkOf is the uplink that is meant where a spec says uplink, which may be
// empty.
func UplinkOf(uplink string, internal bool) string {
	switch {
	case uplink != "":
		return uplink
	case internal:
		return UplinkNone
	}
	return UplinkHost
}

func validateUplink(uplink string, internal bool) error {
	switch uplink {
	case "", UplinkNone:
		return nil
	case UplinkHost:
		if internal {
			return Invalidf("an internal segment has no way out: leave out internal, or the uplink")
		}
		return nil
	}
	return Invalidf("uplink %q: want host or none", clip(uplink))
}
