package drop_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"vswitch/switch/drop"
)

// TestNames: each reason has a name of its own, as statistics and metrics want it.
func TestNames(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	all, seen := drop.All(), map[string]drop.Reason{}
	if len(all) != drop.Count {
		t.Fatalf("%d reasons, want %d", len(all), drop.Count)
	}
	for i, r := range all {
		name := r.String()
		other, twice := seen[name]
		if twice || !form.MatchString(name) || name == "unknown" || name == "none" {
			t.Errorf("reason %d has the name %q, as has %d", r, name, other)
		}
		seen[name] = r
		if int(r) != i || r == drop.None {
			t.Errorf("reason %d stands at %d", r, i)
		}
	}
	for name, want := range map[string]drop.Reason{
		"runt": drop.Runt, "unreachable": drop.Unreachable, "bpdu-guard": drop.BPDUGuard,
		"port-lost": drop.PortLost,
		"loop":      drop.Loop, "link-down": drop.LinkDown, "rate-limit-out": drop.RateLimitOut,
	} {
		if got, ok := seen[name]; !ok || got != want {
			t.Errorf("%q is reason %d, want %d", name, got, want)
		}
	}
	if drop.None.String() != "none" || drop.Reason(200).String() != "unknown" {
		t.Errorf("None is called %q, a reason that does not exist %q", drop.None, drop.Reason(200))
	}
}

// TestSides: where each reason counts, and which are reported.
func TestSides(t *testing.T) {
	t.Parallel()
	egress := map[drop.Reason]bool{
		drop.LinkDown: true, drop.PortLost: true, drop.QueueFull: true, drop.TxRejected: true,
		drop.DeviceGone: true, drop.HeldDown: true, drop.RateLimitOut: true,
	}
	violations := map[drop.Reason]bool{
		drop.BPDUGuard: true, drop.SpoofedMAC: true, drop.SpoofedARP: true,
		drop.SpoofedIP: true, drop.SpoofedND: true,
		drop.SpoofedGateway: true, drop.RogueDHCP: true, drop.RogueRA: true, drop.VLANTagged: true,
		drop.MACLimit: true, drop.FloodLimit: true,
	}
	for _, r := range drop.All() {
		if r.Ingress() == egress[r] {
			t.Errorf("%s counts at the port that the frame came from: %v", r, r.Ingress())
		}
		if r.Violation() != violations[r] {
			t.Errorf("%s is a violation: %v, want %v", r, r.Violation(), violations[r])
		}
	}
	if drop.None.Ingress() || drop.None.Violation() {
		t.Error("a frame that is not dropped is counted or reported")
	}
}

// page explains every reason: a phrase that says why, and what to do about it.
const page = "../../docs/troubleshooting.md"

// TestDocumented: the page has one row for each reason and no others, with both of its texts.
func TestDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(text), "\n## Drop reasons\n")
	if !found {
		t.Fatalf("%s has no heading: Drop reasons", page)
	}
	rows := map[string]bool{}
	row := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (.*) \\| (.*) \\|$")
	for _, m := range row.FindAllStringSubmatch(list, -1) {
		rows[m[1]] = true
		for _, cell := range m[2:] {
			if len(strings.Fields(cell)) < 2 && !strings.HasPrefix(cell, "`") {
				t.Errorf("%s says of %s no more than %q", page, m[1], cell)
			}
		}
	}
	for _, r := range drop.All() {
		if !rows[r.String()] {
			t.Errorf("%s does not explain the reason %q: add a row", page, r)
		}
		delete(rows, r.String())
	}
	for name := range rows {
		t.Errorf("%s explains %q, which is no reason", page, name)
	}
}

// TestDocumentedSides: a reason stands on the side of the page's line, link-down, on which it
// counts.
func TestDocumentedSides(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	at := func(r drop.Reason) int { return strings.Index(string(text), "\n| `"+r.String()+"` |") }
	for _, r := range drop.All() {
		if r.Ingress() != (at(r) < at(drop.LinkDown)) {
			t.Errorf("%s is on the wrong side of link-down in %s", r, page)
		}
	}
}
