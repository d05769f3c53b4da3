package lab

import (
	"os"
	"strings"
	"testing"
)

func namespaceOfThread(t *testing.T) string {
	t.Helper()
	id, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestNamespaceDoRunsInsideAndComesBack(t *testing.T) {
	t.Parallel()
	n := NewNamespace(t)
	outside := namespaceOfThread(t)
	var inside, nested string
	other := NewNamespace(t)
	n.Do(func() {
		inside = namespaceOfThread(t)
		other.Do(func() { nested = namespaceOfThread(t) })
		if back := namespaceOfThread(t); back != inside {
			t.Errorf("after a nested Do the thread is in %s, want %s", back, inside)
		}
	})
	if inside == outside || nested == outside || nested == inside {
		t.Errorf("outside %s, inside %s and nested %s are not three namespaces", outside, inside, nested)
	}
	if back := namespaceOfThread(t); back != outside {
		t.Errorf("after Do the thread is in %s, want %s", back, outside)
	}
}

func TestNamespaceExecSeesOnlyItsOwnLinks(t *testing.T) {
	t.Parallel()
	n, other := NewNamespace(t), NewNamespace(t)
	link := UniqueName()
	n.Run("ip", "tuntap", "add", link, "mode", "tap")
	if out := n.Run("ip", "-o", "link"); !strings.Contains(out, link) {
		t.Errorf("link %s is not in the namespace it was made in:\n%s", link, out)
	}
	if out := other.Run("ip", "-o", "link"); strings.Contains(out, link) {
		t.Errorf("link %s shows in another namespace:\n%s", link, out)
	}
}

func TestNamespaceIsRemovedWithItsTest(t *testing.T) {
	var path string
	t.Run("owner", func(t *testing.T) {
		path = NewNamespace(t).Path()
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	})
	if _, err := os.Stat(path); path != "" && !os.IsNotExist(err) {
		t.Errorf("%s is still there after its test: %v", path, err)
	}
}

func TestUniqueNameFitsALink(t *testing.T) {
	t.Parallel()
	a, b := UniqueName(), UniqueName()
	if a == b || len(a) > 15 || !strings.HasPrefix(a, ownPrefix()) {
		t.Errorf("got %q and %q, want two different names of 15 bytes at most", a, b)
	}
}
