package api_test

import (
	"bytes"
	"errors"
	"testing"

	"vswitch/api"
	"vswitch/api/apitest"
)

func TestBackupTravelsAsItIs(t *testing.T) {
	t.Parallel()
	c := client(t, apitest.Serve(t, apitest.New()), 0)
	var got bytes.Buffer
	if err := c.Backup(t.Context(), &got); err != nil || got.String() != apitest.FakeState {
		t.Errorf("backup %q, %v; want %q", got.String(), err, apitest.FakeState)
	}
}

func TestUpgradeWantsAnAbsolutePath(t *testing.T) {
	t.Parallel()
	c := client(t, apitest.Serve(t, apitest.New()), 0)
	for binary, want := range map[string]api.Kind{"": "", "/usr/sbin/vswitchd": "", "vswitchd": api.Invalid} {
		err := c.Upgrade(t.Context(), binary)
		if e, _ := errors.AsType[*api.Error](err); want != "" && (e == nil || e.Kind != want) || want == "" && err != nil {
			t.Errorf("upgrade to %q: %v, want kind %q", binary, err, want)
		}
	}
}
