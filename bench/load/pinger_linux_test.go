package load

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

// The kernel's own responder, over a real socket. Not in parallel: each raw
// socket gets all messages of the namespace, and large ones fill its buffer.
func TestPingLoopback(t *testing.T) {
	for name, options := range map[string]pingOptions{
		"back to back":  {Count: 50, Size: 1400},
		"with interval": {Count: 5, Interval: 2 * time.Millisecond},
		"odd size":      {Count: 2, Size: 1},
		"large":         {Count: 2, Size: 9000},
	} {
		t.Run(name, func(t *testing.T) {
			options.Timeout = 30 * time.Second // room for a busy machine; no answer takes that long
			got, err := ping(t.Context(), netip.MustParseAddr("127.0.0.1"), options)
			if errors.Is(err, os.ErrPermission) {
				t.Skip("needs CAP_NET_RAW")
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := options.Count; got.Sent != want || got.Received != want {
				t.Errorf("got %+v, want %d answered", got, want)
			}
			if len(got.RTTs) != got.Received || slices.Min(got.RTTs) <= 0 {
				t.Errorf("got %d answers and the times %v", got.Received, got.RTTs)
			}
		})
	}
}
