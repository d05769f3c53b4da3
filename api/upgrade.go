package api

import (
	"path/filepath"

	"vswitch/internal/wellformed"
)

func (s UpgradeSpec) validate() (UpgradeSpec, error) {
	if s.Binary != "" && (!filepath.IsAbs(s.Binary) || len(s.Binary) > maxPath || !wellformed.Printable(s.Binary)) {
		return s, Invalidf("binary %q: want an absolute path of at most %d bytes", clip(s.Binary), maxPath)
	}
	return s, nil
}
