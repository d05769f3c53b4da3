package supervise

import (
	"encoding/json"
	"fmt"
	"slices"
)

// UpgradeState is how far an upgrade has come.
type UpgradeState string

// The states of an upgrade.
const (
	UpgradeUnderWay  UpgradeState = "under-way"
	UpgradeSucceeded UpgradeState = "succeeded" // the new program is ready
	UpgradeFailed    UpgradeState = "failed"    // the program before goes on
)

// Upgrade is an upgrade that a child has asked for, and what came of it.
type Upgrade struct {
	ID     uint64 // of its [UpgradeRequest]
	Binary string // absolute path of the new program
	State  UpgradeState
	Reason string // why it failed; names the program
}

const (
	// maxHistory bounds what a child is told of: the upgrades that somebody may still ask for.
	maxHistory = 8
	// maxHistoryText bounds the bytes of a path and of a reason, so that a history fits into one
	// variable (MAX_ARG_STRLEN, include/uapi/linux/binfmts.h), though JSON takes six for some.
	maxHistoryText = 1 << 10
)

// history are the last upgrades, the newest last. An upgrade without an ID is not in it.
type history []Upgrade

// put adds u, or has it take the place of the one with its ID.
func (h *history) put(u Upgrade) {
	if u.ID == 0 {
		return
	}
	u.Binary = u.Binary[:min(len(u.Binary), maxHistoryText)]
	u.Reason = u.Reason[:min(len(u.Reason), maxHistoryText)]
	rest := slices.DeleteFunc(slices.Clone(*h), func(other Upgrade) bool { return other.ID == u.ID })
	rest = append(rest, u)
	*h = rest[max(0, len(rest)-maxHistory):]
}

// end records what came of an upgrade that is in h.
func (h *history) end(id uint64, state UpgradeState, reason string) {
	for _, u := range *h {
		if u.ID == id {
			u.State, u.Reason = state, reason
			h.put(u)
			return
		}
	}
}

// String is the form in which a child is given it.
func (h history) String() string {
	text, err := json.Marshal(append(history{}, h...)) // never null
	if err != nil {
		return "[]" // cannot be: strings and numbers
	}
	return string(text)
}

func parseHistory(text string) (history, error) {
	var h history
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return nil, fmt.Errorf("%s is %.40q: want JSON of upgrades: %w", envUpgrades, text, err)
	}
	return h, nil
}
