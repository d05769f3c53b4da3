package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// table is our nftables table as nft lists it.
type table struct {
	objects  string   // chains, sets and rules, with their handles
	elements []string // of all sets and maps
}

func (h *host) table() table {
	h.Helper()
	text := h.NS.Run("nft", "--json", "--handle", "list", "table", "inet", "vswitch")
	var listing struct{ Nftables []map[string]map[string]any }
	if err := json.Unmarshal([]byte(text), &listing); err != nil {
		h.Fatal(err)
	}
	var t table
	for _, object := range listing.Nftables {
		for kind, what := range object {
			if kind == "metainfo" {
				continue
			}
			elements, _ := what["elem"].([]any)
			for _, e := range elements {
				t.elements = append(t.elements, fmt.Sprint(what["name"], e))
			}
			delete(what, "elem")
			t.objects += fmt.Sprintln(kind, what)
		}
	}
	// A hash table that grows meanwhile has the kernel show some elements twice.
	slices.Sort(t.elements)
	t.elements = slices.Compact(t.elements)
	return t
}

// ruleMonitor is nft that prints what changes in the ruleset.
type ruleMonitor struct {
	h     *host
	nft   *lab.Process
	marks int
}

func (h *host) monitorRules() *ruleMonitor {
	h.Helper()
	nft, err := lab.StartProcess(lab.ProcessConfig{
		Namespace: h.NS.Name(), Argv: []string{"nft", "monitor"}, Name: "nft monitor",
	})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = nft.Stop() })
	m := &ruleMonitor{h: h, nft: nft}
	h.Eventually("nft prints what changes", func() bool { return m.mark() })
	return m
}

// mark makes a table that ends what was printed so far, and reports whether nft has printed it
// before the marks after it.
func (m *ruleMonitor) mark() bool {
	m.marks++
	m.h.NS.Run("nft", "add", "table", "inet", m.name())
	return strings.Contains(m.nft.Output(), m.name())
}

func (m *ruleMonitor) name() string { return fmt.Sprintf("mark%d", m.marks) }

// changes returns what nft prints of our table while act runs.
func (m *ruleMonitor) changes(act func()) (lines []string) {
	m.h.Helper()
	from := m.nft.Lines()
	act()
	m.marks++
	m.h.NS.Run("nft", "add", "table", "inet", m.name())
	if _, err := m.nft.Await(m.h.Context(), from, m.name()); err != nil {
		m.h.Fatal(err)
	}
	for _, line := range strings.Split(m.nft.Output(), "\n")[from:] {
		if strings.Contains(line, "inet vswitch") {
			lines = append(lines, line)
		}
	}
	return lines
}

// With hundreds of published ports, one more is one more element: no rule is made anew. What a
// flush takes comes back whole.
func TestPublishingOneOfManyAddsAnElement(t *testing.T) {
	t.Parallel()
	const many = 300
	h, web, outside := newWebHost(t)
	for i := range many {
		h.publish("web", fmt.Sprintf("%d:80", 10000+i))
	}
	before := h.table()
	monitor := h.monitorRules()
	for _, c := range []struct{ text, key, element string }{
		{"9000:80", "9000", "published { tcp . 9000 : 172.17.0.2 . 80 }"},
		{
			"127.0.0.1:9000:80/udp", "127.0.0.1:9000/udp",
			"published-on { 127.0.0.1 . udp . 9000 : 172.17.0.2 . 80 }",
		},
	} {
		added := monitor.changes(func() { h.publish("web", c.text) })
		if want := []string{"add element inet vswitch " + c.element}; !slices.Equal(added, want) {
			t.Errorf("publishing %s changed %q, want %q", c.text, added, want)
		}
		with := h.table()
		if with.objects != before.objects || len(with.elements) != len(before.elements)+1 {
			t.Errorf("publishing %s made %d elements of %d, and of the objects\n%s\nthese:\n%s",
				c.text, len(with.elements), len(before.elements), before.objects, with.objects)
		}
		removed := monitor.changes(func() { h.unpublish("web", c.key) })
		if len(removed) != 1 || !strings.Contains(removed[0], "delete element") {
			t.Errorf("unpublishing %s changed %q, want one element to be deleted", c.text, removed)
		}
	}
	h.AddSegment("other")
	h.Vsctl("del-segment", "other")
	if after := h.table(); after.objects != before.objects ||
		!slices.Equal(after.elements, before.elements) {
		t.Errorf("after all that the table is\n%+v\nwant\n%+v", after, before)
	}

	h.LogAfter(func() { h.NS.Run("nft", "flush", "ruleset") },
		"nftables table was changed by others: put back")
	if after := h.table(); !slices.Equal(after.elements, before.elements) {
		t.Errorf("after a flush the elements are\n%q\nwant\n%q", after.elements, before.elements)
	}
	for _, port := range []int{8080, 10000, 10000 + many - 1} {
		gets(outside, fmt.Sprintf("%s:%d", hostOutside, port), "web sees "+farOutside)
	}
	gets(h.onHost("bridge"), "127.0.0.1:10000", "web sees "+web.Port.Gateway)
}

// A firewall that keeps containers from the outside is named where the way out is shown, for as
// long as it does.
func TestHostLinkNamesAnotherFirewall(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "nft")
	h := newQuietHost(t)
	const drop = "add table ip filter; " +
		"add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"
	h.NS.Run("nft", drop)
	h.Start()
	h.Attach("web")
	named := func() bool {
		reason := h.hostLink("bridge", api.PortUp).Reason
		return strings.Contains(reason, "ip filter FORWARD") &&
			strings.Contains(reason, "iptables -I FORWARD")
	}
	h.Eventually("the host link names the firewall that was there before", named)
	h.publish("web", "8080:80") // a firewall in the way is no reason to refuse
	h.NS.Run("nft", "delete", "table", "ip", "filter")
	h.Eventually("the host link does not name the firewall that has gone", func() bool {
		return h.hostLink("bridge", api.PortUp).Reason == ""
	})
	h.NS.Run("nft", drop)
	h.Eventually("the host link names the firewall that has come later", named)
}

// BenchmarkPublish measures publishing a port by the API, and unpublishing it, beside those that
// are published already.
func BenchmarkPublish(b *testing.B) {
	spec, _ := api.ParsePublish("9000:80")
	key, _ := api.ParsePublished("9000")
	for _, published := range []int{0, 100, 1000} {
		b.Run(fmt.Sprintf("published=%d", published), func(b *testing.B) {
			h := &host{lab.NewHost(b)}
			h.Attach("web")
			h.Attach("one")
			for i := 0; i < published; i += 100 { // as ranges, so that they are few records
				h.publish("web", fmt.Sprintf("%d-%d:80-179", 10000+i, 10099+i))
			}
			for b.Loop() {
				if _, err := h.Client.Publish(b.Context(), "one", spec); err != nil {
					b.Fatal(err)
				}
				if _, err := h.Client.Unpublish(b.Context(), "one", key); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(2*b.N), "µs/change")
		})
	}
}
