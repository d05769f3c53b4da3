package main

import (
	"context"
	"sync"
	"testing"

	"vswitch/api"
	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
)

// upgraded is a switch whose process is another one after an upgrade.
type upgraded struct {
	api.Backend
	refuse   error                                   // what an upgrade answers
	outcomes func(asks int, id string) []api.Upgrade // what Upgrades answers the nth time after it
	listing  error                                   // what Upgrades answers otherwise
	version  string                                  // of the next process

	mu   sync.Mutex
	id   string
	asks int
	done bool
}

func (b *upgraded) Version(context.Context) (api.Version, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return api.Version{PID: 2, Version: b.version, API: "v1"}, nil
	}
	return api.Version{PID: 1, Version: "v1", API: "v1"}, nil
}

func (b *upgraded) Upgrade(_ context.Context, spec api.UpgradeSpec) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listing != nil && spec.ID != "" {
		return api.Invalidf(`unknown field "id"`)
	}
	b.id, b.done = spec.ID, b.refuse == nil
	return b.refuse
}

func (b *upgraded) Upgrades(context.Context) ([]api.Upgrade, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listing != nil {
		return nil, b.listing
	}
	if b.id == "" {
		return nil, nil
	}
	b.asks++
	return b.outcomes(b.asks, b.id), nil
}

func TestUpgradeSaysWhatCameOfIt(t *testing.T) {
	t.Parallel()
	const replaced = "vswitchd v1 (process 1) replaced by v2 (process 2)\n"
	end := func(state, reason string) func(int, string) []api.Upgrade {
		return func(asks int, id string) []api.Upgrade {
			other := api.Upgrade{ID: api.NewUpgradeID(), Binary: "/y", State: api.UpgradeFailed}
			own := api.Upgrade{ID: id, Binary: "/x", State: api.UpgradeUnderWay}
			if asks > 2 {
				own.State, own.Reason = state, reason
			}
			return []api.Upgrade{own, other}
		}
	}
	for name, test := range map[string]struct {
		backend        *upgraded
		code           int
		stdout, stderr string
	}{
		"succeeds": {&upgraded{outcomes: end(api.UpgradeSucceeded, "")}, 0, replaced, ""},
		"fails in its turn": {
			&upgraded{outcomes: end(api.UpgradeFailed, "/x was not ready within\n30s")}, 1, "",
			"vsctl: upgrade: not upgraded: /x was not ready within?30s: " +
				"the program before goes on as process 2\n",
		},
		"is refused": {
			&upgraded{refuse: api.Invalidf("not upgraded: /x: exit status 3")}, 1, "",
			"vsctl: upgrade: not upgraded: /x: exit status 3\n",
		},
		"another supervisor answers": {
			&upgraded{outcomes: func(int, string) []api.Upgrade { return nil }}, 1, "",
			"vsctl: upgrade: not known what came of the upgrade: " +
				"vswitchd was restarted as a whole meanwhile: see its log\n",
		},
		"an older daemon": {&upgraded{listing: api.NotFoundf("no route")}, 0, replaced, ""},
		"an older daemon and the same version": {
			&upgraded{listing: api.NotFoundf("no route"), version: "v1"}, 0,
			"vswitchd v1 (process 1) replaced by v1 (process 2)\n",
			"vsctl: upgrade: this vswitchd does not tell whether it went back to the program before: " +
				"see its log, and restart it as a whole to have later upgrades tell\n",
		},
		"an older supervisor": {&upgraded{listing: api.Unsupportedf("older")}, 0, replaced, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := test.backend
			b.Backend = controltest.New(t)
			if b.version == "" {
				b.version = "v2"
			}
			code, stdout, stderr := vsctl(t.Context(), apitest.Serve(t, b), "upgrade", "/x")
			if code != test.code || stdout != test.stdout || stderr != test.stderr {
				t.Errorf("exit status %d with\n%s%swant %d with\n%s%s",
					code, stdout, stderr, test.code, test.stdout, test.stderr)
			}
		})
	}
}

// TestUpgradeUnderWayForTooLong: the user's patience ends before that of the supervisor.
func TestUpgradeUnderWayForTooLong(t *testing.T) {
	t.Parallel()
	b := &upgraded{Backend: controltest.New(t), outcomes: func(_ int, id string) []api.Upgrade {
		return []api.Upgrade{{ID: id, Binary: "/x", State: api.UpgradeUnderWay}}
	}}
	code, _, stderr := vsctl(t.Context(), apitest.Serve(t, b), "upgrade", "--timeout", "1s")
	if want := "vsctl: upgrade: not known what came of the upgrade: " +
		"it is still under way: see the log of vswitchd\n"; code != 1 || stderr != want {
		t.Errorf("exit status %d with %q, want 1 with %q", code, stderr, want)
	}
}
