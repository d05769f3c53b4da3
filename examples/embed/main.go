// Command embed connects TAP interfaces by a switch inside its own process. It makes the
// interfaces that it is given the names of, and forwards frames between them until it is
// interrupted. Move the interfaces where they are needed while it runs:
//
//	# embed tap1 tap2 &
//	# ip netns add c1; ip link set tap1 netns c1
//	# ip -n c1 address add 192.0.2.1/24 dev tap1; ip -n c1 link set tap1 up
//	# ip netns add c2; ip link set tap2 netns c2
//	# ip -n c2 address add 192.0.2.2/24 dev tap2; ip -n c2 link set tap2 up
//	# ip netns exec c1 ping -c 3 192.0.2.2
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	vswitch "vswitch/switch"
	"vswitch/tap"
	"vswitch/tap/poller"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

// run forwards frames between new TAP interfaces of these names until ctx ends.
func run(ctx context.Context, names []string) (err error) {
	if len(names) < 2 {
		return fmt.Errorf("got %q: give the names of two or more interfaces", names)
	}
	var devices []*tap.Device
	defer func() { // after the switch was closed: it reads them until then
		for _, d := range devices {
			err = errors.Join(err, d.Close())
		}
	}()

	sw, err := vswitch.New(vswitch.Options{NewPoller: poller.New})
	if err != nil {
		return err
	}
	defer sw.Close()
	segment, err := sw.AddSegment(vswitch.SegmentConfig{})
	if err != nil {
		return err
	}
	var ports []*vswitch.Port
	for _, name := range names {
		device, err := tap.Create(name, tap.Options{})
		if err != nil {
			return err
		}
		devices = append(devices, device)
		port, err := sw.AddPort(segment, device, vswitch.PortConfig{Name: name})
		if err != nil {
			return err
		}
		ports = append(ports, port)
	}

	fmt.Println("ready")
	<-ctx.Done()
	for _, p := range ports {
		c := p.Counters()
		fmt.Printf("%s: %d frames in, %d out, %d dropped\n", p.Name(), c.RxFrames, c.TxFrames, c.IngressDrops())
	}
	return nil
}
