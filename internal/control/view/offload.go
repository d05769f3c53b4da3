package view

import (
	"vswitch/api"
	"vswitch/internal/control/model"
)

// offload returns the setting of a record, empty for auto. A value that we do not know is a later
// version's.
func offload(value string) api.Offload {
	if o := api.Offload(value); o == api.OffloadOn || o == api.OffloadOff {
		return o
	}
	return ""
}

// Offload returns whether a port's device is to have offloads: as the port says, or else its
// segment, or else the daemon's standard.
func Offload(p model.Port, s model.Segment, standard bool) bool {
	for _, setting := range []string{p.Offload, s.Offload} {
		if o := offload(setting); o != "" {
			return o == api.OffloadOn
		}
	}
	return standard
}
