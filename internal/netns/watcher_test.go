package netns

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"vswitch/test/lab"
)

// watched is a namespace that a test's watcher watches.
type watched struct {
	env    *lab.Namespace
	ns     *Namespace
	number int // its events bear it
}

func (n watched) index(t *testing.T, link string) int {
	t.Helper()
	l, err := n.ns.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	return l.Index
}

// startWatcher runs a watcher of all namespaces from a namespace of the test's own.
// It returns that one and two more, which are watched, each with a TAP "vst-0".
func startWatcher(t *testing.T) (own, first, second watched, events <-chan LinkEvent) {
	t.Helper()
	_, all, events := runWatcher(t, false)
	return all[0], all[1], all[2], events
}

// runWatcher is startWatcher with a watcher that fails once, or not.
func runWatcher(t *testing.T, fails bool) (w *Watcher, all []watched, events <-chan LinkEvent) {
	t.Helper()
	all = make([]watched, 3)
	for i := range all {
		env := lab.NewNamespace(t)
		env.Run("ip", "tuntap", "add", "vst-0", "mode", "tap")
		all[i] = watched{env: env, ns: mustOpen(t, mustParse(t, env.Name()))}
	}
	all[0].env.Do(func() {
		var err error
		if w, err = NewWatcher(); err != nil {
			t.Fatal(err)
		}
		for i := range all {
			if all[i].number, err = w.Watch(all[i].ns); err != nil {
				t.Fatal(err)
			}
		}
	})
	heard, stopped := make(chan LinkEvent, 1000), make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		err := w.Run(ctx, func(e LinkEvent) { heard <- e })
		if err != nil && fails { // after the failure that the test has made
			err = w.Run(ctx, func(e LinkEvent) { heard <- e })
		}
		stopped <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Errorf("Run returns %v", err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, all, heard
}

// next waits for an event.
func next(t *testing.T, events <-chan LinkEvent) LinkEvent {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no event in 20 s")
		return LinkEvent{}
	}
}

// firstMark is above all indexes but those that mark sets.
const firstMark = 1000

// mark makes a link of this index in n and returns the events before that, but for
// those of earlier marks. Changes arrive in their order.
func (n watched) mark(t *testing.T, index int, events <-chan LinkEvent) (list []LinkEvent) {
	t.Helper()
	number, name := fmt.Sprint(index), fmt.Sprintf("vst-m%d", index)
	n.env.Run("ip", "link", "add", "index", number, "name", name, "type", "bridge")
	for {
		switch e := next(t, events); {
		case e == LinkEvent{Namespace: n.number, Index: index}:
			return list
		case e.Index < firstMark:
			list = append(list, e)
		}
	}
}

// TestFailedWatcherGoesOn: a second Run reports that changes were missed, and then each one
// under the numbers that the namespaces have had.
func TestFailedWatcherGoesOn(t *testing.T) {
	t.Parallel()
	w, all, events := runWatcher(t, true)
	all[1].mark(t, firstMark, events) // it runs
	w.file.Close()
	if e := next(t, events); !e.Missed {
		t.Fatalf("after a failure: %+v, want that changes were missed", e)
	}
	for i, n := range all {
		n.mark(t, firstMark+1+i, events)
	}
}

func TestWatcherReportsAddresses(t *testing.T) {
	t.Parallel()
	own, first, second, events := startWatcher(t)
	if own.number != -1 || first.number < 0 || second.number < 0 || first.number == second.number {
		t.Fatalf("the numbers are %d, %d and %d", own.number, first.number, second.number)
	}
	mark := firstMark
	for _, n := range []watched{own, first, second} {
		want := LinkEvent{Namespace: n.number, Index: n.index(t, "vst-0")}
		for _, change := range [][]string{
			{"address", "add", "10.0.0.1/24", "dev", "vst-0"},
			{"address", "del", "10.0.0.1/24", "dev", "vst-0"},
			{"address", "add", "fd00::1/64", "dev", "vst-0", "nodad"},
			{"address", "del", "fd00::1/64", "dev", "vst-0"},
			{"link", "set", "vst-0", "address", "02:00:00:00:00:77"},
			{"link", "set", "vst-0", "txqueuelen", "5000"},
		} {
			n.env.Run(append([]string{"ip"}, change...)...)
			got := n.mark(t, mark, events)
			mark++
			if len(got) == 0 { // IPv6 reports from a work queue (net/ipv6/addrconf.c)
				got = append(got, next(t, events))
			}
			for _, e := range got {
				if e != want {
					t.Errorf("after %q: %+v, want events like %+v alone", change, e, want)
				}
			}
		}
	}
}

// An IPv6 address becomes an address of the link when duplicate address detection
// has ended well, which is an event too.
func TestWatcherReportsDuplicateAddressDetection(t *testing.T) {
	t.Parallel()
	_, first, second, events := startWatcher(t)
	first.env.Run("ip", "link", "add", "vst-a", "type", "veth",
		"peer", "name", "vst-b", "netns", second.env.Name())
	first.env.Run("ip", "address", "add", "fd00::1/64", "dev", "vst-a", "nodad")
	first.env.Run("ip", "link", "set", "vst-a", "up")
	second.env.Run("ip", "link", "set", "vst-b", "up")
	second.env.Run("ip", "address", "add", "fd00::1/64", "dev", "vst-b") // taken
	second.env.Run("ip", "address", "add", "fd00::2/64", "dev", "vst-b")
	index := second.index(t, "vst-b")
	free, taken := addresses("fd00::2")[0], addresses("fd00::1")[0]
	for {
		l, err := second.ns.LinkByIndex(index)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(l.Addrs, taken) {
			t.Fatalf("%s, which the neighbour has, is among %v", taken, l.Addrs)
		}
		failed := second.env.Run("ip", "-6", "-o", "address", "show", "dev", "vst-b", "dadfailed")
		if slices.Contains(l.Addrs, free) && failed != "" {
			return
		}
		for e := next(t, events); e.Namespace != second.number || e.Index != index; {
			e = next(t, events)
		}
	}
}
