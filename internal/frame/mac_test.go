package frame_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"vswitch/internal/frame"
)

func TestParseMAC(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"02:42:ac:11:00:02", "02:42:ac:11:00:02"},
		{"02:42:AC:11:00:fF", "02:42:ac:11:00:ff"},
		{"00:00:00:00:00:00", "00:00:00:00:00:00"},
		{"ff:ff:ff:ff:ff:ff", "ff:ff:ff:ff:ff:ff"},
	} {
		m, err := frame.ParseMAC(tt.in)
		if err != nil || m.String() != tt.want {
			t.Errorf("ParseMAC(%q) = %v, %v; want %s", tt.in, m, err, tt.want)
		}
		if back := frame.MACFromUint64(m.Uint64()); back != m {
			t.Errorf("MACFromUint64(%#x) = %v, want %v", m.Uint64(), back, m)
		}
	}
}

func TestParseMACErrors(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "02", "02:42:ac:11:00", "02:42:ac:11:00:0", "02:42:ac:11:00:02:", "02:42:ac:11:00:02:03",
		"02-42-ac-11-00-02", "0242.ac11.0002", "02:42:ac:11:00:0g", "02:42:ac:11:000:2", " 2:42:ac:11:00:02",
		"02:42:ac:11:00:é", "02:42:ac:11:00\x0002",
	} {
		m, err := frame.ParseMAC(in)
		if err == nil || !m.IsZero() {
			t.Errorf("ParseMAC(%q) = %v, %v; want an error", in, m, err)
			continue
		}
		if s := err.Error(); !strings.Contains(s, "02:42:ac:11:00:02") || strings.Contains(s, "\n") {
			t.Errorf("ParseMAC(%q): %q does not show in one line how to write it", in, s)
		}
	}
}

func FuzzParseMAC(f *testing.F) {
	for _, s := range []string{"02:42:ac:11:00:02", "FF:ff:FF:ff:FF:ff", "02-42-ac-11-00-02", "", "::::::::::::::::::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := frame.ParseMAC(s)
		if err != nil {
			return
		}
		if m.String() != strings.ToLower(s) {
			t.Errorf("ParseMAC(%q) reads %v", s, m)
		}
	})
}

func TestMACKinds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mac                  string
		group, zero, unicast bool
	}{
		{"02:42:ac:11:00:02", false, false, true},
		{"00:00:00:00:00:00", false, true, false},
		{"ff:ff:ff:ff:ff:ff", true, false, false},
		{"01:00:5e:00:00:01", true, false, false},
		{"33:33:00:00:00:01", true, false, false},
	} {
		m, err := frame.ParseMAC(tt.mac)
		check(t, err)
		if m.IsGroup() != tt.group || m.IsZero() != tt.zero || m.IsUnicast() != tt.unicast {
			t.Errorf("%v: group %v zero %v unicast %v", m, m.IsGroup(), m.IsZero(), m.IsUnicast())
		}
	}
	if frame.Broadcast.String() != "ff:ff:ff:ff:ff:ff" {
		t.Errorf("Broadcast is %v", frame.Broadcast)
	}
}

func TestMACFromIPv4(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ip   netip.Addr
		want string
	}{
		{netip.MustParseAddr("172.17.0.2"), "02:42:ac:11:00:02"},
		{netip.MustParseAddr("::ffff:172.17.0.2"), "02:42:ac:11:00:02"},
		{netip.MustParseAddr("fd00::2"), "02:42:00:00:00:00"},
		{netip.Addr{}, "02:42:00:00:00:00"},
	} {
		if m := frame.MACFromIPv4(tt.ip); m.String() != tt.want {
			t.Errorf("MACFromIPv4(%v) = %v, want %s", tt.ip, m, tt.want)
		}
	}
}

func TestMACAsJSON(t *testing.T) {
	t.Parallel()
	type port struct{ MAC frame.MAC }
	want := port{frame.MAC{2, 0x42, 0xac, 0x11, 0, 2}}
	b, err := json.Marshal(want)
	check(t, err)
	if string(b) != `{"MAC":"02:42:ac:11:00:02"}` {
		t.Errorf("marshalled to %s", b)
	}
	var got port
	check(t, json.Unmarshal(b, &got))
	if got != want {
		t.Errorf("came back as %v", got)
	}
	if err := json.Unmarshal([]byte(`{"MAC":"nonsense"}`), &got); err == nil || got != want {
		t.Errorf("nonsense gave %v, %v; want an error and the old value", got, err)
	}
}
