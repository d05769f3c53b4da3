package tap

import (
	"encoding/binary"
	"net"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
)

// BPF instructions (include/uapi/linux/bpf.h), each of opcode, registers, offset and immediate.
const (
	bpfMove = 0xb7
	bpfCall = 0x85
	bpfExit = 0x95

	bpfVLANPush = 18 // bpf_skb_vlan_push
	tcxNext     = -1 // TCX_NEXT
)

func instruction(op, register byte, immediate int32) []byte {
	return binary.NativeEndian.AppendUint32([]byte{op, register, 0, 0}, uint32(immediate))
}

// bpf calls bpf(2) and returns the descriptor that it gives.
func bpf(t *testing.T, command uintptr, attr []byte) uint32 {
	t.Helper()
	fd, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(unsafe.Pointer(unsafe.SliceData(attr))), uintptr(len(attr)))
	if errno != 0 {
		t.Fatalf("bpf command %d: %v", command, errno)
	}
	t.Cleanup(func() { unix.Close(int(fd)) })
	return uint32(fd)
}

// tagAll has the kernel tag all that leaves by the link of the calling thread's namespace. The tag
// waits beside the frame, as behind a VLAN interface, until the frame is read.
func tagAll(t *testing.T, link string, vlan int32) {
	t.Helper()
	l, err := net.InterfaceByName(link)
	if err != nil {
		t.Fatal(err)
	}
	program, license := make([]byte, 0, 40), []byte("GPL\x00")
	proto := int32(binary.NativeEndian.Uint16([]byte{0x81, 0}))
	for _, i := range [][]byte{
		instruction(bpfMove, 2, proto), instruction(bpfMove, 3, vlan), instruction(bpfCall, 0, bpfVLANPush),
		instruction(bpfMove, 0, tcxNext), instruction(bpfExit, 0, 0),
	} {
		program = append(program, i...)
	}
	var pinner runtime.Pinner // for what the kernel is told the address of
	defer pinner.Unpin()
	pinner.Pin(unsafe.SliceData(program))
	pinner.Pin(unsafe.SliceData(license))
	load := make([]byte, 128)
	binary.NativeEndian.PutUint32(load[0:], unix.BPF_PROG_TYPE_SCHED_CLS)
	binary.NativeEndian.PutUint32(load[4:], uint32(len(program)/8))
	binary.NativeEndian.PutUint64(load[8:], uint64(uintptr(unsafe.Pointer(unsafe.SliceData(program)))))
	binary.NativeEndian.PutUint64(load[16:], uint64(uintptr(unsafe.Pointer(unsafe.SliceData(license)))))
	fd := bpf(t, unix.BPF_PROG_LOAD, load)
	attach := make([]byte, 64)
	for i, v := range []uint32{fd, uint32(l.Index), unix.BPF_TCX_EGRESS, 0} {
		binary.NativeEndian.PutUint32(attach[4*i:], v)
	}
	bpf(t, unix.BPF_LINK_CREATE, attach)
}

// TestTunnelBehindATag: the kernel puts a VLAN tag into what is read, which [frame.VNet.CountTag]
// counts where the kernel does not.
func TestTunnelBehindATag(t *testing.T) {
	t.Parallel()
	ns := newTunnelNamespace(t, false)
	ns.Do(func() { tagAll(t, ns.d.Name(), 5) })
	ns.send(t, 3000, 1000)
	h, eth := receiveTunnelled(t, ns.d, 3000)
	if eth[12] != 0x81 || !h.Tunnel() {
		t.Fatalf("the frame % x behind % x is no tunnel's with a tag", eth[:60], []byte(h))
	}
	h.CountTag(eth)
	if want := uint16(udpStart + frame.VLANTagLen); h.OuterTransport() != want || !h.Valid(eth) {
		t.Errorf("the outer UDP header is at %d, want %d; valid %v", h.OuterTransport(), want, h.Valid(eth))
	}
}
