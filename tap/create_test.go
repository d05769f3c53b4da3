package tap

import (
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
	"vswitch/test/lab"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "vst-0123456789", "fifteen-bytes-x", "a.b_c", "..."} {
		if err := checkName(good); err != nil {
			t.Errorf("checkName(%q) refuses: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"": "empty", "sixteen-bytes-xx": "16 bytes: give 15", ".": "reserves", "..": "reserves", "a/b": "'/'", "a:b": "':'",
		"a b": "' '", "a\x00b": `'\x00'`, "tap%d": "'%'", "a\tb": `'\t'`, "\u00e0": `'\u00a0'`,
	} {
		if err := checkName(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("checkName(%q) says %v, want mention of %s", bad, err, want)
		}
	}
}

func TestCreateTurnsOnOffloads(t *testing.T) {
	t.Parallel()
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		d, err := Create("vst-offload", Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if !d.Offloads().Has(Checksum | TSO4 | TSO6 | TSOECN) {
			t.Errorf("offloads %s, want csum,tso4,tso6,ecn at least", d.Offloads())
		}
		if d.Name() != "vst-offload" || !slices.Contains(links(t), "vst-offload") {
			t.Errorf("asked for vst-offload, got %s among %q", d.Name(), links(t))
		}
	})
}

func TestCreateRefusesATakenName(t *testing.T) {
	t.Parallel()
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		// A persistent device that nobody holds is what TUNSETIFF would take over.
		d := mustCreate(t, ns, Options{Persist: true})
		d.Close()
		for _, taken := range []string{d.Name(), "lo"} {
			_, err := Create(taken, Options{})
			if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "choose another name") {
				t.Errorf("Create(%q) says %v, want that the name is taken", taken, err)
			}
			if !slices.Contains(links(t), taken) {
				t.Errorf("the link %s, which was there before, is gone", taken)
			}
		}
	})
}

// TestCreateUndoes has Create fail after the link was made: before TUNSETIFF, as
// when another process is quicker, and after it.
func TestCreateUndoes(t *testing.T) {
	alone(t)
	failure := errors.New("the step fails")
	steps := map[string]func(int, string, Options) (*Device, error){
		"before it is attached": func(int, string, Options) (*Device, error) { return nil, failure },
		"once it is attached": func(fd int, name string, _ Options) (*Device, error) {
			if _, err := attach(fd, name, Options{Persist: true}); err != nil {
				return nil, err
			}
			return nil, failure
		},
	}
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		for when, step := range steps {
			if _, err := create(lab.UniqueName(), Options{}, step); err == nil || err.Error() != failure.Error() {
				t.Errorf("%s: create says %v, want %q alone", when, err, failure)
			}
			if got := links(t); len(got) != 1 {
				t.Errorf("%s: links %q are left, want lo alone", when, got)
			}
		}
	})
}

func TestCreateWithoutCapability(t *testing.T) {
	t.Parallel()
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var had, reduced [2]unix.CapUserData
		if err := unix.Capget(&header, &had[0]); err != nil {
			t.Fatal(err)
		}
		reduced = had
		reduced[0].Effective &^= 1 << unix.CAP_NET_ADMIN
		if err := unix.Capset(&header, &reduced[0]); err != nil {
			t.Fatal(err)
		}
		_, err := Create(lab.UniqueName(), Options{})
		if err := unix.Capset(&header, &had[0]); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_ADMIN; run as root") {
			t.Errorf("Create says %v, want that it needs CAP_NET_ADMIN", err)
		}
		if got := links(t); len(got) != 1 {
			t.Errorf("links %q are left, want lo alone", got)
		}
	})
}

