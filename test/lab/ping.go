package lab

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"testing"
)

// PingResult is what ping(8) says at its end.
type PingResult struct {
	Sent, Received int
	Output         string
}

var pingSummary = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

func parsePing(output string) (PingResult, error) {
	m := pingSummary.FindStringSubmatch(output)
	if m == nil {
		return PingResult{}, fmt.Errorf("no summary in ping's output: %q", output)
	}
	r := PingResult{Output: output}
	var err error
	if r.Sent, err = strconv.Atoi(m[1]); err == nil {
		r.Received, err = strconv.Atoi(m[2])
	}
	return r, err
}

// Ping sends n echo requests, at most 100 at once, and waits long for the last answer unless
// options say otherwise. Once there was one, ping(8) waits no longer than its interval, which is
// therefore long.
func Ping(tb testing.TB, ns *Namespace, n int, to string, options ...string) PingResult {
	tb.Helper()
	RequireCommand(tb, "ping")
	preload := strconv.Itoa(min(n, 100))
	argv := []string{"ping", "-n", "-c", strconv.Itoa(n), "-l", preload, "-i", "3", "-W", "10"}
	argv = append(append(argv, options...), to)
	out, _ := ns.Exec(context.Background(), argv...).CombinedOutput() // fails without all answers
	r, err := parsePing(string(out))
	if err != nil {
		tb.Fatalf("%q: %v", argv, err)
	}
	return r
}
