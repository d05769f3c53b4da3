package vswitch_test

import (
	"fmt"

	vswitch "vswitch/switch"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

var (
	macA      = [6]byte{0x02, 0x42, 0xac, 0x11, 0x00, 0x02}
	macB      = [6]byte{0x02, 0x42, 0xac, 0x11, 0x00, 0x03}
	broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

// A switch forwards a broadcast from one port to the others of its segment. The devices of this
// example are in memory; package vswitch/tap/poller makes pollers for TAP devices.
func Example() {
	sw, err := vswitch.New(vswitch.Options{NewPoller: switchtest.NewPoller})
	if err != nil {
		panic(err)
	}
	defer sw.Close()
	segment, err := sw.AddSegment(vswitch.SegmentConfig{})
	if err != nil {
		panic(err)
	}

	var a, b switchtest.Device
	received := make(chan []byte)
	b.Relay(func(eth []byte) { received <- eth })
	if _, err := sw.AddPort(segment, &a, vswitch.PortConfig{Name: "a"}); err != nil {
		panic(err)
	}
	if _, err := sw.AddPort(segment, &b, vswitch.PortConfig{Name: "b"}); err != nil {
		panic(err)
	}

	a.Send(switchtest.Frame(broadcast, macA, "hello"))
	fmt.Println(switchtest.Text(<-received))
	// Output: hello
}

// observer prints what becomes of each frame.
type observer struct{ seen chan string }

func (o observer) Observe(e *vswitch.Event) {
	o.seen <- fmt.Sprintf("%s: %v, %v", e.In.Name(), e.Verdict, e.Reason)
}

// A port with strict security may send with its own MAC address only. The observer sees the
// verdict on each frame, and the reason for a drop.
func ExampleSwitch_SetObserver() {
	sw, err := vswitch.New(vswitch.Options{NewPoller: switchtest.NewPoller})
	if err != nil {
		panic(err)
	}
	defer sw.Close()
	o := observer{seen: make(chan string)}
	sw.SetObserver(o)
	segment, err := sw.AddSegment(vswitch.SegmentConfig{})
	if err != nil {
		panic(err)
	}

	var a switchtest.Device
	strict := policy.Policy{Security: policy.SecurityStrict, MAC: macA}
	if _, err := sw.AddPort(segment, &a, vswitch.PortConfig{Name: "a", Policy: strict}); err != nil {
		panic(err)
	}
	a.Send(switchtest.Frame(broadcast, macB, "in another's name"))
	fmt.Println(<-o.seen)
	// Output: a: dropped, spoofed-mac
}
