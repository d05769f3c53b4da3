package control

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
)

// stores counts how often the disk was written to since the last plan.
func (w *world) stores() (n int) {
	for _, step := range w.Taken() {
		if strings.HasPrefix(step, "store ") {
			n++
		}
	}
	return n
}

// TestContainerThatChangesItsInterfaceInALoop costs neither the disk nor the log much, and what it
// is in the end is stored, and told.
func TestContainerThatChangesItsInterfaceInALoop(t *testing.T) {
	const loops, pause = 3000, 10 * time.Millisecond // half a minute
	for name, change := range map[string]func(w *watchedWorld, in **kerneltest.Namespace, l string, i int) (now string){
		"its name": func(w *watchedWorld, in **kerneltest.Namespace, l string, i int) string {
			now := fmt.Sprint("eth", i%7)
			w.quietly(*in, l, func(l *kerneltest.Link) { l.Name = now })
			return now
		},
		"its MAC": func(w *watchedWorld, in **kerneltest.Namespace, l string, i int) string {
			w.quietly(*in, l, func(l *kerneltest.Link) { l.MAC = []byte{2, 0, 0, 0, 1, byte(i)} })
			return l
		},
		"its queue": func(w *watchedWorld, in **kerneltest.Namespace, l string, i int) string {
			w.quietly(*in, l, func(l *kerneltest.Link) { l.TxQueueLen = 1_000_000 })
			return l
		},
		"its namespace and its name": func(w *watchedWorld, in **kerneltest.Namespace, l string, i int) string {
			to, now := w.Named["inner"], fmt.Sprint("eth", i%7)
			if to == *in {
				to = w.Named["outer"]
			}
			w.move(*in, l, to, now)
			w.quietly(to, now, func(l *kerneltest.Link) { l.Up = true })
			*in = to
			return now
		},
	} {
		for _, managed := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", managed ", managed), func(t *testing.T) {
				inWatchedWorld(t, func(w *watchedWorld) {
					c := w.start()
					outer, link := w.AddNamespace("outer"), "eth0"
					w.AddNamespace("inner")
					if managed {
						p, ns := w.addManaged(c, "a")
						w.join(c, p, ns)
						outer = ns
						w.Named["outer"] = ns
					} else {
						_, err := c.AddPort(t.Context(), api.PortSpec{Name: "a", NetNS: "outer"})
						w.wantNil(err)
					}
					w.rest()
					w.Plan(0, 0)
					w.With(func() { w.Looks = 0 })
					lines := strings.Count(w.log.String(), "\n")
					in := outer
					for i := range loops {
						link = change(w, &in, link, i)
						w.Links.Tell(in, in.Link(link).Index)
						time.Sleep(pause)
					}
					if n := w.stores(); n > 4 {
						t.Errorf("half a minute of changes is stored %d times", n)
					}
					var looks int
					w.With(func() { looks = w.Looks })
					if looks > 4*40 { // a few times a look
						t.Errorf("half a minute of changes has %d links looked up", looks)
					}
					// Of a name, that it is up, a MAC and a queue, what comes in a moment, and some more.
					if n := strings.Count(w.log.String(), "\n") - lines; n > 4*(noteBurst+4) {
						t.Errorf("half a minute of changes makes %d lines in the log:\n%s", n, w.log.String())
					}
					w.rest()
					time.Sleep(2 * max(noteEvery, storeDelay))
					w.rest()
					shown, err := c.Port(t.Context(), "a")
					if w.wantNil(err); shown.IfName != link {
						t.Errorf("it is shown as %s, and is %s", shown.IfName, link)
					}
					if r, _ := w.State.PortNamed("a"); !managed && r.IfName != link {
						t.Errorf("it is stored as %s, and is %s", r.IfName, link)
					}
					if n := in.Link(link).TxQueueLen; n != txQueueLen {
						t.Errorf("its queue has %d frames", n)
					}
					if strings.Contains(name, "name") || strings.Contains(name, "MAC") {
						w.wantLog("port=a", "suppressed=")
					}
				})
			})
		}
	}
}

// TestLatestLineIsWritten: of what is suppressed, the last word is told when its time comes.
func TestLatestLineIsWritten(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.rest()
		for i := range 2*noteBurst + 1 {
			w.change(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.Up = i%2 == 1 })
		}
		time.Sleep(noteEvery)
		w.rest()
		var last string
		for line := range strings.Lines(w.log.String()) {
			if strings.Contains(line, "interface set in its namespace") {
				last = line
			}
		}
		if !strings.Contains(last, "up=false") {
			t.Errorf("the last line is %q", last)
		}
		w.change(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.Up = true })
		_, err := c.DeletePort(t.Context(), "a")
		w.wantNil(err)
		w.rest()
	})
}

// TestQueueOfAnInterface is set back, also where it was changed while no process was there.
func TestQueueOfAnInterface(t *testing.T) {
	for way, end := range ways {
		t.Run(way, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.addPort(c, "a")
				w.rest()
				w.change(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.TxQueueLen = 1_000_000 })
				check := func() {
					w.Helper()
					if n := w.Named["a"].Link("eth0").TxQueueLen; n != txQueueLen {
						w.Errorf("it has %d frames", n)
					}
				}
				check()
				w.wantLog("level=WARN", "queue", "port=a", "from=1000000", "to=1000")
				c = w.restart(c, func(w *watchedWorld, c *Control) {
					end(w, c)
					w.quietly(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.TxQueueLen = 500_000 })
				})
				c.Settle()
				w.rest()
				check()
				w.wantLog("level=WARN", "queue", "port=a", "from=500000")
			})
		})
	}
}
