package control

import (
	"testing"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
)

const waits = "down: waits to be moved into its container"

// addManaged adds a port that others manage, with the namespace that it is to be moved into.
func (w *watchedWorld) addManaged(c *Control, name string) (api.Port, *kerneltest.Namespace) {
	w.Helper()
	p, err := c.AddPort(w.Context(), api.PortSpec{Name: name, Handover: true})
	if err != nil {
		w.Fatal(err)
	}
	return p, w.AddNamespace("of " + name)
}

// join moves the port's device into its container and configures it there, as Docker does.
func (w *watchedWorld) join(c *Control, p api.Port, ns *kerneltest.Namespace) {
	w.Helper()
	w.moveIn(p, ns)
	if _, err := c.UpdatePort(w.Context(), p.ID, api.PortUpdate{NetNS: new(ns.Name)}); err != nil {
		w.Fatal(err)
	}
	w.rest()
}

// moveIn is what the kernel does of that.
func (w *watchedWorld) moveIn(p api.Port, ns *kerneltest.Namespace) {
	w.Helper()
	w.move(w.Own, p.Device, ns, p.Device)
	w.quietly(ns, p.Device, func(l *kerneltest.Link) {
		l.Name, l.Addrs, l.Up = "eth0", at(p.IPs[0].Addr().String()), true
	})
	w.Links.Tell(ns, ns.Link("eth0").Index)
}

// moveBack is what Docker does when the container leaves the network.
func (w *watchedWorld) moveBack(p api.Port, ns *kerneltest.Namespace) {
	w.Helper()
	w.move(ns, "eth0", w.Own, p.Device)
}

func TestManagedPort(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		p, ns := w.addManaged(c, "m")
		host := "own/" + hostLinkOf(w.world, c)
		w.rest()
		if p.Device != "vst-"+p.ID[:8] || p.IfName != p.Device {
			w.Errorf("the device is %q, the interface %q", p.Device, p.IfName)
		}
		w.wantPortShown(c, "m", waits)
		w.wantBound(c, "172.17.0.2", "")
		w.wantLinks(host, "own/"+p.Device)

		w.join(c, p, ns)
		w.wantPortShown(c, "m", "up")
		w.wantBound(c, "172.17.0.2", "02:42:ac:11:00:02")
		if got, _ := c.Port(w.Context(), "m"); got.IfName != "eth0" || got.NetNS != "of m" {
			w.Errorf("it is %s in %s", got.IfName, got.NetNS)
		}
		b := w.addPort(c, "b")
		w.rest()
		w.wantPasses(w.wire(c, "b"), w.wire(c, "m"), datagram(p.MAC, b, "in"))
		w.wantPasses(w.wire(c, "m"), w.wire(c, "b"), datagram(b.MAC, p, "out"))

		w.change(ns, "eth0", func(l *kerneltest.Link) { l.Name = "net0" })
		w.wantLog("interface renamed", "port=m", "from=eth0", "to=net0")
		w.change(ns, "net0", func(l *kerneltest.Link) { l.Name = "eth0" })

		w.moveBack(p, ns)
		w.rest()
		w.wantPortShown(c, "m", waits)
		w.wantBound(c, "172.17.0.2", "")
		if _, err := c.DeletePort(w.Context(), "m"); err != nil {
			w.Fatal(err)
		}
		w.rest()
		w.wantLinks(host, "b/eth0")
	})
}

// hostLinkOf is the name of the default segment's host link.
func hostLinkOf(w *world, c *Control) string {
	w.Helper()
	s, err := c.Segment(w.Context(), api.DefaultSegment)
	if err != nil {
		w.Fatal(err)
	}
	return s.HostLink.Name
}

// TestMACOfAManagedPort is set by whoever manages it.
func TestMACOfAManagedPort(t *testing.T) {
	t.Parallel()
	w := newWatchedWorld(t)
	c := w.world.start()
	w.addManaged(c, "m")
	_, err := c.UpdatePort(t.Context(), "m", api.PortUpdate{MAC: new(api.MAC{2, 0, 0, 0, 0, 9})})
	w.wantError(err, api.Invalid, `"m"`, "externally managed")
	w.addPort(c, "plain")
	_, err = c.UpdatePort(t.Context(), "plain", api.PortUpdate{NetNS: new("of m")})
	w.wantError(err, api.Invalid, `"plain"`)
}

