package api_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"vswitch/api"
	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
	"vswitch/internal/control/kernel/kerneltest"
)

func TestBackupTravelsAsItIs(t *testing.T) {
	t.Parallel()
	c := client(t, apitest.Serve(t, controltest.New(t)), 0)
	var got bytes.Buffer
	if err := c.Backup(t.Context(), &got); err != nil || got.String() != kerneltest.BackupText {
		t.Errorf("backup %q, %v; want %q", got.String(), err, kerneltest.BackupText)
	}
}

// upgradable is a backend that is upgraded, and does as before.
type upgradable struct{ api.Backend }

func (upgradable) Upgrade(context.Context, api.UpgradeSpec) error { return nil }

func (upgradable) Upgrades(context.Context) ([]api.Upgrade, error) {
	return []api.Upgrade{{
		ID: "0123456789abcdef", Binary: "/usr/sbin/vswitchd", State: api.UpgradeFailed, Reason: "it ended",
	}}, nil
}

func TestUpgradeWantsAnAbsolutePath(t *testing.T) {
	t.Parallel()
	c := client(t, apitest.Serve(t, upgradable{controltest.New(t)}), 0)
	for binary, want := range map[string]api.Kind{"": "", "/usr/sbin/vswitchd": "", "vswitchd": api.Invalid} {
		err := c.Upgrade(t.Context(), api.UpgradeSpec{Binary: binary})
		if e, _ := errors.AsType[*api.Error](err); want != "" && (e == nil || e.Kind != want) || want == "" && err != nil {
			t.Errorf("upgrade to %q: %v, want kind %q", binary, err, want)
		}
	}
}
