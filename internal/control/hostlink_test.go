package control

import (
	"testing"

	"vswitch/internal/control/model"
	"vswitch/internal/counters"
)

func TestHostLinkNamesFitTheKernel(t *testing.T) {
	t.Parallel()
	h := newHostLink(&segment{record: model.Segment{ID: newID()}}, new(counters.Block))
	if len(h.name) > 15 || h.name[:3] != "vs-" {
		t.Errorf("the name %q does not fit an interface", h.name)
	}
}
