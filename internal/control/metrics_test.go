package control

import (
	"testing"
	"testing/synctest"

	"vswitch/api"
	"vswitch/internal/frame"
	"vswitch/internal/gateway/dns"
	"vswitch/switch/switchtest"
)

// TestFullForwardingTable: a container that makes up addresses takes the place of others in the
// table, which is counted, and cannot keep it from holding those of ports.
func TestFullForwardingTable(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		s.adjust = func(c *core) { c.config.FDBSize = 64 }
		c := s.start()
		s.addPort(c, "b")
		a := s.addPort(c, "a", func(p *api.PortSpec) {
			p.Security, p.MACLimit, p.FloodLimit = api.SecurityOff, api.NoLimit, api.NoLimit
		})
		if n := c.Evicted(); n != 0 {
			t.Errorf("%d are evicted from an empty table", n)
		}
		for i := range 1000 {
			s.deviceIn("a").Wire.Send(switchtest.Frame(frame.Broadcast, switchtest.MAC(i+100), "here I am"))
			synctest.Wait()
		}
		if n := c.Evicted(); n < 900 {
			t.Errorf("%d of 1000 are evicted from a table of 64", n)
		}
		list, err := c.FDB(s.Context(), "bridge")
		if err != nil {
			t.Fatal(err)
		}
		own := 0
		for _, e := range list {
			if e.Kind == api.Own && e.Port == "b" || e.MAC == a.MAC {
				own++
			}
		}
		if own != 2 || len(list) > 64+3 {
			t.Errorf("the table has %d entries, %d of them the ports' own", len(list), own)
		}
	})
}

// TestWhatWorkersSay: each worker has its own say in whether it carries frames in batches, and
// what is logged by others goes where the control plane's goes.
func TestWhatWorkersSay(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		s.adjust = func(c *core) { c.config.Workers = 3 }
		c := s.start()
		list, err := c.Workers(t.Context())
		if err != nil || len(list) != 3 {
			t.Fatalf("the workers are %+v, %v, want three", list, err)
		}
		for i, w := range list {
			if w.Worker != i || w.IO != "plain" || len(w.Features) != 0 {
				t.Errorf("worker %d is %+v: an in-memory poller is plain", i, w)
			}
		}
		c.Log().Info("said elsewhere")
		s.wantLines(1, "said elsewhere")
		if met := c.MetByDNS(); len(met) != 1 || met["bridge"] != [dns.LimitCount]uint64{} {
			t.Errorf("of names %v are counted", met)
		}
		if _, err := c.AddSegment(s.Context(), api.SegmentSpec{Name: "lab"}); err != nil {
			t.Fatal(err)
		}
		if _, there := c.MetByDNS()["lab"]; !there {
			t.Error("a new segment has no counters of names")
		}
		if _, err := c.DeleteSegment(s.Context(), "lab", false); err != nil {
			t.Fatal(err)
		}
		if _, there := c.MetByDNS()["lab"]; there {
			t.Error("a segment that has ended has counters of names")
		}
	})
}
