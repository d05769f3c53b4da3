package netns

import (
	"bytes"
	"errors"
	"net"
	"testing"

	"vswitch/test/lab"
)

func TestPrepareLink(t *testing.T) {
	t.Parallel()
	env := lab.NewNamespace(t)
	env.Run("ip", "tuntap", "add", "vst-0", "mode", "tap")
	ns := mustOpen(t, mustParse(t, env.Name()))
	mac := net.HardwareAddr{2, 0x42, 10, 0, 0, 2}
	if _, err := ns.LinkByMAC(mac); !errors.Is(err, ErrNoLink) {
		t.Errorf("a link with a MAC that nobody has: %v", err)
	}
	prepared, err := ns.PrepareLink(LinkConfig{HostName: "vst-0", MAC: mac, MTU: 1400, TxQueueLen: 77})
	if err != nil {
		t.Fatal(err)
	}
	found, err := ns.LinkByMAC(mac)
	if err != nil || found.Name != "vst-0" || found.Up || found.Index != prepared.Index || !bytes.Equal(prepared.MAC, found.MAC) {
		t.Errorf("prepared %+v, found %+v, %v", prepared, found, err)
	}
	if out := env.Run("ip", "link", "show", "vst-0"); !bytes.Contains([]byte(out), []byte("mtu 1400")) || !bytes.Contains([]byte(out), []byte("qlen 77")) {
		t.Errorf("the link is %s", out)
	}
	if _, err := ns.PrepareLink(LinkConfig{HostName: "vst-1"}); !errors.Is(err, ErrNoLink) {
		t.Errorf("a link that is not there: %v", err)
	}
}
