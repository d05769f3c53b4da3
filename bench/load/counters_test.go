package load

import "testing"

func TestRxPackets(t *testing.T) {
	t.Parallel()
	dev := []byte("Inter-|   Receive  |  Transmit\n face |bytes    packets errs\n" +
		"    lo:       0       7    0\n  eth0: 1234    42    0 1\neth01:9 8 7\n")
	for name, want := range map[string]uint64{"lo": 7, "eth0": 42, "eth01": 8} {
		if got, err := rxPackets(dev, name); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", name, got, err, want)
		}
	}
	if _, err := rxPackets(dev, "eth1"); err == nil {
		t.Error("no error for an interface that is not there")
	}
}
