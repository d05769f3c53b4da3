package tap

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// What callers tell apart.
var (
	ErrBusy    = errors.New("another descriptor holds it")
	ErrDeleted = errors.New("the link was deleted")
)

// clonePath is the device that every TAP descriptor begins as. The namespace of
// the thread that opens it is the one where names are looked up and made
// (drivers/net/tun.c, tun_chr_open).
const clonePath = "/dev/net/tun"

func openClone() (int, error) {
	fd, err := unix.Open(clonePath, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return -1, fmt.Errorf("open %s: %w: load the tun module (modprobe tun) or give the container the device", clonePath, err)
	}
	return -1, fmt.Errorf("open %s: %w", clonePath, explain(err))
}

// OpenUnattached opens a file of the kernel's TAP driver that is attached to no device: each read
// and write of it fails with EBADFD (drivers/net/tun.c, tun_chr_read_iter), once the kernel has
// done with it all that it does for an attached one before.
func OpenUnattached() (*os.File, error) {
	fd, err := openClone()
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), clonePath), nil
}

// setInterface is TUNSETIFF, which attaches to a link of this name or makes one.
func setInterface(fd int, name string, flags uint16) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(flags)
	switch err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: %w; end the process that does", err, ErrBusy)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: the link of that name is not a tap device of one queue", err)
	case err != nil:
		return explain(err)
	}
	return nil
}

func setPersist(fd int, persist bool) error {
	value := 0
	if persist {
		value = 1
	}
	return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, value)
}

// linkExists asks for the name's index in the calling thread's namespace.
func linkExists(name string) (bool, error) {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open a socket to look for the link: %w", err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return false, err
	}
	switch err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, ifr); {
	case errors.Is(err, unix.ENODEV):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for the link: %w", err)
	}
	return true, nil
}

// checkCapability asks whether the calling thread has CAP_NET_ADMIN.
func checkCapability() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // the second holds capabilities 32 and up
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read the capabilities of this thread: %w", err)
	}
	if sets[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return explain(unix.EPERM)
	}
	return nil
}

// explain adds to a refusal what would mend it.
func explain(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: this needs CAP_NET_ADMIN; run as root", err)
	}
	return err
}

// checkName holds a name that we give a link against dev_valid_name (net/core/dev.c), and refuses
// '%' as well, from which the kernel would make a name of its own, and control characters.
func checkName(name string) error {
	if err := checkGiven(name); err != nil {
		return err
	}
	for _, c := range []byte(name) {
		if c < ' ' || c == 0x7f {
			return holds(c)
		}
	}
	return nil
}

func holds(c byte) error {
	return fmt.Errorf("the name holds %q: leave out '/', ':', '%%', spaces and control characters", c)
}

// checkGiven is checkName of what others may have called a link.
func checkGiven(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty: give 1 to 15 bytes")
	case len(name) >= unix.IFNAMSIZ:
		return fmt.Errorf("the name has %d bytes: give 15 at most", len(name))
	case name == "." || name == "..":
		return errors.New("the kernel reserves that name: choose another")
	}
	for _, c := range []byte(name) {
		// 0xa0 is a space to the kernel (lib/ctype.c), inside UTF-8 as well.
		if c == 0 || c >= '\t' && c <= '\r' || c == ' ' || c == 0xa0 || c == '/' || c == ':' || c == '%' {
			return holds(c)
		}
	}
	return nil
}
