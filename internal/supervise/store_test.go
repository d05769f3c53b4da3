package supervise

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/test/lab/seed"
)

func memory(t *testing.T) int {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// What changes says, applied to the set before, must give the set now.
func TestStoreChangesLeadFromBeforeToNow(t *testing.T) {
	t.Parallel()
	random := seed.New(t)
	var s store
	defer s.close()
	before := s.snapshot()
	for step := range 300 {
		name := fmt.Sprint("tap", random.IntN(4))
		if random.IntN(3) == 0 {
			s.drop(name)
		} else if _, err := s.add(name, memory(t)); err != nil {
			t.Fatal(err)
		}
		dropped, added := s.changes(before)
		got := slices.DeleteFunc(slices.Clone(before), func(e entry) bool { return slices.Contains(dropped, e.name) })
		got = append(got, added...)
		if !slices.Equal(got, s.entries) {
			t.Fatalf("step %d: from %v, by dropping %v and adding %v, comes %v, want %v", step, before, dropped, added, got, s.entries)
		}
		if random.IntN(10) == 0 {
			before = s.snapshot()
		}
	}
}

func TestStoreKeepsAnOpenFileOnce(t *testing.T) {
	t.Parallel()
	var s store
	defer s.close()
	fd := memory(t)
	if same, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_QUERY, fd); err != nil || same != 1 {
		t.Logf("this kernel cannot compare descriptors (F_DUPFD_QUERY, Linux 6.10): %d, %v", same, err)
		unix.Close(fd)
		return
	}
	twin, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, firstFD)
	if err != nil {
		t.Fatal(err)
	}
	other, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, firstFD)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		fd   int
		want bool
	}{{"tap0", fd, true}, {"tap0", twin, false}, {"tap1", other, true}, {"tap0", memory(t), true}} {
		if added, err := s.add(test.name, test.fd); added != test.want || err != nil {
			t.Errorf("%s: added %v, %v, want %v", test.name, added, err, test.want)
		}
	}
}

func TestStoreHasABound(t *testing.T) {
	t.Parallel()
	var s store
	defer s.close()
	name := strings.Repeat("x", maxName)
	var err error
	for err == nil {
		_, err = s.add(name, memory(t))
	}
	if n := len(s.entries); n < 500 || (n+1)*len(name) >= 128<<10 {
		t.Errorf("%d descriptors fit: %v", n, err)
	}
	s.drop(name)
	if _, err := s.add(name, memory(t)); err != nil {
		t.Errorf("there is no room after all were dropped: %v", err)
	}
}

func TestDelaysGrowUntilAChildIsSteady(t *testing.T) {
	t.Parallel()
	d := newDelays()
	if first := d.next(0); first != 0 {
		t.Errorf("the first restart comes after %v, want at once", first)
	}
	for range 2 {
		for want := firstDelay; want < maxDelay; want *= 2 {
			if got := d.next(steady - 1); got != want {
				t.Errorf("a restart comes after %v, want %v", got, want)
			}
		}
		if got := d.next(0); got != maxDelay {
			t.Errorf("after many deaths a restart comes after %v, want %v", got, maxDelay)
		}
		if again := d.next(steady); again != 0 {
			t.Errorf("after a steady child the restart comes after %v, want at once", again)
		}
	}
}
