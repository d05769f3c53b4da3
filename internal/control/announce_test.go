package control

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
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
