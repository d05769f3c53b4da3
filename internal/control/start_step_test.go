package control

import (
	"fmt"
	"slices"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/model"
)

// furnished makes a world with something of everything, which a process has left.
func furnished(t *testing.T, end func(*watchedWorld, *Control)) *watchedWorld {
	w := newWatchedWorld(t)
	c := w.world.start()
	w.furnish(c)
	if _, err := c.AddPort(w.Context(), api.PortSpec{Name: "managed", Handover: true}); err != nil {
		t.Fatal(err)
	}
	w.addPort(c, "gone")
	end(w, c)
	w.RemoveNamespace("gone")
	w.AddNamespace("gone").Name += " anew"
	w.Plan(0, 0)
	return w
}

// stepsOfAStart are those of a start of such a world.
func stepsOfAStart(t *testing.T, end func(*watchedWorld, *Control)) []string {
	t.Helper()
	w := furnished(t, end)
	w.world.start().Settle()
	steps := w.Taken()
	w.Plan(0, 0)
	return steps
}

// TestAnyStepOfAStartMayFail: the start succeeds or says why not, nothing that was asked for is
// forgotten, and with the next start all is there.
func TestAnyStepOfAStartMayFail(t *testing.T) {
	t.Parallel()
	for way, end := range ways {
		steps := stepsOfAStart(t, end)
		if len(steps) == 0 {
			t.Errorf("%s: a start takes no step", way)
		}
		for i, step := range steps {
			t.Run(fmt.Sprintf("%s, %d %s", way, i+1, step), func(t *testing.T) {
				t.Parallel()
				w := furnished(t, end)
				ids := portIDs(w.State)
				w.Plan(i+1, 0)
				c, err := w.tryStart()
				if err == nil {
					c.Settle()
				}
				w.Plan(0, 0)
				if got := portIDs(w.State); !slices.Equal(got, ids) {
					t.Errorf("the state has the ports %q, and had %q", got, ids)
				}
				if err == nil {
					w.die()
					w.close(c, false)
				}
				next := w.world.start()
				next.Settle()
				wantAllUp(w.world, next)
			})
		}
	}
}

// TestAProcessMayDieAtAnyStepOfAStart: the next one has all there.
func TestAProcessMayDieAtAnyStepOfAStart(t *testing.T) {
	t.Parallel()
	for way, end := range ways {
		for i, step := range stepsOfAStart(t, end) {
			t.Run(fmt.Sprintf("%s, %d %s", way, i+1, step), func(t *testing.T) {
				t.Parallel()
				w := furnished(t, end)
				w.Plan(0, i+1)
				dies(w.world, func() error {
					c, err := w.tryStart()
					if err == nil {
						c.Settle()
					}
					return err
				})
				w.Plan(0, 0)
				w.die()
				w.abandon()
				next := w.world.start()
				next.Settle()
				wantAllUp(w.world, next)
			})
		}
	}
}

func portIDs(s *model.State) (ids []string) {
	for p := range s.Ports() {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	return ids
}

// wantAllUp wants all ports of a furnished world to be there with their links, and no other link.
func wantAllUp(w *world, c *Control) {
	w.Helper()
	ports, err := c.Ports(w.Context(), "")
	if err != nil || len(ports) != 6 {
		w.Fatalf("%d ports, %v", len(ports), err)
	}
	var want []string
	for _, p := range ports {
		state := w.portShown(c, p.Name)
		switch {
		case p.Device != "" && state == waits:
			want = append(want, "own/"+p.Device)
		case p.Device == "" && state == "up":
			want = append(want, w.Named[p.NetNS].Name+"/eth0")
		default:
			w.Errorf("port %s is %s\n%s", p.Name, state, w.log.String())
		}
	}
	segments, err := c.Segments(w.Context())
	w.wantNil(err)
	for _, s := range segments {
		want = append(want, "own/"+s.HostLink.Name)
	}
	w.wantLinks(want...)
}
