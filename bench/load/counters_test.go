package load

import (
	"slices"
	"testing"
)

func TestRxPackets(t *testing.T) {
	t.Parallel()
	dev := []byte("Inter-|   Receive  |  Transmit\n face |bytes    packets errs\n" +
		"    lo:       0       7    0\n  eth0: 1234    42    0 1\neth01:9 8 7\n")
	counts := make([]uint64, 3)
	err := rxPackets(dev, map[string]int{"lo": 2, "eth0": 0, "eth01": 1}, counts)
	if want := []uint64{42, 8, 7}; err != nil || !slices.Equal(counts, want) {
		t.Errorf("got %d, %v, want %d", counts, err, want)
	}
	if err := rxPackets(dev, map[string]int{"lo": 0, "eth1": 1}, counts); err == nil {
		t.Error("no error for an interface that is not there")
	}
}
