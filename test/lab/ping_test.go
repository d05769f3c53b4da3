package lab

import "testing"

func TestParsePing(t *testing.T) {
	t.Parallel()
	const lossy = `PING 172.17.0.3 (172.17.0.3) 56(84) bytes of data.

--- 172.17.0.3 ping statistics ---
3 packets transmitted, 2 received, +1 duplicates, 33.3333% packet loss, time 405ms
`
	r, err := parsePing(lossy)
	if err != nil || r.Sent != 3 || r.Received != 2 {
		t.Errorf("got %d of %d, %v; want 2 of 3", r.Received, r.Sent, err)
	}
	if _, err := parsePing("ping: connect: Network is unreachable\n"); err == nil {
		t.Error("output without a summary is accepted")
	}
}
