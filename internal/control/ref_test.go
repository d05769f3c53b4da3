package control

import (
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/internal/wellformed"
)

// titled is something that has a name.
type titled string

func (t titled) title() string { return string(t) }

func TestResolve(t *testing.T) {
	t.Parallel()
	id := func(prefix string) string { return prefix + strings.Repeat("0", 64-len(prefix)) }
	all := map[string]titled{
		id("aaaa"): "one", id("aabb"): "two", id("bbbb"): "aaa", id("cccc"): "b", id("c0de"): titled(id("aaaa")),
	}
	for ref, want := range map[string]titled{
		"one": "one", "aab": "two", "bb": "aaa",
		"aaa":      "aaa", // a name goes before the prefix of an id
		"b":        "b",   // also where that is one alone
		id("aaaa"): "one", // and a whole id before a name
		"cc":       "b",   // one alone
		id("aabb"): "two", // a whole id
		"aaaa":     "one", // not the name that begins so
		"c0de0000": titled(id("aaaa")),
	} {
		if got, err := resolve(all, ref, "port", "list-ports"); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", ref, got, err, want)
		}
	}
	_, err := resolve(all, "aa", "port", "list-ports")
	wantRefused(t, "a prefix of two ids", err, api.Conflict, `port id "aa" is ambiguous, 2 ids`)
	for _, ref := range []string{"", "x", "AAAA", "aaaaa", "on", id("aaaa") + "0", "%s", "../one"} {
		_, err := resolve(all, ref, "port", "list-ports")
		wantRefused(t, ref, err, api.NotFound, "does not exist", "vsctl list-ports")
	}
	if _, err := resolve(map[string]titled{id("a"): ""}, "", "rule", "list-rules"); api.KindOf(err) != api.NotFound {
		t.Errorf("nothing among what has no names: %v", err)
	}
	if _, err := resolve(map[string]titled{}, "", "port", "list-ports"); api.KindOf(err) != api.NotFound {
		t.Errorf("nothing among nothing: %v", err)
	}
}

func TestNewIDsAreWellFormedAndDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 100 {
		id := newID()
		if !wellformed.ID(id) || seen[id] {
			t.Fatalf("%q is not an id, or not a new one", id)
		}
		seen[id] = true
	}
}
