package model

import (
	"fmt"

	"vswitch/internal/wellformed"
)

// Bounds of what a record may hold. Whether values make sense together with the
// kernel is for others to say; these keep a hostile file from reaching them.
const (
	minMTU = 68 // RFC 791 §3.2
	maxMTU = 65535

	maxPublications = 4096 // of a port
)

// MaxLeases is how many leases a pool may have, so that they fit into a record of the store.
const MaxLeases = 50_000

func checkLabels(labels map[string]string) error {
	for k, v := range labels {
		if k == "" || !wellformed.Printable(k) || !wellformed.Printable(v) {
			return fmt.Errorf("label %q is empty or has control characters", wellformed.Clip(k))
		}
	}
	return nil
}

func validAuxName(s string) bool {
	return s != "" && len(s) <= wellformed.MaxName && wellformed.Printable(s)
}

func validName(s string) bool { return wellformed.Name(s, wellformed.MaxName) }

// checkOffload takes names that a later version may have.
func checkOffload(name string) error {
	if len(name) > wellformed.MaxName || !wellformed.Printable(name) {
		return fmt.Errorf("offload %q is not on, off or auto", wellformed.Clip(name))
	}
	return nil
}
