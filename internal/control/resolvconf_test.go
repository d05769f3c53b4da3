package control

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/internal/netns"
)

func withResolvConf(p *api.PortSpec) { p.ResolvConf = true }

// resolvConf returns what a namespace's resolv.conf is: whose, and the nameserver.
func (s *stack) resolvConf(name string) (text string) {
	s.With(func() { text = s.ResolvConfs[name] })
	return text
}

// TestResolvConfOfANamespace: its processes ask the segment's gateway from when the port is added
// until it is removed, where that is wanted.
func TestResolvConfOfANamespace(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkNone)
		a := s.addPort(c, "a", withResolvConf)
		x := s.addPort(c, "x", withResolvConf, func(p *api.PortSpec) { p.Segment = "lab" })
		s.addPort(c, "without")
		want := map[string]string{"a": a.ID + " 172.17.0.1", "x": x.ID + " 10.66.0.1", "without": ""}
		wantAll := func(when string) {
			t.Helper()
			for name, text := range want {
				if got := s.resolvConf(name); got != text {
					t.Errorf("%s the resolv.conf of %s is %q, want %q", when, name, got, text)
				}
			}
		}
		wantAll("first")
		c = s.restart(c)
		c.Settle()
		wantAll("after a restart")
		s.With(func() { s.ResolvConfs["without"] = "somebody's own" })
		want["without"] = "somebody's own"
		for _, name := range []string{"a", "without"} {
			if _, err := c.DeletePort(s.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		want["a"] = ""
		wantAll("after the removal of two")
		if _, err := c.DeleteSegment(s.Context(), "lab", true); err != nil {
			t.Fatal(err)
		}
		want["x"] = ""
		wantAll("after the segment's end")
	})
}

// TestNoPortWithoutItsResolvConf: a port whose file cannot be written is refused and leaves
// nothing.
func TestNoPortWithoutItsResolvConf(t *testing.T) {
	t.Parallel()
	const file = "/etc/netns/a/resolv.conf"
	for name, test := range map[string]struct {
		err  error
		kind api.Kind
		says string
	}{
		"a file of others":        {fmt.Errorf("%s: %w", file, netns.ErrNotOurs), api.Conflict, file},
		"not allowed":             {fmt.Errorf("%s: %w", file, fs.ErrPermission), api.Denied, "denied"},
		"a full disk":             {fmt.Errorf("%s: %w", file, errFailure), api.Internal, file},
		"a namespace that is not": {netns.ErrNoNamespace, api.NotFound, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inStack(t, func(s *stack) {
				c := s.start()
				links, kept := len(s.AllLinks()), len(s.Kept)
				s.AddNamespace("a")
				s.FailCall("write resolv.conf", test.err)
				spec := api.PortSpec{Name: "a", NetNS: "a", ResolvConf: true}
				_, err := c.AddPort(s.Context(), spec)
				wantError(s.T, err, test.kind, test.says)
				if len(s.AllLinks()) != links || len(s.Kept) != kept || s.State.PortCount() != 0 {
					s.Errorf("left are the links %q and the descriptors %v", s.AllLinks(), s.Kept)
				}
				s.FailCall("write resolv.conf", nil)
				if p, err := c.AddPort(s.Context(), spec); err != nil || p.IPs[0].Addr() != addr("172.17.0.2") {
					s.Errorf("once it can be written the port is %v: %v", p.IPs, err)
				}
			})
		})
	}
}

// Two ports may be in one namespace, of which one has the file. It is the other's to have once
// that is gone.
func TestResolvConfOfAnotherPort(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		a := s.addPort(c, "a", withResolvConf)
		spec := api.PortSpec{Name: "second", NetNS: "a", IfName: "eth1", ResolvConf: true}
		_, err := c.AddPort(s.Context(), spec)
		wantError(s.T, err, api.Conflict, "another port")
		if got := s.resolvConf("a"); got != a.ID+" 172.17.0.1" {
			s.Errorf("the file is %q", got)
		}
		s.FailCall("remove resolv.conf", errFailure)
		if _, err := c.DeletePort(s.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		s.wantLines(1, "cannot remove the resolv.conf of network namespace a", "out of order")
		p, err := c.AddPort(s.Context(), spec)
		if err != nil || !strings.HasPrefix(s.resolvConf("a"), p.ID) {
			s.Errorf("the file is %q of a port that is gone: %v", s.resolvConf("a"), err)
		}
	})
}

// A stop that removes the ports removes their files.
func TestResolvConfGoesWithThePorts(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a", withResolvConf)
		s.close(c, false)
		if s.resolvConf("a") == "" {
			s.Error("the file is gone, and the port is not")
		}
		c = s.start()
		s.close(c, true)
		if got := s.resolvConf("a"); got != "" {
			s.Errorf("the file is %q", got)
		}
	})
}