// TestManagedPortAfterARestart is where it was left, or where it was moved meanwhile.
func TestManagedPortAfterARestart(t *testing.T) {
	for _, test := range []struct {
		name      string
		before    func(w *watchedWorld, c *Control, p api.Port, ns *kerneltest.Namespace)
		meanwhile func(w *watchedWorld, p api.Port, ns *kerneltest.Namespace)
		want      string
		link      string // of the port's device; empty: as it was made
	}{
		{name: "waits", want: waits},
		{name: "joined", before: (*watchedWorld).joined, want: "up", link: "of m/eth0"},
		{name: "left", before: func(w *watchedWorld, c *Control, p api.Port, ns *kerneltest.Namespace) {
			w.joined(c, p, ns)
			w.moveBack(p, ns)
			w.rest()
		}, want: waits},
		{
			name: "moved meanwhile",
			before: func(w *watchedWorld, c *Control, p api.Port, ns *kerneltest.Namespace) {
				_, err := c.UpdatePort(w.Context(), "m", api.PortUpdate{NetNS: new(ns.Name)})
				w.wantNil(err)
			},
			meanwhile: (*watchedWorld).moveIn, want: "up", link: "of m/eth0",
		},
		{
			name: "moved back meanwhile", before: (*watchedWorld).joined,
			meanwhile: (*watchedWorld).moveBack, want: waits,
		},
		{
			name: "renamed meanwhile", before: (*watchedWorld).joined,
			meanwhile: func(w *watchedWorld, _ api.Port, ns *kerneltest.Namespace) {
				w.quietly(ns, "eth0", func(l *kerneltest.Link) { l.Name = "net0" })
			}, want: "up", link: "of m/net0",
		},
		{
			name: "another MAC",
			before: func(w *watchedWorld, c *Control, p api.Port, ns *kerneltest.Namespace) {
				w.joined(c, p, ns)
				w.change(ns, "eth0", func(l *kerneltest.Link) { l.MAC[5] = 9 })
			},
			want: "up: its MAC address was changed to 02:42:ac:11:00:09 in its network namespace",
			link: "of m/eth0",
		},
		{
			name: "set down meanwhile", before: (*watchedWorld).joined,
			meanwhile: func(w *watchedWorld, _ api.Port, ns *kerneltest.Namespace) {
				w.quietly(ns, "eth0", func(l *kerneltest.Link) { l.Up = false })
			},
			want: "down: set down in its network namespace", link: "of m/eth0",
		},
		{
			name: "container gone meanwhile", before: (*watchedWorld).joined,
			meanwhile: func(w *watchedWorld, _ api.Port, ns *kerneltest.Namespace) {
				w.RemoveNamespace(ns.Name)
			},
			want: "lost: " + lostLink, link: "none",
		},
		{
			name: "deleted meanwhile",
			meanwhile: func(w *watchedWorld, p api.Port, _ *kerneltest.Namespace) {
				w.RemoveLink(w.Own, p.Device)
			},
			want: "lost: " + lostLink, link: "none",
		},
	} {
		for way, end := range ways {
			t.Run(test.name+", "+way, func(t *testing.T) {
				inWatchedWorld(t, func(w *watchedWorld) {
					c := w.start()
					p, ns := w.addManaged(c, "m")
					if test.before != nil {
						test.before(w, c, p, ns)
					}
					w.rest()
					c = w.restart(c, func(w *watchedWorld, c *Control) {
						end(w, c)
						if test.meanwhile != nil {
							test.meanwhile(w, p, ns)
						}
					})
					if test.want == waits {
						w.wantPortShown(c, "m", test.want) // before anybody has looked
					}
					c.Settle()
					w.rest()
					w.wantPortShown(c, "m", test.want)
					want := []string{"own/" + hostLinkOf(w.world, c)}
					switch test.link {
					case "":
						want = append(want, "own/"+p.Device)
					case "none":
					default:
						want = append(want, test.link)
					}
					w.wantLinks(want...)
					if test.want == "up" {
						w.wantBound(c, "172.17.0.2", "02:42:ac:11:00:02")
					}
				})
			})
		}
	}
}

func (w *watchedWorld) joined(c *Control, p api.Port, ns *kerneltest.Namespace) {
	w.Helper()
	w.join(c, p, ns)
	w.wantPortShown(c, "m", "up")
}

func (w *world) wantNil(err error) {
	w.Helper()
	if err != nil {
		w.Error(err)
	}
}

// TestContainerOfAManagedPortEnds: the port is lost, and no namespace of that name gets it back,
// for nobody would configure it there.
func TestContainerOfAManagedPortEnds(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		p, ns := w.addManaged(c, "m")
		w.joined(c, p, ns)
		w.RemoveNamespace(ns.Name)
		w.rest()
		w.wantPortShown(c, "m", "lost: "+lostNamespace)
		w.wantLinks("own/" + hostLinkOf(w.world, c))
		w.AddNamespace(ns.Name)
		w.mountsChange()
		w.wantPortShown(c, "m", "lost: "+lostNamespace)
	})
}

// TestManagedPortIsPinned: a port that was found by its name keeps its container's namespace
// alive, until the name is gone.
func TestManagedPortIsPinned(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		p, ns := w.addManaged(c, "m")
		w.joined(c, p, ns)
		c = w.restart(c, stopped)
		c.Settle()
		w.wantPortShown(c, "m", "up")
		w.Mu.Lock()
		delete(w.Named, ns.Name)
		w.Mu.Unlock()
		w.mountsChange()
		w.wantPortShown(c, "m", "lost: "+lostNamespace)
		if len(ns.Links) > 0 {
			w.Errorf("the namespace is kept alive by %v", ns.Links)
		}
	})
}

// TestManagedPortOnTheMove: the looks of a Control at a device that is just being moved and
// renamed end with what it is then.
func TestManagedPortOnTheMove(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		p, ns := w.addManaged(c, "m")
		w.rest()
		for range 5 {
			w.join(c, p, ns)
			w.wantPortShown(c, "m", "up")
			w.moveBack(p, ns)
			w.rest()
			w.wantPortShown(c, "m", waits)
		}
		w.moveIn(p, ns)
		w.moveBack(p, ns)
		w.moveIn(p, ns)
		w.rest()
		w.wantPortShown(c, "m", "up")
		w.wantBound(c, "172.17.0.2", "02:42:ac:11:00:02")
	})
}
