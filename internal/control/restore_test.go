package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/control/model"
	"vswitch/tap"
)

// TestEverythingIsThereHoweverTheProcessEnded as it was, whichever way the process before has ended, and
// twice in a row.
func TestEverythingIsThereHoweverTheProcessEnded(t *testing.T) {
	for way, end := range ways {
		t.Run(way, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.furnish(c)
				_, err := c.AddPort(w.Context(), api.PortSpec{Name: "managed", Handover: true})
				w.wantNil(err)
				_, err = c.UpdatePort(w.Context(), "b", api.PortUpdate{Up: new(false)})
				w.wantNil(err)
				w.rest()
				before, rules := w.see(c), w.Rules
				for range 2 {
					c = w.restart(c, end)
					if now := w.see(c); !reflect.DeepEqual(now, before) {
						w.Errorf(
							"before anybody has looked there is\n%+v, where there was\n%+v", now, before,
						)
					}
					c.Settle()
					w.rest()
					if now := w.see(c); !reflect.DeepEqual(now, before) {
						w.Errorf("there is\n%+v, where there was\n%+v", now, before)
					}
					w.wantBound(c, "172.17.0.2", "02:42:ac:11:00:02")
					w.wantBound(c, "172.17.0.3", "") // it is set down
					if len(w.Rules.Forwards) != len(rules.Forwards) ||
						len(w.Rules.Segments) != len(rules.Segments) {
						w.Errorf("the firewall has %+v, where it had %+v", w.Rules, rules)
					}
					if w.has("level=WARN") || w.has("level=ERROR") {
						w.Errorf("the log has warnings:\n%s", w.log.String())
					}
				}
			})
		})
	}
}

// TestDeviceAfterARestart is the one that there was, or another in the port's namespace.
func TestDeviceAfterARestart(t *testing.T) {
	gone := func(w *watchedWorld) { w.RemoveNamespace("a") }
	for _, test := range []struct {
		name      string
		meanwhile func(w *watchedWorld)
		shown     string
		link      string
		log       []string
	}{
		{"as it was", func(*watchedWorld) {}, "up", "a/eth0", nil},
		{
			"renamed", func(w *watchedWorld) {
				w.quietly(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.Name = "net0" })
			},
			"up", "a/net0", nil,
		},
		{
			"deleted", func(w *watchedWorld) { w.RemoveLink(w.Named["a"], "eth0") },
			"up", "a/eth0",
			[]string{"device made again", "port=a", "netns=a"},
		},
		{"namespace gone", gone, "lost: " + lostNamespace, "", []string{"port lost", "port=a", lostNamespace}},
		{
			"another namespace", func(w *watchedWorld) { w.replaceNamespace("a") },
			"up", "a anew/eth0",
			[]string{"device made again", "port=a", "netns=a"},
		},
		{
			"another namespace with an interface of the name", func(w *watchedWorld) {
				ns := w.replaceNamespace("a")
				ns.Links[1000] = &kerneltest.Link{In: ns}
				ns.Links[1000].Name = "eth0"
			},
			"lost: ", "a anew/eth0",
			[]string{"port lost", "port=a", "eth0"},
		},
	} {
		for way, end := range ways {
			noDescriptor := way == "stopped" || way == "killed with its supervisor"
			if test.name == "renamed" && noDescriptor {
				continue // it is found by the name which was stored
			}
			t.Run(test.name+", "+way, func(t *testing.T) {
				inWatchedWorld(t, func(w *watchedWorld) {
					c := w.start()
					w.addPort(c, "a")
					b := w.addPort(c, "b")
					w.rest()
					c = w.restart(c, func(w *watchedWorld, c *Control) {
						end(w, c)
						test.meanwhile(w)
					})
					c.Settle()
					w.rest()
					if got := w.portShown(c, "a"); !strings.HasPrefix(got, test.shown) {
						w.Errorf("it is %q, want %q", got, test.shown)
					}
					want := []string{"own/" + hostLinkOf(w.world, c), "b/eth0", test.link}
					w.wantLinks(slices.DeleteFunc(want, func(s string) bool { return s == "" })...)
					if test.log != nil {
						w.wantLog(test.log...)
					}
					if test.shown == "up" {
						w.wantAnswer(c, b, "172.17.0.2", "02:42:ac:11:00:02")
						a, err := c.Port(w.Context(), "a")
						w.wantNil(err)
						w.wantPasses(w.wire(c, "a"), w.wire(c, "b"), datagram(b.MAC, a, "out"))
					}
				})
			})
		}
	}
}

// TestNeighboursHearNothingOfARestart, for nothing of a port has changed.
func TestNeighboursHearNothingOfARestart(t *testing.T) {
	for way, end := range ways {
		t.Run(way, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				w.addPort(c, "a")
				w.addPort(c, "b")
				w.rest()
				c = w.restart(c, end)
				c.Settle()
				w.rest()
				if got := w.wire(c, "b").Frames(); len(got) > 0 {
					w.Errorf("a neighbour has got %q", got)
				}
			})
		})
	}
}

