package dns

import "testing"

func TestLimitsHaveNames(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for l := range Limit(LimitCount) {
		name := l.String()
		if name == "" || seen[name] {
			t.Errorf("limit %d is called %q", l, name)
		}
		seen[name] = true
	}
	if name := Limit(LimitCount).String(); name != "limit(7)" {
		t.Errorf("no limit is called %q", name)
	}
}
