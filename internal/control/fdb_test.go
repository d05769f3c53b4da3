package control

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// inBubble runs a test with a world whose time is the test's. Once settle returns, the switch has
// nothing to do any more.
func inBubble(t *testing.T, f func(t *testing.T, w *world, c *Control, settle func())) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.start()
		f(t, w, c, synctest.Wait)
	})
}

// entriesOf lists the entries of a segment but the own ones, as "MAC at PORT, KIND".
func (w *world) entriesOf(c *Control, segment string) []string {
	w.Helper()
	var list []string
	for _, e := range must[[]api.FDBEntry](w.T)(c.FDB(w.Context(), segment)) {
		if e.Kind != api.Own {
			list = append(list, e.MAC.String()+" at "+e.Port+", "+string(e.Kind))
		}
	}
	slices.Sort(list)
	return list
}

// wantEntries wants these entries and no others but the own ones.
func (w *world) wantEntries(c *Control, segment string, want ...string) {
	w.Helper()
	if got := w.entriesOf(c, segment); !slices.Equal(got, want) {
		w.Errorf("the entries of %s are %q, want %q", segment, got, want)
	}
}

// texts are the payloads of the frames that the switch has sent to a container.
func (w *world) texts(namespace string) (texts []string) {
	w.Helper()
	for _, f := range w.Wire(namespace).Frames() {
		if frame.Ethernet(f).EtherType() == switchtest.Experimental {
			texts = append(texts, switchtest.Text(f))
		}
	}
	return texts
}

func TestStaticEntries(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, c *Control, settle func()) {
		mac := switchtest.MAC(7)
		for _, name := range []string{"a", "b", "x"} {
			w.addPort(c, name, func(s *api.PortSpec) { s.Security = api.SecurityOff })
		}
		e := must[api.FDBEntry](t)(c.AddFDB(t.Context(), "", api.FDBSpec{MAC: mac, Port: "b"}))
		if e != (api.FDBEntry{Segment: "bridge", MAC: mac, Port: "b", Kind: api.Static}) {
			t.Errorf("it is %+v", e)
		}
		send := func(text string) {
			w.Wire("a").Send(switchtest.Frame(mac, must[api.Port](t)(c.Port(t.Context(), "a")).MAC, text))
			settle()
		}
		send("to b")
		// Nothing that a container sends moves it.
		w.Wire("x").Send(switchtest.Frame(frame.Broadcast, mac, "it is here"))
		settle()
		w.wantEntries(c, "bridge", mac.String()+" at b, static")
		send("still to b")
		if got := w.texts("b"); !slices.Contains(got, "to b") || !slices.Contains(got, "still to b") {
			t.Errorf("b got %q", got)
		}
		if got := w.texts("x"); len(got) > 0 {
			t.Errorf("x got %q", got)
		}
		// An administrator moves it.
		must[api.FDBEntry](t)(c.AddFDB(t.Context(), "", api.FDBSpec{MAC: mac, Port: "x"}))
		w.wantEntries(c, "bridge", mac.String()+" at x, static")
		send("to x")
		if got := w.texts("x"); !slices.Equal(got, []string{"to x"}) {
			t.Errorf("x got %q", got)
		}
		w.texts("b")
		gone := must[api.FDBEntry](t)(c.DeleteFDB(t.Context(), "", mac))
		if gone.Port != "x" || gone.Kind != api.Static || gone.MAC != mac {
			t.Errorf("what ended was %+v", gone)
		}
		w.wantEntries(c, "bridge")
		send("to all")
		if !slices.Contains(w.texts("b"), "to all") || !slices.Contains(w.texts("x"), "to all") {
			t.Error("without an entry, the frame does not go to all")
		}
	})
}

func TestFDBRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	own := must[api.Port](t)(c.Port(t.Context(), "b")).MAC
	gateway := frame.MACFromIPv4(addr("172.17.0.1"))
	fresh := switchtest.MAC(1)
	for name, test := range map[string]struct {
		segment string
		spec    api.FDBSpec
		kind    api.Kind
		parts   []string
	}{
		"a segment that there is not":      {"nowhere", api.FDBSpec{MAC: fresh, Port: "a"}, api.NotFound, []string{`"nowhere"`}},
		"a port that there is not":         {"", api.FDBSpec{MAC: fresh, Port: "nobody"}, api.NotFound, []string{`"nobody"`}},
		"a port of another segment":        {"", api.FDBSpec{MAC: fresh, Port: "x"}, api.Invalid, []string{`"x"`, `"lab"`, `"bridge"`}},
		"a multicast address":              {"", api.FDBSpec{MAC: api.MAC{1, 0, 0x5e, 0, 0, 1}, Port: "a"}, api.Invalid, []string{"01:00:5e:00:00:01"}},
		"the broadcast address":            {"", api.FDBSpec{MAC: frame.Broadcast, Port: "a"}, api.Invalid, []string{"ff:ff:ff:ff:ff:ff"}},
		"no address":                       {"", api.FDBSpec{Port: "a"}, api.Invalid, []string{"00:00:00:00:00:00"}},
		"another port's own address":       {"", api.FDBSpec{MAC: own, Port: "a"}, api.Conflict, []string{own.String(), `"b"`}},
		"the port's own address":           {"", api.FDBSpec{MAC: own, Port: "b"}, api.Conflict, []string{own.String(), `"b"`}},
		"the gateway's address":            {"", api.FDBSpec{MAC: gateway, Port: "a"}, api.Conflict, []string{gateway.String(), "gateway"}},
		"a reference that is ambiguous":    {"", api.FDBSpec{MAC: fresh, Port: ""}, api.NotFound, nil},
		"a segment's name that is hostile": {"../%s\x00", api.FDBSpec{MAC: fresh, Port: "a"}, api.NotFound, nil},
	} {
		w.refused(c, name, func() error {
			_, err := c.AddFDB(t.Context(), test.segment, test.spec)
			return err
		}, test.kind, test.parts...)
	}
	for name, test := range map[string]struct {
		segment string
		mac     api.MAC
		kind    api.Kind
		parts   []string
	}{
		"in no segment":              {"nowhere", fresh, api.NotFound, []string{`"nowhere"`}},
		"of nothing":                 {"", fresh, api.NotFound, []string{fresh.String(), "list-fdb bridge"}},
		"of another segment":         {"lab", api.MAC{2, 0, 0, 0, 0, 7}, api.NotFound, []string{`"lab"`}},
		"of a port's own address":    {"", own, api.Conflict, []string{own.String(), `"b"`}},
		"of the gateway's":           {"", gateway, api.Conflict, []string{gateway.String(), "gateway"}},
		"of the zero address":        {"", api.MAC{}, api.NotFound, []string{"00:00:00:00:00:00"}},
		"of the broadcast's address": {"", frame.Broadcast, api.NotFound, []string{"ff:ff:ff:ff:ff:ff"}},
	} {
		w.refused(c, "the end of an entry "+name, func() error {
			_, err := c.DeleteFDB(t.Context(), test.segment, test.mac)
			return err
		}, test.kind, test.parts...)
	}
}

// TestEntryThatIsNotStored: an entry that cannot be stored leaves the one that the address had.
func TestEntryThatIsNotStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	mac := api.MAC{2, 0, 0, 0, 0, 7} // static at a
	w.Plan(1, 0)
	w.refused(c, "an entry for a disk that is full", func() error {
		_, err := c.AddFDB(t.Context(), "", api.FDBSpec{MAC: mac, Port: "b"})
		return err
	}, api.Internal, mac.String(), kerneltest.ErrStep.Error())
	w.Plan(0, 0)
	w.wantEntries(c, "bridge", mac.String()+" at a, static")
	must[api.FDBEntry](t)(c.DeleteFDB(t.Context(), "", mac))
	w.wantEntries(w.crash(), "bridge")
}

// TestEntriesEndWithTheirPort, and stay with one that is lost.
func TestEntriesEndWithTheirPort(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, c *Control, settle func()) {
		w.furnish(c)
		mac := api.MAC{2, 0, 0, 0, 0, 7} // static at a
		entry := mac.String() + " at a, static"
		w.RemoveNamespace("a")
		settle()
		if p := must[api.Port](t)(c.Port(t.Context(), "a")); p.State != api.PortLost {
			t.Fatalf("it is %s", p.State)
		}
		w.wantEntries(c, "bridge", entry)
		w.refused(c, "an entry at a port that is lost", func() error {
			_, err := c.AddFDB(t.Context(), "", api.FDBSpec{MAC: switchtest.MAC(1), Port: "a"})
			return err
		}, api.Conflict, `"a" is lost`, "namespace")
		c = w.crash()
		w.wantEntries(c, "bridge", entry)
		must[api.FDBEntry](t)(c.DeleteFDB(t.Context(), "", mac))
		must[api.FDBEntry](t)(c.AddFDB(t.Context(), "", api.FDBSpec{MAC: mac, Port: "b"}))
		must[api.Port](t)(c.DeletePort(t.Context(), "b"))
		w.wantEntries(c, "bridge")
		if _, found := w.State.Entry(must[api.Segment](t)(c.Segment(t.Context(), "")).ID, mac); found {
			t.Error("an entry is stored for a port that has gone")
		}
		w.wantEntries(w.crash(), "bridge")
	})
}

