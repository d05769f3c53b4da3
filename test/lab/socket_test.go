package lab

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// experimental is the EtherType for local experiments (IEEE 802 §9.2.4).
const experimental = 0x88b5

// pair makes two namespaces with a link between them, eth0 in each.
func pair(t *testing.T) (a, b *Namespace) {
	t.Helper()
	a, b = NewQuietNamespace(t), NewQuietNamespace(t)
	a.Run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b.Name())
	bringUp(t, "eth0", a, b)
	return a, b
}

// bringUp brings up a link in both namespaces, and waits until it carries frames.
func bringUp(t *testing.T, name string, ends ...*Namespace) {
	t.Helper()
	for _, n := range ends {
		n.Run("ip", "link", "set", name, "up")
	}
	for _, n := range ends {
		n.AwaitLinkUp(name)
	}
}

func open(t *testing.T, c SocketConfig) *Socket {
	t.Helper()
	s, err := OpenSocket(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// next waits for a frame.
func next(t *testing.T, s *Socket) Frame {
	t.Helper()
	f, came, err := s.Receive(time.Now().Add(Patience))
	if err != nil || !came {
		t.Fatalf("no frame: %v", err)
	}
	return f
}

// ethernet is a frame to another host, of this EtherType, with a payload that tells it from others.
func ethernet(etherType uint16, text string) []byte {
	b := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, byte(etherType>>8), byte(etherType))
	return append(append(b, text...), make([]byte, 46)...)
}

func TestSocketSendsAndReceives(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	all := open(t, SocketConfig{Namespace: b.Name(), EtherType: unix.ETH_P_ALL})
	one := open(t, SocketConfig{Namespace: b.Name(), Interface: "eth0", EtherType: experimental})
	own := open(t, SocketConfig{Namespace: a.Name(), Interface: "eth0", EtherType: unix.ETH_P_ALL})
	before := time.Now().Add(-time.Second)
	other := ethernet(0x88b6, "other")
	for _, f := range [][]byte{other, ethernet(experimental, "first"), ethernet(experimental, "second")} {
		if err := own.Send(f); err != nil {
			t.Fatal(err)
		}
	}
	if f := next(t, all); !bytes.Equal(f.Bytes, other) || f.At.Before(before) || f.At.After(time.Now()) {
		t.Errorf("got % x of %s, want % x of now", f.Bytes, f.At, other)
	}
	for _, want := range []string{"first", "second"} {
		if f := next(t, one); !bytes.Contains(f.Bytes, []byte(want)) {
			t.Errorf("got % x, want the %s frame", f.Bytes, want)
		}
		next(t, all)
	}
	for _, s := range []*Socket{all, one, own} {
		if f, came, err := s.Receive(time.Time{}); came || err != nil {
			t.Errorf("got another frame % x, %v; want none", f.Bytes, err)
		}
		if n, err := s.Drops(); n != 0 || err != nil {
			t.Errorf("%d frames were dropped, %v", n, err)
		}
	}
}

func TestSocketOnEveryInterface(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	all := open(t, SocketConfig{Namespace: b.Name(), EtherType: experimental})
	out := open(t, SocketConfig{Namespace: a.Name()})
	a.Run("ip", "link", "add", "later", "type", "veth", "peer", "name", "later", "netns", b.Name())
	bringUp(t, "later", a, b)
	for _, name := range []string{"eth0", "later"} {
		if err := out.SendOn(name, ethernet(experimental, name)); err != nil {
			t.Fatal(err)
		}
		if f := next(t, all); !bytes.Contains(f.Bytes, []byte(name)) {
			t.Errorf("got % x, want the frame on %s", f.Bytes, name)
		}
	}
	if err := out.SendOn("nowhere", ethernet(experimental, "")); err == nil {
		t.Error("a frame goes out of an interface that is not there")
	}
	b.Run("ip", "link", "delete", "later") // which the socket hears as an error of its own
	if err := out.SendOn("eth0", ethernet(experimental, "after")); err != nil {
		t.Fatal(err)
	}
	if f := next(t, all); !bytes.Contains(f.Bytes, []byte("after")) {
		t.Errorf("got % x, want the frame after an interface has gone", f.Bytes)
	}
}

// The kernel takes the outer tag out of a frame before a packet socket gets it.
func TestSocketKeepsVLANTags(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	in := open(t, SocketConfig{Namespace: b.Name(), Interface: "eth0", EtherType: unix.ETH_P_ALL})
	out := open(t, SocketConfig{Namespace: a.Name(), Interface: "eth0"})
	for _, tags := range []string{"\x81\x00\x60\x05", "\x88\xa8\x00\x07\x81\x00\x00\x05"} {
		want := ethernet(experimental, "tagged")
		want = append(append(bytes.Clone(want[:12]), tags...), want[12:]...)
		if err := out.Send(want); err != nil {
			t.Fatal(err)
		}
		if f := next(t, in); !bytes.Equal(f.Bytes, want) {
			t.Errorf("got % x, want % x", f.Bytes, want)
		}
	}
}

// auxdata is what the kernel says beside a frame that had this tag.
func auxdata(status uint32, etherType, control uint16) []byte {
	b := make([]byte, unix.CmsgSpace(auxdataLen))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(auxdataLen)))
	binary.NativeEndian.PutUint32(b[8:], unix.SOL_PACKET)
	binary.NativeEndian.PutUint32(b[12:], unix.PACKET_AUXDATA)
	data := b[unix.CmsgLen(0):]
	binary.NativeEndian.PutUint32(data, status)
	binary.NativeEndian.PutUint16(data[auxdataTCI:], control)
	binary.NativeEndian.PutUint16(data[auxdataTPID:], etherType)
	return b
}

func TestTagsArePutBack(t *testing.T) {
	t.Parallel()
	plain := ethernet(experimental, "payload")
	tagged := func(tag string) []byte {
		return append(append(bytes.Clone(plain[:12]), tag...), plain[12:]...)
	}
	const valid, typed = unix.TP_STATUS_VLAN_VALID, unix.TP_STATUS_VLAN_TPID_VALID
	for _, test := range []struct {
		name    string
		control []byte
		want    []byte
	}{
		{"none", nil, plain},
		{"no tag", auxdata(0, unix.ETH_P_8021AD, 100), plain},
		{"a tag", auxdata(valid|typed, unix.ETH_P_8021AD, 100), tagged("\x88\xa8\x00\x64")},
		{"a tag of unknown type", auxdata(valid, unix.ETH_P_8021AD, 100), tagged("\x81\x00\x00\x64")},
	} {
		if f, err := received(plain, test.control); err != nil || !bytes.Equal(f.Bytes, test.want) {
			t.Errorf("%s: got % x, %v; want % x", test.name, f.Bytes, err, test.want)
		}
	}
	if f, err := received(plain, auxdata(valid, unix.ETH_P_8021AD, 100)[:20]); err == nil {
		t.Errorf("cut short: got % x, want an error", f.Bytes)
	}
}
