package api

import (
	"crypto/rand"
	"encoding/hex"
	"path/filepath"
	"regexp"

	"vswitch/internal/wellformed"
)

// The states of an [Upgrade].
const (
	UpgradeUnderWay  = "under-way"
	UpgradeSucceeded = "succeeded" // the new program is ready
	UpgradeFailed    = "failed"    // the one before goes on
)

var upgradeID = regexp.MustCompile("^[0-9a-f]{16}$")

// NewUpgradeID returns an id for an upgrade.
func NewUpgradeID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

func (s UpgradeSpec) validate() (UpgradeSpec, error) {
	if s.Binary != "" && (!filepath.IsAbs(s.Binary) || len(s.Binary) > maxPath || !wellformed.Printable(s.Binary)) {
		return s, Invalidf("binary %q: want an absolute path of at most %d bytes", clip(s.Binary), maxPath)
	}
	if s.ID != "" && !upgradeID.MatchString(s.ID) {
		return s, Invalidf("id %q: want 16 digits of 0 to 9 and a to f", clip(s.ID))
	}
	return s, nil
}
