package daemon

import (
	"testing"

	"vswitch/internal/control/model"
)

func TestUplinkOfARecord(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		record model.Segment
		want   string
	}{
		{model.Segment{Uplink: "host"}, "host"},
		{model.Segment{Uplink: "none"}, "none"},
		{model.Segment{Uplink: "none", Internal: true}, "none"},
		{model.Segment{}, "host"}, // of a version without uplinks
		{model.Segment{Internal: true}, "none"},
		{model.Segment{Uplink: "vxlan"}, "none"}, // of a version to come
	} {
		if got := uplinkOf(test.record); got != test.want {
			t.Errorf("uplink %q, internal %t: %s, want %s", test.record.Uplink, test.record.Internal, got, test.want)
		}
	}
}

func TestHostLinkNamesFitTheKernel(t *testing.T) {
	t.Parallel()
	h := newHostLink(&segment{record: model.Segment{ID: newID()}})
	if len(h.name) > 15 || h.name[:3] != "vs-" {
		t.Errorf("the name %q does not fit an interface", h.name)
	}
	if v := h.view(""); v.State != "down" || v.Reason == "" {
		t.Errorf("a link that was not made yet is shown as %+v, want it down with a reason", v)
	}
}
