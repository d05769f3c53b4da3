package host_test

import (
	"fmt"
	"strings"
	"testing"

	"vswitch/internal/host"
)

// BenchmarkPublish measures publishing one more port, and unpublishing it, beside those that are
// published already and beside the rules of other programs.
func BenchmarkPublish(b *testing.B) {
	for _, c := range []struct{ published, others int }{
		{0, 0}, {100, 0}, {1000, 0}, {4096, 0}, {0, 5000},
	} {
		b.Run(fmt.Sprintf("published=%d/others=%d", c.published, c.others), func(b *testing.B) {
			r := newHost(b)
			r.others(b, c.others)
			table := r.open(b, host.Options{})
			config := host.Config{Segments: both, Forwards: manyForwards(c.published)}
			more := config
			more.Forwards = append(manyForwards(c.published), forward("", 80, container1, 80, "vs-a"))
			r.apply(b, table, config)
			for b.Loop() {
				r.apply(b, table, more)
				r.apply(b, table, config)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(2*b.N), "µs/change")
		})
	}
}

// manyForwards returns n forwards of one port each.
func manyForwards(n int) (forwards []host.Forward) {
	for i := range n {
		forwards = append(forwards, forward("", uint16(10000+i), container1, 80, "vs-a"))
	}
	return forwards
}

// others makes a table of another program with n rules, in a chain that drops what they do not
// accept.
func (r *rig) others(b *testing.B, n int) {
	if n == 0 {
		return
	}
	var rules strings.Builder
	rules.WriteString("table inet others {\nchain forward {\n" +
		"type filter hook forward priority 0; policy drop;\n")
	for i := range n {
		fmt.Fprintf(&rules, "ip daddr 10.%d.%d.1 accept\n", i/256, i%256)
	}
	rules.WriteString("}\n}\n")
	r.load(b, rules.String())
}

// load has nft load a ruleset.
func (r *rig) load(tb testing.TB, rules string) {
	tb.Helper()
	load := r.host.Exec(tb.Context(), "nft", "-f", "-")
	load.Stdin = strings.NewReader(rules)
	if out, err := load.CombinedOutput(); err != nil {
		tb.Fatalf("nft: %v: %s", err, out)
	}
}
