package supervise

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// TestHistoryFitsIntoAVariable: whatever was asked for, the next child can be started with it.
func TestHistoryFitsIntoAVariable(t *testing.T) {
	t.Parallel()
	var h history
	long := strings.Repeat("<", maxPacket)
	for id := range uint64(3 * maxHistory) {
		h.put(Upgrade{ID: id + 1, Binary: long, State: UpgradeFailed, Reason: long})
	}
	const maxString = 128 << 10 // MAX_ARG_STRLEN
	if n := len(envUpgrades + "=" + h.String()); n >= maxString {
		t.Errorf("a full history has %d bytes, want less than %d", n, maxString)
	}
	if len(h) != maxHistory || h[maxHistory-1].ID != 3*maxHistory {
		t.Errorf("%d are kept to upgrade %d, want the last %d", len(h), h[len(h)-1].ID, maxHistory)
	}
}

func TestHistoryReachesTheChild(t *testing.T) {
	t.Parallel()
	var h history
	h.put(Upgrade{ID: 1 << 63, Binary: "/a b", State: UpgradeUnderWay})
	h.put(Upgrade{Binary: "/not/asked/for/by/a/child"})
	h.end(1<<63, UpgradeFailed, "/a b: exit\nstatus \"3\"")
	h.end(7, UpgradeSucceeded, "") // not in it
	given := variables{envSupervisor: "1", envUpgrades: h.String()}
	want := history{{1 << 63, "/a b", UpgradeFailed, "/a b: exit\nstatus \"3\""}}
	e, err := parseEnvironment(given.get, 2, 1)
	if err != nil || !e.tellsPast || !reflect.DeepEqual(e.past, want) {
		t.Errorf("got %+v, %v, want %+v", e.past, err, want)
	}
	given[envUpgrades] = "{"
	if _, err := parseEnvironment(given.get, 2, 1); err == nil ||
		!strings.Contains(err.Error(), `VSWITCH_UPGRADES is "{"`) {
		t.Errorf("of malformed JSON: %v", err)
	}
	for _, parent := range []int{1, 3} { // a supervisor of a version before; another process's
		delete(given, envUpgrades)
		if e, err := parseEnvironment(given.get, 2, parent); err != nil || e.tellsPast {
			t.Errorf("below process %s: %+v, %v; want none told", strconv.Itoa(parent), e, err)
		}
		given[envUpgrades] = "[]"
	}
}
