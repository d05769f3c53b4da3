package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// DefaultSysctlDir is where the kernel's settings are (proc_sys(5)).
const DefaultSysctlDir = "/proc/sys"

func (t *Table) forwardingPath() string { return filepath.Join(t.sysctl, "net/ipv4/ip_forward") }

func (t *Table) localnetPath(link string) string {
	return filepath.Join(t.sysctl, "net/ipv4/conf", link, "route_localnet")
}

// sysctls sets what c needs: forwarding, and that links with ports published on
// 127.0.0.1 let its connections through. These are the settings of the namespace
// of the calling thread.
func (t *Table) sysctls(c Config) error {
	if len(c.Segments) > 0 {
		if err := t.enableForwarding(c.NoDrop); err != nil {
			return err
		}
	}
	loopback := make(map[string]bool) // by link
	for _, f := range c.Forwards {
		if f.loopback() {
			loopback[f.Link] = true
		}
	}
	for _, s := range c.Segments {
		if err := t.setLocalnet(s.Link, loopback[s.Link]); err != nil {
			return err
		}
	}
	return nil
}

// enableForwarding is never undone: whoever came after us, such as Docker, found forwarding
// on, and relies on it.
func (t *Table) enableForwarding(noDrop bool) error {
	value, err := read(t.forwardingPath())
	if err != nil || value == "1" {
		return err
	}
	if err := write(t.forwardingPath(), "1"); err != nil {
		return err
	}
	t.log.Info("forwarding of IPv4 enabled", "sysctl", "net.ipv4.ip_forward", "before", value,
		"between_other_networks", noDrop)
	return nil
}

// setLocalnet sets route_localnet of a link, which is ours alone. A link that is not
// there has it off; the next Apply after it was made sets it.
func (t *Table) setLocalnet(link string, on bool) error {
	path, value := t.localnetPath(link), "0"
	if on {
		value = "1"
	}
	now, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		delete(t.localnet, link)
		return nil
	}
	if err == nil && now != value {
		err = write(path, value)
	}
	if err != nil {
		return err
	}
	t.localnet[link] = on
	return nil
}

// restoreSysctls puts back what was set for our own links.
func (t *Table) restoreSysctls() error {
	var errs []error
	for link, on := range t.localnet {
		if on {
			errs = append(errs, t.setLocalnet(link, false))
		}
	}
	return errors.Join(errs...)
}

func read(path string) (string, error) {
	value, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read a setting of the kernel: %w", err)
	}
	return strings.TrimSpace(string(value)), nil
}

func write(path, value string) error {
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("set a setting of the kernel to %s: %w", value, err)
	}
	return nil
}
