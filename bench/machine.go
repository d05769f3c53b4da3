package bench

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/bench/peer"
	"vswitch/bench/report"
)

// thisMachine describes what a run takes place on. What can't be found out stays
// empty.
func thisMachine(l *peer.Lab) report.Machine {
	m := report.Machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), Tools: make(map[string]string)}
	m.CPU = fieldOf("/proc/cpuinfo", "model name", ":")
	m.OS = strings.Trim(fieldOf("/etc/os-release", "PRETTY_NAME", "="), `"`)
	kib, _, _ := strings.Cut(fieldOf("/proc/meminfo", "MemTotal", ":"), " ")
	if n, err := strconv.Atoi(kib); err == nil {
		m.MemoryMiB = n / 1024
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if path, err := l.Vswitchd(); err == nil {
		m.Version = versionOf(path, "--version")
	}
	for tool, command := range map[string][]string{
		"iperf3": {"iperf3", "--version"}, "ping": {"ping", "-V"}, "iproute2": {"ip", "-V"},
		"ovs": {"ovs-vswitchd", "--version"}, "vde": {"vde_switch", "--version"},
		"docker": {"dockerd", "--version"},
	} {
		if path, err := peer.FindProgram(command[0]); err == nil {
			m.Tools[tool] = versionOf(path, command[1])
		}
	}
	return m
}

// fieldOf is what stands behind the first line's key in a file of "key: value" lines.
func fieldOf(path, key, separator string) string {
	data, _ := os.ReadFile(path)
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(line, separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// versionOf is the first line that a program prints about itself.
func versionOf(path, flag string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, path, flag).CombinedOutput()
	line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	return string(bytes.TrimSpace(line))
}
