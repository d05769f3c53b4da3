package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"vswitch/test/lab"
)

// pingResult is what ping(8) says at its end.
type pingResult struct {
	sent, received int
	output         string
}

var pingSummary = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

func parsePing(output string) (pingResult, error) {
	m := pingSummary.FindStringSubmatch(output)
	if m == nil {
		return pingResult{}, fmt.Errorf("no summary in ping's output: %q", output)
	}
	r := pingResult{output: output}
	var err error
	if r.sent, err = strconv.Atoi(m[1]); err == nil {
		r.received, err = strconv.Atoi(m[2])
	}
	return r, err
}

// ping sends n echo requests, at most 100 at once, and waits long for the last
// answer unless options say otherwise. Once there was one, ping(8) waits no longer
// than its interval, which is therefore long.
func ping(tb testing.TB, ns *lab.Namespace, n int, to string, options ...string) pingResult {
	tb.Helper()
	lab.RequireCommand(tb, "ping")
	argv := append([]string{"ping", "-n", "-c", strconv.Itoa(n), "-l", strconv.Itoa(min(n, 100)), "-i", "3", "-W", "10"}, append(options, to)...)
	out, _ := ns.Exec(context.Background(), argv...).CombinedOutput() // fails when answers are missing
	r, err := parsePing(string(out))
	if err != nil {
		tb.Fatalf("%q: %v", argv, err)
	}
	return r
}

func TestParsePing(t *testing.T) {
	t.Parallel()
	const lossy = `PING 172.17.0.3 (172.17.0.3) 56(84) bytes of data.

--- 172.17.0.3 ping statistics ---
3 packets transmitted, 2 received, +1 duplicates, 33.3333% packet loss, time 405ms
`
	r, err := parsePing(lossy)
	if err != nil || r.sent != 3 || r.received != 2 {
		t.Errorf("got %d of %d, %v; want 2 of 3", r.received, r.sent, err)
	}
	if _, err := parsePing("ping: connect: Network is unreachable\n"); err == nil {
		t.Error("output without a summary is accepted")
	}
}
