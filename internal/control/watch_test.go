package control

import (
	"slices"
	"testing"

	"vswitch/internal/netns"
)

// renamedLink is a link that is renamed from "vst-0" to "eth0" just before one of the steps that
// are taken to watch it.
type renamedLink struct {
	at    string
	steps []string
}

const renamedIndex = 7

// step takes note of a step, and returns the name that the link has in it.
func (r *renamedLink) step(name string) string {
	r.steps = append(r.steps, name)
	if r.at == "" || !slices.Contains(r.steps, r.at) {
		return "vst-0"
	}
	return "eth0"
}

func (r *renamedLink) currentName() (string, error) { return r.step("name"), nil }

func (r *renamedLink) LinkByName(name string) (netns.Link, error) {
	if r.step("find") != name {
		return netns.Link{}, netns.ErrNoLink
	}
	return netns.Link{Index: renamedIndex, Name: name}, nil
}

func (r *renamedLink) LinkByIndex(index int) (netns.Link, error) {
	name := r.step("look")
	if index != renamedIndex {
		return netns.Link{}, netns.ErrNoLink
	}
	return netns.Link{Index: index, Name: name}, nil
}

// TestNoRenameIsMissed: whenever the link is renamed, either its new name is returned, or the
// error has it looked up again, or it was watched before and the event is still to come.
func TestNoRenameIsMissed(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"name", "find", "watch", "look", ""} {
		r := &renamedLink{at: at}
		l, err := watchThenLook(r, r.currentName, func(index int) {
			if index != renamedIndex {
				t.Errorf("index %d is watched, want %d", index, renamedIndex)
			}
			r.step("watch")
		})
		watched := slices.Contains(r.steps, "watch")
		switch {
		case at == "find":
			if err == nil || watched {
				t.Errorf("renamed before it is found: %+v, %v, watched %t, want an error", l, err, watched)
			}
		case err != nil || !watched:
			t.Errorf("renamed before %q: %v, watched %t", at, err, watched)
		case at != "" && l.Name != "eth0":
			t.Errorf("renamed before %q, the link is called %s by %q", at, l.Name, r.steps)
		}
	}
}
