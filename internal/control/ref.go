package control

import (
	"encoding/hex"
	"io"
	"strings"

	"vswitch/api"
)

// newID returns 64 hex digits, as Docker's ids are.
func (c *core) newID() string {
	var b [32]byte
	_, _ = io.ReadFull(c.config.Rand, b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// resolve finds what ref means among all, by id: a whole id, a name, or a prefix
// of one id alone; the empty ref means nothing. what and list name the kind and the command in
// the error.
func resolve[T interface{ title() string }](all map[string]T, ref, what, list string) (T, error) {
	var found, none T
	if v, ok := all[ref]; ok {
		return v, nil
	}
	matches := 0
	for id, v := range all {
		switch {
		case ref == "":
		case v.title() == ref:
			return v, nil
		case strings.HasPrefix(id, ref):
			found = v
			matches++
		}
	}
	switch matches {
	case 0:
		return none, api.NotFoundf("%s %q does not exist: see vsctl %s", what, ref, list)
	case 1:
		return found, nil
	}
	return none, api.Conflictf("%s id %q is ambiguous, %d ids begin with it: give more digits or the name", what, ref, matches)
}