// TestStrays are ended: devices that were kept for ports which are not there, and interfaces of
// ports that were never added. What is another's stays.
func TestStrays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.Kernel()
	names := []string{"vst-00000000", "vs-00000000000", "vst-0000000", "vst-0000000g", "eth0", "docker0"}
	for _, name := range append(names, "vst-cccccccc") {
		d, err := k.CreateTAP(name, true)
		w.wantNil(err)
		w.wantNil(d.SetPersist(true))
		if name == "vst-cccccccc" {
			w.Kept[keptPort.name("nobody")] = d.Fd()
		}
		w.wantNil(d.Close())
	}
	w.Kept["port-ended"] = 999 // whose device has ended
	w.Kept["api"] = 998        // no device
	c := w.start()
	w.wantLinks(
		"own/vst-0000000", "own/vst-0000000g", "own/eth0", "own/docker0", "own/"+hostLinkOf(w, c),
	)
	w.wantLog("never added removed", "interface=vst-00000000")
	host := keptHostLink.name(segmentID(w, c))
	if got := slices.Sorted(maps.Keys(w.Kept)); !slices.Equal(got, []string{"api", host}) {
		t.Errorf("kept are %q", got)
	}
}

func segmentID(w *world, c *Control) string {
	s, err := c.Segment(w.Context(), api.DefaultSegment)
	w.wantNil(err)
	return s.ID
}

// strayKernel is one whose interfaces cannot be listed, or removed.
type strayKernel struct {
	kerneltest.Kernel
	listing, removing error
}

func (k strayKernel) LinkNames() ([]string, error) {
	names, err := k.Kernel.LinkNames()
	return names, errors.Join(err, k.listing)
}

func (k strayKernel) RemoveTAP(string) error { return k.removing }

// TestStraysThatStay are no reason not to start.
func TestStraysThatStay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kernel strayKernel
		log    []string // empty: none
	}{
		{strayKernel{listing: errors.New("no netlink")}, []string{"level=WARN", "never added may be left", "no netlink"}},
		{strayKernel{removing: errors.New("no driver")}, []string{"level=ERROR", "cannot delete interface vst-00000000", "no driver"}},
		{strayKernel{removing: fmt.Errorf("%w: vst-00000000", tap.ErrBusy)}, nil}, // another daemon's
	} {
		w := newWorld(t)
		test.kernel.Kernel = w.Kernel()
		d, err := test.kernel.CreateTAP("vst-00000000", true)
		w.wantNil(err)
		w.wantNil(d.SetPersist(true))
		w.adjust = func(c *core) { c.kernel = test.kernel }
		w.start()
		if test.log != nil {
			w.wantLog(test.log...)
		} else if w.has("vst-00000000") {
			t.Errorf("the log has\n%s", w.log.String())
		}
	}
}

// TestStatesThatAreRefused at a start, with what is wrong: they are a later version's.
func TestStatesThatAreRefused(t *testing.T) {
	t.Parallel()
	segment := func(p string) model.Segment {
		subnet := netip.MustParsePrefix(p)
		return model.Segment{
			ID: strings.Repeat("a", 64), Name: "six", MTU: 1500,
			Subnets: []model.SegmentSubnet{{Subnet: model.Subnet{
				Prefix: subnet, Gateway: subnet.Addr().Next(), Range: subnet,
			}}},
		}
	}
	w := newWorld(t)
	w.wantNil(w.Store().Apply(model.PutSegment(segment("fd00:1::/64"))))
	records := w.State.Records()
	_, err := w.tryStart()
	if err == nil || !strings.Contains(err.Error(), `"six"`) ||
		!strings.Contains(err.Error(), "fd00:1::/64") {
		t.Errorf("the error is %v", err)
	}
	if !reflect.DeepEqual(w.State.Records(), records) {
		t.Error("the state was changed")
	}
}

// TestEntryOfAPortsOwnAddress of a version before is removed, for nobody could see it.
func TestEntryOfAPortsOwnAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	a := w.addPort(c, "a")
	w.die()
	w.Revive()
	w.wantNil(w.Store().Apply(model.PutEntry(model.Entry{
		SegmentID: a.SegmentID, MAC: a.MAC, PortID: a.ID,
	})))
	w.start()
	if _, found := w.State.Entry(a.SegmentID, a.MAC); found {
		t.Error("it is still there")
	}
	w.wantLog("level=WARN", "static entry removed", "mac="+a.MAC.String(), "port=a")
}

