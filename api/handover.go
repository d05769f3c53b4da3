package api

import (
	"net/netip"

	"vswitch/internal/wellformed"
)

// validateContainer wants to know in one way where the interface shall be.
func (s PortSpec) validateContainer() error {
	if s.Handover {
		if s.NetNS != "" || s.PID != 0 || s.IfName != "" || s.AllowHostNetNS {
			return Invalidf("handover excludes netns, pid, ifname and allow_host_netns: " +
				"who takes the interface over chooses them")
		}
		return nil
	}
	if err := validateNamespace(s.NetNS, s.PID); err != nil {
		return err
	}
	if s.IfName == "" {
		return nil
	}
	return validateIfName(s.IfName)
}

// validateID takes what the caller chose as an id, such as Docker's, or nothing.
func validateID(what, id string) error {
	if id != "" && !wellformed.ID(id) {
		return Invalidf("%s %q: want %d hex digits in lower case, or none for a new one", what, clip(id), wellformed.IDLen)
	}
	return nil
}

func (u SegmentUpdate) validate() (SegmentUpdate, error) {
	if u.Name == nil && u.Subnet == nil && len(u.Labels) == 0 && u.Offload == nil {
		return u, Invalidf("nothing to change: give a name, a subnet, labels or offload")
	}
	if err := given(u.Offload, Offload.validate)(); err != nil {
		return u, err
	}
	if u.Subnet != nil {
		if err := validateSubnet(*u.Subnet, netip.Prefix{}); err != nil {
			return u, err
		}
	}
	if u.Name != nil {
		if err := validateName("segment name", *u.Name); err != nil {
			return u, err
		}
	}
	return u, validateLabelChange(u.Labels)
}

// validateLabelChange checks labels to set and, with nil, to remove.
func validateLabelChange(change map[string]*string) error {
	labels := make(map[string]string, len(change))
	for k, v := range change {
		labels[k] = ""
		if v != nil {
			labels[k] = *v
		}
	}
	return validateLabels(labels)
}