func TestMissingCloneDevice(t *testing.T) {
	t.Parallel()
	ns := lab.NewNamespace(t)
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its mounts
		result <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				return err
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return err
			}
			if err := unix.Mount("none", "/dev/net", "tmpfs", 0, ""); err != nil {
				return err
			}
			_, err := Create(ns.Name(), Options{})
			return err
		}()
	}()
	err := <-result
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "load the tun module") {
		t.Errorf("Create says %v, want what to do about the missing /dev/net/tun", err)
	}
}

func TestAttachTakesAPersistentDeviceOver(t *testing.T) {
	alone(t)
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		first := mustCreate(t, ns, Options{Persist: true})
		if _, err := Attach(first.Name(), Options{}); !errors.Is(err, unix.EBUSY) {
			t.Errorf("Attach to a device that is in use says %v, want busy", err)
		}
		first.Close()
		second, err := Attach(first.Name(), Options{Persist: true})
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		// The virtio-net header is in use again: without it this were refused.
		if s := write(second, testFrame("")); s != frame.OK {
			t.Errorf("writing says %d after Attach, want OK", s)
		}
		if err := second.SetPersist(false); err != nil {
			t.Fatal(err)
		}
		second.Close()
		if got := links(t); len(got) != 1 {
			t.Errorf("links %q are left, want lo alone", got)
		}
	})
}

func TestAttachRefuses(t *testing.T) {
	t.Parallel()
	ns := lab.NewNamespace(t)
	ns.Run("ip", "tuntap", "add", "vst-tun", "mode", "tun")
	ns.Do(func() {
		for name, want := range map[string]string{
			"vst-missing": "no link of that name",
			"lo":          "not a tap device",
			"vst-tun":     "not a tap device",
			"a/b":         "leave out '/'",
		} {
			before := links(t)
			_, err := Attach(name, Options{})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Attach(%q) says %v, want %q", name, err, want)
			}
			if errors.Is(err, fs.ErrNotExist) != (name == "vst-missing") {
				t.Errorf("Attach(%q) says %v: that should be ErrNotExist for a missing link alone", name, err)
			}
			if after := links(t); !slices.Equal(before, after) {
				t.Errorf("Attach(%q) made of links %q %q", name, before, after)
			}
		}
	})
}

// TestAttachTakesAnyNameThatTheKernelHas: a container may have called the link so.
func TestAttachTakesAnyNameThatTheKernelHas(t *testing.T) {
	t.Parallel()
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		for _, name := range []string{"\x1b[31m\x07", "eth\xff", "e\u2028h", "\x7f"} {
			ns.Run("ip", "tuntap", "add", "vst-0", "mode", "tap")
			ns.Run("ip", "link", "set", "vst-0", "name", name)
			d, err := Attach(name, Options{})
			if err != nil {
				t.Error(err)
				continue
			}
			if now, err := d.LinkName(); err != nil || now != name {
				t.Errorf("it is called %q, %v; want %q", now, err, name)
			}
			d.Close()
		}
	})
}

// TestAttachNeverMakesALink has the link vanish behind the first look.
func TestAttachNeverMakesALink(t *testing.T) {
	alone(t)
	ns := lab.NewNamespace(t)
	ns.Do(func() {
		fd, err := openClone()
		if err != nil {
			t.Fatal(err)
		}
		_, err = attach(fd, "vst-missing", Options{Persist: true})
		unix.Close(fd)
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("attach says %v, want ErrNotExist", err)
		}
		if got := links(t); len(got) != 1 {
			t.Errorf("links %q are left, want lo alone", got)
		}
	})
}

func TestOffloadsString(t *testing.T) {
	t.Parallel()
	for o, want := range map[Offloads]string{
		0: "none", TSO4: "tso4", baseOffloads: "csum,tso4,tso6,ecn",
		plainOffloads: "csum,tso4,tso6,ecn,uso4,uso6", tunnelOffloads: "csum,tso4,tso6,ecn,uso4,uso6,tunnel",
	} {
		if got := o.String(); got != want {
			t.Errorf("Offloads(%#x) is %q, want %q", uint(o), got, want)
		}
	}
}
