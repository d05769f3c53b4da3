package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vswitch/api"
	"vswitch/internal/supervise"
	"vswitch/test/lab"
)

// predecessor is the name by which this test binary is a carrier of the version before: it has
// the descriptors kept under the names that it finds in the file "names" beside it, one line
// each with today's name and that one, and does nothing else. A line "fill" has it fill the store,
// and one with "file" instead of today's name has it keep a file.
const predecessor = "predecessor"

func predecessorMain() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	child, err := supervise.Inherited()
	if err != nil {
		return err
	}
	defer child.Close()
	if err := child.Control.AwaitTurn(ctx); err != nil {
		return err
	}
	lines, err := os.ReadFile(filepath.Join(filepath.Dir(os.Args[0]), "names"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(lines)) {
		if line == "fill\n" {
			fillStore(ctx, child)
			continue
		}
		today, before, _ := strings.Cut(strings.TrimSpace(line), " ")
		if today == "file" {
			if err := keepFile(child, before); err != nil {
				return err
			}
			continue
		}
		fds := child.Files.Take(today)
		if len(fds) == 0 {
			return fmt.Errorf("nothing is kept as %s, only %q", today, child.Files.Names())
		}
		if err := child.Notify.Drop(today); err != nil {
			return err
		}
		for _, fd := range fds {
			if err := child.Notify.Keep(before, fd); err != nil {
				return err
			}
		}
	}
	if err := child.Notify.Ready(""); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-child.Control.Replaced():
	}
	return nil
}

// keepFile has a file that is empty kept under a name.
func keepFile(child *supervise.Child, name string) error {
	f, err := os.Create(filepath.Join(filepath.Dir(os.Args[0]), "empty"))
	if err != nil {
		return err
	}
	defer f.Close()
	return child.Notify.Keep(name, int(f.Fd()))
}

// fillStore has descriptors of no use kept until there is room for none.
func fillStore(ctx context.Context, child *supervise.Child) {
	var err error
	for i := 0; err == nil && ctx.Err() == nil; i++ {
		if err = child.Notify.Keep(fmt.Sprintf("%0250d", i), 0); err == nil {
			err = child.Notify.Sync(ctx)
		}
	}
	for length := 250; err != nil && length > 0; length-- { // what is left has room for one
		if err = child.Notify.Keep(strings.Repeat("x", length), 0); err == nil {
			err = child.Notify.Sync(ctx)
		}
	}
}

// keptName returns today's name of the descriptor of a port ("p") or a host link ("h").
func keptName(kind, id string) string {
	sum := sha256.Sum256([]byte(id))
	return kind + base64.RawURLEncoding.EncodeToString(sum[:9])
}

// replaceProgram puts the program in the place of the one that runs, and has it take over.
func (h *host) replaceProgram(place, program string) {
	h.Helper()
	text, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(place+".new", text, 0o755)
	}
	if err == nil {
		err = os.Rename(place+".new", place)
	}
	if err != nil {
		h.Fatal(err)
	}
	from := h.Daemon.Lines()
	if err := h.Daemon.Signal(syscall.SIGHUP); err != nil {
		h.Fatal(err)
	}
	h.AwaitLog(from, "msg=upgraded")
}

// startReplaceable starts vswitchd from a file that [host.replaceProgram] can replace.
func (h *host) startReplaceable() (place string) {
	h.Helper()
	place = filepath.Join(h.Dir, predecessor)
	if err := os.Link(lab.Program("vswitchd"), place); err != nil {
		h.Fatal(err)
	}
	h.StartBy([]string{"sh", "-c", `program=$0; shift; exec "$program" "$@"`, place})
	return place
}

// replaceByPredecessor has this test binary take over and do what the lines say.
func (h *host) replaceByPredecessor(place string, lines ...string) {
	h.Helper()
	text := strings.Join(lines, "\n") + "\n"
	err := os.WriteFile(filepath.Join(h.Dir, "names"), []byte(text), 0o600)
	if err != nil {
		h.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		h.Fatal(err)
	}
	h.replaceProgram(place, self)
}

// keptNames returns the names of the descriptors that the carrier was given at its start.
func (h *host) keptNames() []string {
	h.Helper()
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", h.Carrier()))
	if err != nil {
		h.Fatal(err)
	}
	for v := range strings.SplitSeq(string(environ), "\x00") {
		if names, found := strings.CutPrefix(v, "LISTEN_FDNAMES="); found {
			return strings.Split(names, ":")
		}
	}
	h.Fatal("the carrier was given no descriptors")
	return nil
}

// TestUpgradeFromLongDescriptorNames: devices that the version before had kept under the ids of
// their ports and segments go on, and are kept under short names.
func TestUpgradeFromLongDescriptorNames(t *testing.T) {
	t.Parallel()
	h := newQuietHost(t)
	place := h.startReplaceable()
	a, b := h.Attach("a"), h.Attach("b")
	var names []string
	for _, id := range []string{a.Port.ID, b.Port.ID} {
		names = append(names, keptName("p", id)+" port-"+id)
	}
	segment := h.Segment("bridge").ID
	names = append(names, keptName("h", segment)+" uplink-"+segment)
	before := h.picture()
	h.replaceByPredecessor(place, names...)
	from := h.Daemon.Lines()
	h.replaceProgram(place, lab.Program("vswitchd"))
	h.isStill(before)
	a.Reaches(b.Addr().String())
	h.Reaches(a.Addr().String())

	h.Harmed()
	h.KillCarrier()
	h.isStill(before)
	a.Reaches(b.Addr().String())
	all := h.keptNames()
	for _, name := range all {
		if len(name) > 15 && !strings.HasPrefix(name, "supervisor") {
			t.Errorf("a descriptor is kept as %s", name)
		}
	}
	// And the API's, the supervisor's two, and those of the counters of ports and of rules.
	if want := 5 + len(names); len(all) != want {
		t.Errorf("%d descriptors are kept, want %d: %q", len(all), want, all)
	}
	for _, line := range strings.Split(h.Daemon.Output(), "\n")[from:] {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "made again") {
			t.Errorf("the log says %s", line)
		}
	}
}

// TestFullDescriptorStore: a port that the supervisor has no room for works, and the log says
// what it goes without.
func TestFullDescriptorStore(t *testing.T) {
	t.Parallel()
	h := newQuietHost(t)
	place := h.startReplaceable()
	a := h.Attach("a")
	h.Harmed()
	h.replaceByPredecessor(place, "fill")
	h.replaceProgram(place, lab.Program("vswitchd"))
	b := h.Attach("b")
	device := "interface=vst-" + b.Port.ID[:8]
	h.AwaitLog(0, "level=WARN", "descriptor not kept", device, "store is full")
	a.Reaches(b.Addr().String())
	h.KillCarrier()
	h.hasState("a", api.PortUp)
	h.hasState("b", api.PortUp)
	a.Reaches(b.Addr().String())
}