// TestWhatIsFoundAtAStart is stored in one transaction.
func TestWhatIsFoundAtAStart(t *testing.T) {
	t.Parallel()
	w := newWatchedWorld(t)
	c := w.world.start()
	w.addPort(c, "a")
	w.addPort(c, "b")
	w.addPort(c, "c")
	killed(w, c)
	w.RemoveNamespace("a")
	w.RemoveNamespace("b")
	w.Plan(0, 0)
	next := w.world.start()
	next.Settle()
	var stored []string
	for _, s := range w.Taken() {
		if strings.HasPrefix(s, "store") {
			stored = append(stored, s)
		}
	}
	if len(stored) != 1 {
		t.Errorf("it was stored by %q", stored)
	}
	for name, want := range map[string]string{"a": lostNamespace, "b": lostNamespace, "c": ""} {
		if record, _ := w.State.PortNamed(name); record.LostReason != want {
			t.Errorf("of %s is stored %q, want %q", name, record.LostReason, want)
		}
	}
}

// pickyStore refuses the record of one port.
type pickyStore struct {
	kerneltest.Store
	refused string
}

func (s pickyStore) Apply(changes ...model.Change) error {
	for _, c := range changes {
		if strings.Contains(c.String(), s.refused) {
			return kerneltest.ErrStep
		}
	}
	return s.Store.Apply(changes...)
}

// TestOneRecordThatIsRefused does not keep the others from being stored.
func TestOneRecordThatIsRefused(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.addPort(c, "b")
		w.adjust = func(c *core) {
			c.store = pickyStore{w.Store(), `port "a"`}
		}
		c = w.restart(c, func(w *watchedWorld, c *Control) {
			killed(w, c)
			w.RemoveNamespace("a")
			w.RemoveNamespace("b")
		})
		c.Settle()
		w.rest()
		w.wantLog("level=ERROR", "cannot store port a", kerneltest.ErrStep.Error())
		for name, want := range map[string]string{"a": "", "b": lostNamespace} {
			if record, _ := w.State.PortNamed(name); record.LostReason != want {
				w.Errorf("of %s is stored %q, want %q", name, record.LostReason, want)
			}
		}
	})
}

// TestUpgrade: the process is replaced, or goes on and says why it was not.
func TestUpgrade(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.wantError(
			c.Upgrade(w.Context(), api.UpgradeSpec{Binary: "/new"}),
			api.Unsupported, "without its supervising parent",
		)
		_, err := c.Upgrades(w.Context())
		w.wantError(err, api.Unsupported, "without its supervising parent")
		stopping := make(chan struct{})
		c.StopsWith(stopping)
		replaced := make(chan struct{})
		c.config.Replaced = replaced
		var binary string
		begun := make(chan struct{})
		c.config.Upgrade = func(ctx context.Context, spec api.UpgradeSpec) error {
			binary = spec.Binary
			close(begun)
			<-ctx.Done()
			return ctx.Err()
		}
		result := make(chan error)
		go func() { result <- c.Upgrade(w.Context(), api.UpgradeSpec{Binary: "/new"}) }()
		<-begun
		if _, err = c.Ports(w.Context(), ""); err != nil || binary != "/new" {
			w.Errorf("the binary is %q; a list meanwhile: %v", binary, err)
		}
		close(replaced)
		close(stopping)
		w.wantNil(<-result)
		w.wantError( // whose request had waited
			c.Upgrade(w.Context(), api.UpgradeSpec{}), api.Conflict, "being replaced already",
		)

		c.StopsWith(make(chan struct{}))
		c.config.Upgrade = func(context.Context, api.UpgradeSpec) error {
			return errors.New("it does not start")
		}
		w.wantError(
			c.Upgrade(w.Context(), api.UpgradeSpec{Binary: "/bad"}), api.Invalid, "this vswitchd goes on", "it does not start",
		)
		w.addPort(c, "a") // changes are taken again
		stopping = make(chan struct{})
		c.StopsWith(stopping)
		c.config.Replaced = nil
		c.config.Upgrade = func(ctx context.Context, _ api.UpgradeSpec) error {
			close(stopping)
			<-ctx.Done()
			return ctx.Err()
		}
		w.wantError(c.Upgrade(w.Context(), api.UpgradeSpec{}), api.Conflict, "vswitchd stops")
		c.StopsWith(make(chan struct{}))
		w.rest()
		c.config.Upgrade = func(ctx context.Context, _ api.UpgradeSpec) error {
			<-ctx.Done()
			return ctx.Err()
		}
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		w.wantError(c.Upgrade(ctx, api.UpgradeSpec{Binary: "/slow"}), api.Invalid, context.DeadlineExceeded.Error())
	})
}

func TestBackup(t *testing.T) {
	t.Parallel()
	c := newWorld(t).start()
	var b bytes.Buffer
	if err := c.Backup(t.Context(), &b); err != nil || b.String() != kerneltest.BackupText {
		t.Errorf("it is %q, %v", b.String(), err)
	}
}
