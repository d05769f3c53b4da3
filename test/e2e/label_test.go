package e2e

import (
	"fmt"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// As many labels as may be, of any characters, are there after a restart; and no
// number of changes makes more of them.
func TestLabelsWithinTheirBounds(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("blue")
	h.Attach("c", lab.On("blue"))
	all := make(map[string]*string)
	for i := range api.MaxLabels {
		all[fmt.Sprint("label", i)] = new(strings.Repeat("<", 4096))
	}
	one := map[string]*string{"more": new("x")}
	instead := map[string]*string{"label0": nil, "more": new("x")}
	for what, update := range map[string]func(labels map[string]*string) (map[string]string, error){
		"segment": func(labels map[string]*string) (map[string]string, error) {
			s, err := h.Client.UpdateSegment(t.Context(), "blue", api.SegmentUpdate{Labels: labels})
			return s.Labels, err
		},
		"port": func(labels map[string]*string) (map[string]string, error) {
			p, err := h.Client.UpdatePort(t.Context(), "c", api.PortUpdate{Labels: labels})
			return p.Labels, err
		},
	} {
		if got, err := update(all); err != nil || len(got) != api.MaxLabels {
			t.Fatalf("%s: %d labels, %v, want %d", what, len(got), err, api.MaxLabels)
		}
		if _, err := update(one); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), "65 labels: want at most 64") {
			t.Errorf("%s: one label more: %v, want it refused", what, err)
		}
		if got, err := update(instead); err != nil || len(got) != api.MaxLabels || got["more"] != "x" {
			t.Errorf("%s: one label in the place of another: %d labels, %v", what, len(got), err)
		}
	}
	h.Stop()
	h.Start()
	if s := h.Segment("blue"); len(s.Labels) != api.MaxLabels || s.Labels["label1"] != *all["label1"] {
		t.Errorf("the segment comes back with %d labels, want %d as they were", len(s.Labels), api.MaxLabels)
	}
}
