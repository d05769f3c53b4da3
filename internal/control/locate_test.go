package control

import (
	"testing"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/netns"
)

// TestOwnNamespaceIsRefused, however it is named, unless it is asked for.
func TestOwnNamespaceIsRefused(t *testing.T) {
	for name, end := range ways {
		t.Run(name, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.Named["host"], w.Named["/proc/77/ns/net"] = w.Own, w.Own
				managed, _ := w.addManaged(c, "managed")
				links := w.AllLinks()
				for spec := range map[*api.PortSpec]bool{
					{Name: "p", NetNS: "host"}: true, {Name: "p", NetNS: "/proc/77/ns/net"}: true, {Name: "p", PID: 77}: true,
				} {
					_, err := c.AddPort(t.Context(), *spec)
					w.wantError(err, api.Invalid, "own network namespace", "--allow-host-netns")
				}
				_, err := c.UpdatePort(t.Context(), managed.ID, api.PortUpdate{NetNS: new("host")})
				w.wantError(err, api.Invalid, "own network namespace")
				w.wantLinks(links...)
				p, err := c.AddPort(t.Context(), api.PortSpec{Name: "p", NetNS: "host", AllowHostNetNS: true})
				w.wantNil(err)
				if !p.AllowHostNetNS || p.NetNS != "host" {
					t.Errorf("the port is %+v", p)
				}
				w.rest()
				c = w.restart(c, end)
				c.Settle()
				w.rest()
				w.wantPortShown(c, "p", "up")
			})
		})
	}
}

// TestNameOfAPortBecomesOurs: the port stays lost, also over a restart, and nothing is made in the
// daemon's own namespace.
func TestNameOfAPortBecomesOurs(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.addPort(c, "b")
		w.rest()
		links := "own/" + hostLinkOf(w.world, c)
		w.RemoveNamespace("a")
		w.rest()
		w.Named["a"] = w.Own
		w.mountsChange()
		w.wantPortShown(c, "a", "lost: "+lostNamespace)
		w.wantLog("level=WARN", "lost port not attached", "port=a", "own network namespace")
		c = w.restart(c, func(w *watchedWorld, c *Control) {
			stopped(w, c)
			w.RemoveNamespace("b")
			w.Named["b"] = w.Own
		})
		c.Settle()
		w.mountsChange()
		w.wantPortShown(c, "a", "lost: "+lostOwn)
		w.wantPortShown(c, "b", "lost: "+lostOwn)
		delete(w.Named, "a")
		delete(w.Named, "b")
		w.wantLinks(links)
	})
}

// TestProcessIDOfALostPort means nothing once the process has ended: another one may have it.
func TestProcessIDOfALostPort(t *testing.T) {
	for _, path := range []string{"/proc/77/ns/net", "/proc/77/root/run/netns/x", "/run/netns/x"} {
		t.Run(path, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				want := "lost: " + lostNamespace
				if path == "/run/netns/x" {
					want = "up"
				}
				c := w.start()
				w.AddNamespace(path)
				for _, name := range []string{"a", "b"} {
					_, err := c.AddPort(t.Context(), api.PortSpec{Name: name, NetNS: path, IfName: name})
					w.wantNil(err)
				}
				w.rest()
				w.RemoveNamespace(path)
				w.rest()
				stranger := w.replaceNamespace(path)
				w.mountsChange()
				w.wantPortShown(c, "a", want)
				c = w.restart(c, stopped)
				c.Settle()
				w.rest()
				w.wantPortShown(c, "a", want)
				if n := len(stranger.Links); n > 0 != (want == "up") {
					t.Errorf("the other process's namespace has %d links", n)
				}
			})
		})
	}
}

// worldlyKernel is that of a client which has names of its own.
type worldlyKernel struct {
	kerneltest.Kernel
	ours map[string]netns.Ref // by its words
}

func (k worldlyKernel) Locate(_ kernel.Asker, ref netns.Ref) (kernel.Namespace, netns.Ref, error) {
	here, known := k.ours[ref.String()]
	if !known {
		return nil, ref, netns.ErrOutOfSight
	}
	ns, err := k.OpenNamespace(here)
	return ns, here, err
}

// TestWordsOfTheClient are resolved for it, and what is kept of them is ours.
func TestWordsOfTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.adjust = func(c *core) {
		name, err := netns.ParseRef("c1")
		w.wantNil(err)
		c.kernel = worldlyKernel{w.Kernel(), map[string]netns.Ref{
			"/proc/1/ns/net": netns.PID(4711), "x": name,
		}}
	}
	c := w.start()
	w.AddNamespace("/proc/4711/ns/net")
	w.AddNamespace("c1")
	_, err := c.AddPort(t.Context(), api.PortSpec{Name: "a", PID: 1, ResolvConf: true, NetNS: ""})
	w.wantError(err, api.Invalid, "has no name where vswitchd runs", "resolv.conf")
	_, err = c.AddPort(t.Context(), api.PortSpec{Name: "a", NetNS: "c1"})
	w.wantError(err, api.Invalid, netns.ErrOutOfSight.Error())
	for _, spec := range []api.PortSpec{
		{Name: "a", PID: 1}, {Name: "b", NetNS: "/proc/1/ns/net", IfName: "b"},
	} {
		_, err = c.AddPort(t.Context(), spec)
		w.wantNil(err)
		if r, _ := w.State.PortNamed(spec.Name); r.PID != 4711 || r.NetNS != "" {
			t.Errorf("stored is process %d, namespace %q", r.PID, r.NetNS)
		}
	}
	_, err = c.AddPort(t.Context(), api.PortSpec{Name: "c", NetNS: "x", ResolvConf: true})
	w.wantNil(err)
	if r, _ := w.State.PortNamed("c"); r.NetNS != "c1" {
		t.Errorf("stored is namespace %q", r.NetNS)
	}
	managed, err := c.AddPort(t.Context(), api.PortSpec{Name: "m", Handover: true})
	w.wantNil(err)
	for named, want := range map[string]string{
		"/proc/1/ns/net": "/proc/4711/ns/net", "x": "c1", "/run/docker/netns/later": "/run/docker/netns/later", "": "",
	} {
		p, err := c.UpdatePort(t.Context(), managed.ID, api.PortUpdate{NetNS: &named})
		if w.wantNil(err); p.NetNS != want {
			t.Errorf("moved to %q is %q, want %q", named, p.NetNS, want)
		}
	}
}
