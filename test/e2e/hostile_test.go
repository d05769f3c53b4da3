package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/api"
	"vswitch/test/lab"
	"vswitch/test/lab/seed"
)

// What a container sends with CAP_NET_RAW harms nobody, and is counted.
func TestHostileFramesHarmNobody(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	attacker, victim, peer := h.Attach("attacker"), h.Attach("victim"), h.Attach("peer")
	s := attacker.Socket(unix.ETH_P_ALL)
	gateway := net.HardwareAddr{0x02, 0x42, 172, 17, 0, 1}
	mine := attacker.MAC()
	zero := make(net.HardwareAddr, 6)

	runts := uint64(0)
	for n := range 14 { // kernels refuse them (dev_validate_header, include/linux/netdevice.h)
		if s.Socket.Send(ethernet(gateway, mine, unix.ETH_P_IP)[:n]) == nil {
			runts++
		}
	}
	arp := ethernet(gateway, mine, unix.ETH_P_ARP, arpRequest(mine, []byte{172, 17, 0, 1})...)
	for n := 14; n < len(arp); n++ {
		s.Send(arp[:n])
	}
	notEthernet := ethernet(broadcast, mine, unix.ETH_P_ARP, arpRequest(mine, []byte{172, 17, 0, 1})...)
	notEthernet[14] = 0xff // hardware type
	s.Send(notEthernet)
	ip := ethernet(gateway, mine, unix.ETH_P_IP, echoRequest(attacker)...)
	for n := 14; n < 14+20; n++ {
		s.Send(ip[:n])
	}
	liar := append([]byte{}, ip...)
	binary.BigEndian.PutUint16(liar[16:], 0xffff) // total length
	s.Send(liar)
	for low := 1; low < 16; low++ { // -00 is spanning tree's, which passes
		s.Send(ethernet(net.HardwareAddr{0x01, 0x80, 0xc2, 0, 0, byte(low)}, mine, experimental, make([]byte, 46)...))
	}
	for _, src := range []net.HardwareAddr{zero, broadcast, {0x01, 0, 0x5e, 0, 0, 1}} {
		s.Send(ethernet(victim.MAC(), src, experimental, make([]byte, 46)...))
	}
	s.Send(ethernet(gateway, mine, unix.ETH_P_IPV6, make([]byte, 40)...))
	s.Send(ethernet(gateway, mine, experimental, make([]byte, 46)...))
	s.Send(ethernet(mine, mine, experimental, make([]byte, 46)...))
	attacker.Run("ip", "link", "set", "eth0", "mtu", "9000")
	s.Send(ethernet(victim.MAC(), mine, experimental, make([]byte, 9000)...))

	for reason, want := range map[string]uint64{
		"runt": runts, "malformed-arp": 28 + 1, "malformed-ip": 20 + 1, "reserved-group": 15, "bad-source": 3,
		"no-uplink": 1, "gateway-unhandled": 1, "hairpin": 1, "giant": 1,
	} {
		h.AwaitDrops("attacker", reason, want)
		if got := h.Counters("attacker").Drops[reason]; got != want {
			t.Errorf("%d drops for %s, want %d", got, reason, want)
		}
	}
	victim.Reaches(peer.Addr().String())
	victim.Reaches("172.17.0.1")
	attacker.Reaches("172.17.0.1")
}

// The switch would lose the gateway if it believed a container that says to be it.
func TestTheGatewaysMACCannotBeTaken(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	attacker, victim := h.Attach("attacker"), h.Attach("victim")
	s, witness := attacker.Socket(experimental), victim.Witness()
	gateway := net.HardwareAddr{0x02, 0x42, 172, 17, 0, 1}
	from := h.Daemon.Lines()
	for range 10 {
		s.Send(ethernet(broadcast, gateway, experimental, make([]byte, 46)...))
	}
	witness.Until(sendMark(attacker))
	fdb, err := h.Client.FDB(t.Context(), "bridge")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range fdb {
		if e.MAC == api.MAC(gateway) && e.Port != "gateway" {
			t.Errorf("the forwarding table has the gateway's MAC at port %s", e.Port)
		}
	}
	h.AwaitLog(from, "frame refused that the port may not send", "port=attacker segment=bridge reason=spoofed-gateway mac="+gateway.String())
	victim.Reaches("172.17.0.1")
	attacker.Reaches("172.17.0.1")
}

