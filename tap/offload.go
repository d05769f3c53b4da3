package tap

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
)

// Offloads is the set of things that the kernel leaves undone in frames it hands
// to us, because we told it that we take them so (TUNSETOFFLOAD, the TUN_F_ bits
// of include/uapi/linux/if_tun.h).
type Offloads uint

// The members of [Offloads].
const (
	Checksum Offloads = unix.TUN_F_CSUM    // transport checksums may be partial
	TSO4     Offloads = unix.TUN_F_TSO4    // TCP over IPv4 may come as super-frames
	TSO6     Offloads = unix.TUN_F_TSO6    // TCP over IPv6 may come as super-frames
	TSOECN   Offloads = unix.TUN_F_TSO_ECN // and with ECN in use
	USO4     Offloads = unix.TUN_F_USO4    // UDP over IPv4 may come as super-frames
	USO6     Offloads = unix.TUN_F_USO6    // UDP over IPv6 may come as super-frames

	// Tunnels has super-frames come inside of UDP tunnels such as VXLAN, also where the
	// outer UDP has a checksum (TUN_F_UDP_TUNNEL_GSO and TUN_F_UDP_TUNNEL_GSO_CSUM).
	Tunnels Offloads = 0x80 | 0x100
)

// The kernel takes USO4 and USO6 together or not at all, since Linux 6.2, and Tunnels since
// 6.17 (drivers/net/tun.c, set_offload).
const (
	baseOffloads   = Checksum | TSO4 | TSO6 | TSOECN
	plainOffloads  = baseOffloads | USO4 | USO6
	tunnelOffloads = plainOffloads | Tunnels
)

// Has says whether every member of other is in o.
func (o Offloads) Has(other Offloads) bool { return o&other == other }

// Names lists the members, as csum, tso4, tso6, ecn, uso4, uso6 and tunnel.
func (o Offloads) Names() []string {
	var names []string
	for _, m := range []struct {
		bit  Offloads
		name string
	}{
		{Checksum, "csum"},
		{TSO4, "tso4"},
		{TSO6, "tso6"},
		{TSOECN, "ecn"},
		{USO4, "uso4"},
		{USO6, "uso6"},
		{Tunnels, "tunnel"},
	} {
		if o.Has(m.bit) {
			names = append(names, m.name)
		}
	}
	return names
}

// String lists the members, as "csum,tso4,tso6,ecn,uso4,uso6,tunnel", or is "none".
func (o Offloads) String() string {
	return cmp.Or(strings.Join(o.Names(), ","), "none")
}

// setHeader sets the length of the virtio-net header, if the device has one, and its
// offloads, and returns both. A persistent device keeps those of who had it before, so that
// one without header is to be told that it has none.
//
// The kernel grants Tunnels to a device with a short header too, and then loses each frame
// that is read (drivers/net/tun_vnet.h, __tun_vnet_hdr_put). An older kernel takes a header of
// any length.
func setHeader(fd int, header bool) (int, Offloads, error) {
	if !header {
		if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err != nil {
			return 0, 0, fmt.Errorf("turn off offloads: %w", err)
		}
		return 0, 0, nil
	}
	if tunnelsReadable && setHeaderLen(fd, frame.VNetHeaderLen) == nil &&
		unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, int(tunnelOffloads)) == nil {
		return frame.VNetHeaderLen, tunnelOffloads, nil
	}
	return setShortHeader(fd)
}

// tunnelsReadable says that the machine's byte order is that of a tunnel's header, which is
// little-endian everywhere (virtio_net_hdr_tnl_from_skb, include/linux/virtio_net.h).
var tunnelsReadable = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// setShortHeader is setHeader for a kernel that has no Tunnels.
func setShortHeader(fd int) (int, Offloads, error) {
	if err := setHeaderLen(fd, frame.VNetShortHeaderLen); err != nil {
		return 0, 0, fmt.Errorf("set the virtio-net header to %d bytes: %w",
			frame.VNetShortHeaderLen, err)
	}
	offloads, err := setOffloads(fd)
	return frame.VNetShortHeaderLen, offloads, err
}

func setHeaderLen(fd, n int) error {
	return unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, n)
}

// setOffloads turns on all offloads without Tunnels that the kernel has, and says which.
func setOffloads(fd int) (Offloads, error) {
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, int(plainOffloads)) == nil {
		return plainOffloads, nil
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, int(baseOffloads)); err != nil {
		return 0, fmt.Errorf("turn on offloads %s: %w", baseOffloads, err)
	}
	return baseOffloads, nil
}
