package api

// UplinkOf is the uplink that is meant where a spec says uplink, which may be
// empty.
func UplinkOf(uplink Uplink, internal bool) Uplink {
	switch {
	case uplink != "":
		return uplink
	case internal:
		return UplinkNone
	}
	return UplinkHost
}

func validateUplink(uplink Uplink, internal bool) error {
	switch uplink {
	case "", UplinkNone:
		return nil
	case UplinkHost:
		if internal {
			return Invalidf("an internal segment has no way out: leave out internal, or the uplink")
		}
		return nil
	}
	return Invalidf("uplink %q: want host or none", clip(string(uplink)))
}
