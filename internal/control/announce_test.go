package control

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/api"
	"vswitch/internal/frame"
)

// withAnnouncer runs a test with an announcer, and gives it the ports that were announced with the time
// of each since the start. Each announcement goes to 1000 ports.
func withAnnouncer(t *testing.T, f func(a *announcer, order *[]*port, at *[]time.Duration)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(*testing.T) {
		begin := time.Now()
		var order []*port
		var at []time.Duration
		a := &announcer{send: func(p *port) int {
			order, at = append(order, p), append(at, time.Since(begin))
			return 1000
		}}
		f(a, &order, &at)
		a.stop()
		synctest.Wait()
	})
}

func TestAnnouncementsAreSpreadOut(t *testing.T) {
	withAnnouncer(t, func(a *announcer, order *[]*port, at *[]time.Duration) {
		ports := []*port{{}, {}, {}}
		for _, p := range ports {
			a.add(p)
		}
		a.add(ports[2]) // is due already
		synctest.Wait()
		if !slices.Equal(*at, []time.Duration{0}) {
			t.Fatalf("announced at %v, want the first at once and no other", *at)
		}
		a.add(ports[0]) // has changed again
		time.Sleep(time.Second)
		synctest.Wait()
		pause := 1000 * announcePause
		if want := []time.Duration{0, pause, 2 * pause, 3 * pause}; !slices.Equal(*at, want) {
			t.Errorf("announced at %v, want %v", *at, want)
		}
		if want := slices.Concat(ports, ports[:1]); !slices.Equal(*order, want) {
			t.Error("ports were not announced in the order in which they became due")
		}
		a.add(ports[1])
		synctest.Wait()
		if last := (*at)[len(*at)-1]; last != time.Second {
			t.Errorf("after a pause a port is announced after %v, want at once", last-time.Second)
		}
	})
}

func TestAnnouncerThatIsStoppedSendsNothing(t *testing.T) {
	withAnnouncer(t, func(a *announcer, order *[]*port, _ *[]time.Duration) {
		a.add(new(port))
		a.add(new(port))
		synctest.Wait()
		a.stop()
		a.add(new(port))
		time.Sleep(time.Second)
		synctest.Wait()
		if len(*order) != 1 {
			t.Errorf("%d ports were announced, want the one before the stop", len(*order))
		}
	})
}

// TestAnnouncementOfAPort goes to its neighbours when it comes and when it is set up, and not while
// it could not be reached.
func TestAnnouncementOfAPort(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "b")
		w.rest()
		heard := func() (macs []string) {
			w.rest()
			for _, f := range w.wire(c, "b").Frames() {
				if eth := frame.Ethernet(f); eth.EtherType() == frame.EtherTypeARP &&
					eth.Dst() == frame.Broadcast {
					macs = append(macs, eth.Src().String())
				}
			}
			return macs
		}
		heard()
		w.addPort(c, "a")
		if got := heard(); !slices.Equal(got, []string{"02:42:ac:11:00:03"}) {
			w.Errorf("of a port that is added: %q", got)
		}
		_, err := c.UpdatePort(w.Context(), "a", api.PortUpdate{Up: new(false)})
		w.wantNil(err)
		_, err = c.UpdatePort(w.Context(), "a", api.PortUpdate{MAC: &api.MAC{2, 0, 0, 0, 0, 9}})
		w.wantNil(err)
		if got := heard(); len(got) > 0 {
			w.Errorf("of a port that is down: %q", got)
		}
		_, err = c.UpdatePort(w.Context(), "a", api.PortUpdate{Up: new(true), MAC: &api.MAC{2, 0, 0, 0, 0, 9}})
		w.wantNil(err)
		if got := heard(); !slices.Equal(got, []string{"02:00:00:00:00:09"}) {
			w.Errorf("of a port with another MAC: %q", got)
		}
	})
}
