package lab

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// packages maps a command to the Debian package that has it.
var packages = map[string]string{
	"busybox":  "busybox-static",
	"dig":      "bind9-dnsutils",
	"ethtool":  "ethtool",
	"ip":       "iproute2",
	"iperf3":   "iperf3",
	"iptables": "iptables",
	"nft":      "nftables",
	"nsenter":  "util-linux",
	"ping":     "iputils-ping",
	"socat":    "socat",
	"tc":       "iproute2",
}

// RequireRoot skips the test when it does not run as root, and fails it when it
// does but without the capabilities that namespaces and links need, as in a
// container without --privileged.
func RequireRoot(tb testing.TB) {
	tb.Helper()
	caps, err := effectiveCapabilities()
	if err != nil {
		tb.Fatalf("read the capabilities of this process: %v", err)
	}
	skip, problem := privileges(os.Geteuid(), caps)
	if skip != "" {
		tb.Skip(skip)
	}
	if problem != "" {
		tb.Fatal(problem)
	}
}

// privileges says why the test must be skipped or must fail; both are empty
// when it can run.
func privileges(euid int, caps uint32) (skip, problem string) {
	if euid != 0 {
		return "NOT RUN: needs root; run: sudo make test", ""
	}
	for _, c := range []struct {
		bit  int
		name string
	}{{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}} {
		if caps&(1<<c.bit) == 0 {
			return "", fmt.Sprintf("runs as root but without %s; in a container, start it with --privileged", c.name)
		}
	}
	return "", ""
}

// effectiveCapabilities is the set of the calling thread's capabilities 0 to 31
// (capabilities(7)).
func effectiveCapabilities() (uint32, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // version 3 fills two
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return 0, err
	}
	return sets[0].Effective, nil
}

// RequireCommand wants each of the named commands in PATH. As root a missing
// one fails the test; otherwise it skips the test. Either way the message names
// the Debian package.
func RequireCommand(tb testing.TB, names ...string) {
	tb.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		pkg, known := packages[name]
		if !known {
			pkg = "that has " + name
		}
		message := fmt.Sprintf("command %s is missing: install the Debian package %s, or run: make deps", name, pkg)
		if os.Geteuid() != 0 {
			tb.Skip("NOT RUN: " + message)
		}
		tb.Fatal(message)
	}
}
