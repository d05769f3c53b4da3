package control

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/control/model"
	"vswitch/internal/frame"
	"vswitch/internal/ipam"
	"vswitch/internal/netns"
	vswitch "vswitch/switch"
)

// crowded starts a Control whose default segment has so many ports, all of them up.
func crowded(b *testing.B, ports int) *Control {
	b.Helper()
	m := kerneltest.New(b)
	subnet := prefix("10.1.0.0/16")
	segment := model.Segment{ID: newID(), Name: "bridge", MTU: 1500, Subnets: []model.SegmentSubnet{
		{Subnet: model.Subnet{Prefix: subnet, Gateway: addr("10.1.0.1"), Range: subnet}},
	}}
	changes := []model.Change{model.PutSegment(segment)}
	for i := range ports {
		n := i + 2
		p := model.Port{
			ID: newID(), Name: fmt.Sprint("port", i), SegmentID: segment.ID, IfName: "eth0",
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)})},
			NetNS: fmt.Sprint("ns", i), Created: time.Now(),
		}
		p.MAC = frame.MACFromIPv4(p.Addrs[0])
		ns := m.AddNamespace(p.NetNS)
		p.Namespace, _ = ns.Identity()
		ns.Links[1] = &kerneltest.Link{In: ns, Persistent: true, Link: netns.Link{
			Index: 1, Name: "eth0", MAC: p.MAC[:], Up: true, Addrs: p.Addrs,
		}}
		changes = append(changes, model.PutPort(p))
	}
	if err := m.Store().Apply(changes...); err != nil {
		b.Fatal(err)
	}
	pool, err := ipam.ParsePool("base=172.17.0.0/16,size=24")
	if err != nil {
		b.Fatal(err)
	}
	c := assemble(newCore(Config{
		Workers: 1, Ageing: time.Minute, FDBSize: 65536, Pools: []ipam.Pool{pool}, NAT: true,
		Log: slog.New(slog.DiscardHandler), Poll: vswitch.PollSleep, Kernel: m.Kernel(),
		Keeper: m.Keeper(), Kept: m.Keeper(), SysctlDir: "/nowhere",
	}, m.Store()))
	if err := c.start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(false) })
	c.Settle()
	return c
}

// BenchmarkPublishSnapshot measures what readers and consumers cost a change of one port.
func BenchmarkPublishSnapshot(b *testing.B) {
	for _, n := range []int{256, 4096, 8192} {
		b.Run(fmt.Sprint("ports=", n), func(b *testing.B) {
			c := crowded(b, n)
			var p *port
			for _, p = range c.allPorts {
				break
			}
			b.ReportAllocs()
			for b.Loop() {
				c.lock()
				p.link.down = !p.link.down
				c.unlock()
			}
		})
	}
}