// Random bytes under valid and invalid headers, while others talk.
func TestRandomFramesDoNotStopTheSwitch(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("other")
	attacker, peer := h.Attach("attacker"), h.Attach("peer")
	a, b := h.Attach("a", lab.On("other")), h.Attach("b", lab.On("other"))
	s := attacker.Socket(experimental)
	random := seed.New(t)
	destinations := []net.HardwareAddr{
		broadcast, peer.MAC(), attacker.MAC(), b.MAC(), {0x02, 0x42, 172, 17, 0, 1}, {0x33, 0x33, 0, 0, 0, 1}, {0x02, 1, 2, 3, 4, 5},
	}
	etherTypes := []uint16{unix.ETH_P_IP, unix.ETH_P_IPV6, unix.ETH_P_ARP, unix.ETH_P_8021Q, experimental, 0, 64, 0xffff}
	var accepted uint64
	before := h.Counters("attacker").RxFrames
	for i := range 3000 {
		payload := make([]byte, random.IntN(1500))
		for j := range payload {
			payload[j] = byte(random.Uint32())
		}
		if len(payload) > 0 {
			payload[0] = []byte{0x45, 0x46, 0x4f, 0x60, 0x00, payload[0]}[random.IntN(6)]
		}
		src := attacker.MAC()
		if random.IntN(2) == 0 { // as many stations as there are frames
			binary.BigEndian.PutUint32(src[2:], random.Uint32())
		}
		if s.Socket.Send(ethernet(destinations[random.IntN(len(destinations))], src, etherTypes[random.IntN(len(etherTypes))], payload...)) == nil {
			accepted++
		}
		if i%1000 == 0 {
			a.Reaches(b.Addr().String())
		}
	}
	if accepted == 0 {
		t.Fatal("the sender's kernel took none of the frames")
	}
	// The sender's ring may overflow, so not all must have come.
	h.Eventually("some of the frames, of which any may be dropped, are counted", func() bool {
		return h.Counters("attacker").RxFrames > before
	})
	a.Reaches(b.Addr().String())
	attacker.Reaches(peer.Addr().String())
	peer.Reaches("172.17.0.1")
	h.Eventually("each frame is accounted for", func() bool {
		c := h.Counters("attacker")
		return c.RxFrames == c.Forwarded+c.Flooded+c.Local+drops(c, true)
	})
}

// arpRequest is RFC 826's packet that asks who has target.
func arpRequest(sender net.HardwareAddr, target []byte) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	b = append(append(b, sender...), 172, 17, 0, 9)
	return append(append(b, 0, 0, 0, 0, 0, 0), target...)
}

// echoRequest is an IPv4 packet for the gateway; its checksums do not matter.
func echoRequest(c *lab.Container) []byte {
	src := c.Addr().As4()
	b := []byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, src[0], src[1], src[2], src[3], 172, 17, 0, 1}
	return append(b, 8, 0, 0, 0, 0, 1, 0, 1)
}

// A container may give its interface any number of addresses, and change them as fast as it
// likes. That delays what the switch sees of it, and nobody else.
func TestManyAddressesThatChangeDelayNobody(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Attach("a")
	evil := h.Attach("evil")
	var many, churn strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&many, "addr add 10.0.%d.%d/32 dev eth0\n", i/250, i%250+1)
	}
	for range 2000 {
		churn.WriteString("addr add 10.9.9.9/32 dev eth0\naddr del 10.9.9.9/32 dev eth0\n")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"many": many.String(), "churn": churn.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	evil.Run("ip", "-batch", filepath.Join(dir, "many"))
	evil.Start("sh", "-c", `while ip -batch "$0"; do :; done`, filepath.Join(dir, "churn"))
	const calls = 50
	var took []time.Duration
	for range calls {
		start := time.Now()
		h.Port("a")
		took = append(took, time.Since(start))
		time.Sleep(20 * time.Millisecond)
	}
	slices.Sort(took)
	if median := took[calls/2]; median > time.Second { // it is some milliseconds
		t.Errorf("half of %d requests took %s and more, want less than a second", calls, median)
	}
	// And it is seen itself, although it goes on.
	h.setInterface(evil, "eth0", false)
}