func TestFlush(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, c *Control, settle func()) {
		w.furnish(c)
		for _, name := range []string{"a", "b", "x"} {
			must[api.Port](t)(c.UpdatePort(t.Context(), name, api.PortUpdate{Security: new(api.SecurityOff)}))
		}
		learn := func() {
			for i, name := range []string{"a", "b", "x"} {
				w.Wire(name).Send(switchtest.Frame(frame.Broadcast, switchtest.MAC(20+i), "hello"))
			}
			settle()
		}
		flush := func(segment string, spec api.FDBFlush, want int) {
			t.Helper()
			if got := must[api.FDBFlushed](t)(c.FlushFDB(t.Context(), segment, spec)); got.Flushed != want {
				t.Errorf("flushed %d of %q with %+v, want %d", got.Flushed, segment, spec, want)
			}
		}
		const static = "02:00:00:00:00:07 at a, static"
		learn()
		w.wantEntries(c, "bridge", static, "02:00:00:00:00:14 at a, dynamic", "02:00:00:00:00:15 at b, dynamic")
		flush("", api.FDBFlush{Port: "a"}, 1)
		w.wantEntries(c, "bridge", static, "02:00:00:00:00:15 at b, dynamic")
		learn()
		flush("bridge", api.FDBFlush{}, 2)
		w.wantEntries(c, "bridge", static)
		w.wantEntries(c, "lab", "02:00:00:00:00:16 at x, dynamic")
		flush("lab", api.FDBFlush{Port: "x"}, 1)
		flush("lab", api.FDBFlush{}, 0)
		flush("empty", api.FDBFlush{}, 0)
		// A learned entry ends alone, too, and is not stored.
		learn()
		gone := must[api.FDBEntry](t)(c.DeleteFDB(t.Context(), "", switchtest.MAC(21)))
		if gone.Kind != api.Dynamic || gone.Port != "b" {
			t.Errorf("what ended was %+v", gone)
		}
		w.wantEntries(c, "bridge", static, "02:00:00:00:00:14 at a, dynamic")

		_, err := c.FlushFDB(t.Context(), "nowhere", api.FDBFlush{})
		wantRefused(t, "a segment that there is not", err, api.NotFound, `"nowhere"`)
		_, err = c.FlushFDB(t.Context(), "", api.FDBFlush{Port: "nobody"})
		wantRefused(t, "a port that there is not", err, api.NotFound, `"nobody"`)
		_, err = c.FlushFDB(t.Context(), "", api.FDBFlush{Port: "x"})
		wantRefused(t, "a port of another segment", err, api.Invalid, `"x"`, `"lab"`, `"bridge"`)
	})
}

// TestAddressesOfEntriesAreNoPorts: an address that has a static entry is given to no port as its
// own, until the entry is removed.
func TestAddressesOfEntriesAreNoPorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	mac := switchtest.MAC(30)
	must[api.FDBEntry](t)(c.AddFDB(t.Context(), "", api.FDBSpec{MAC: mac, Port: "a"}))
	w.refused(c, "an address with an entry, for a port", func() error {
		_, err := c.UpdatePort(t.Context(), "a", api.PortUpdate{MAC: &mac})
		return err
	}, api.Conflict, mac.String(), "static entry", "del-fdb")
	w.AddNamespace("n")
	w.refused(c, "an address with an entry, for a new port", func() error {
		_, err := c.AddPort(t.Context(), api.PortSpec{Name: "n", NetNS: "n", MAC: mac})
		return err
	}, api.Conflict, mac.String(), "static entry")
	must[api.FDBEntry](t)(c.DeleteFDB(t.Context(), "", mac))
	if p := must[api.Port](t)(c.UpdatePort(t.Context(), "a", api.PortUpdate{MAC: &mac})); p.MAC != mac {
		t.Errorf("it has %s", p.MAC)
	}
	if list := w.entriesOf(c, ""); slices.ContainsFunc(list, func(e string) bool { return strings.HasPrefix(e, mac.String()) }) {
		t.Errorf("the entries are %q", list)
	}
}
