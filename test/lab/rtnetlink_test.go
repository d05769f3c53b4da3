package lab

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel announces each kind of change: reached is not asked again without. All links are
// down, so that the kernel has nothing of its own to announce.
func TestAwaitNetworkWaitsForTheNextChange(t *testing.T) {
	t.Parallel()
	n := NewNamespace(t)
	for _, test := range []struct{ change, show, want string }{
		{"link add later type bridge", "link", "later"},
		{"link set later mtu 1400", "link", "mtu 1400"},
		{"addr add 10.9.8.7/24 dev later", "addr", "10.9.8.7"},
		{"addr add fd00::7/64 dev lo", "addr", "fd00::7"},
		{"link delete later", "link", "1: lo:"},
	} {
		made := make(chan error, 1)
		asked := 0
		n.AwaitNetwork(test.change, func() bool {
			if asked++; asked == 1 {
				go func() { made <- n.Exec(t.Context(), append([]string{"ip"}, strings.Fields(test.change)...)...).Run() }()
				return false
			}
			return strings.Contains(n.Run("ip", test.show), test.want)
		})
		if err := <-made; err != nil || asked < 2 {
			t.Errorf("ip %s: %v; asked %d times, want once before and once after", test.change, err, asked)
		}
	}
}

func TestNoChangeBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	changes, err := NewNamespace(t).subscribe()
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Close()
	for _, d := range []time.Duration{-time.Hour, time.Millisecond} {
		if err := nextChange(changes, time.Now().Add(d)); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("%s before the deadline: %v, want EAGAIN", d, err)
		}
	}
}

func TestAwaitLinkUp(t *testing.T) {
	t.Parallel()
	a, b := NewQuietNamespace(t), NewQuietNamespace(t)
	a.Run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b.Name())
	a.Run("ip", "link", "set", "eth0", "up")
	up := make(chan error, 1)
	go func() { up <- b.Exec(t.Context(), "ip", "link", "set", "eth0", "up").Run() }()
	a.AwaitLinkUp("eth0")
	if err := <-up; err != nil {
		t.Error(err)
	}
}
