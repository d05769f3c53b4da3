package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// namePrefix begins the names of all links and namespaces that tests make.
const namePrefix = "vst-"

// ownPrefix begins the names that this process makes, 10 bytes long: process
// numbers have at most 22 bits (PID_MAX_LIMIT, include/linux/threads.h).
func ownPrefix() string { return fmt.Sprintf("%s%06x", namePrefix, os.Getpid()) }

// inventory is what a test may leave behind, goroutines aside.
type inventory struct {
	descriptors map[int]string  // what each open descriptor refers to
	namespaces  map[string]bool // of this process, by name under /run/netns
	links       map[int]string  // names of the links in the thread's namespace, by index
	thread      string          // the thread's network namespace, as "net:[inode]"
}

func takeInventory() (inventory, error) {
	descriptors, err := openDescriptors()
	if err != nil {
		return inventory{}, fmt.Errorf("list open descriptors: %w", err)
	}
	namespaces, err := ownNamespaces()
	if err != nil {
		return inventory{}, fmt.Errorf("list network namespaces: %w", err)
	}
	thread, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return inventory{}, fmt.Errorf("read the thread's network namespace: %w", err)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return inventory{}, fmt.Errorf("list links: %w", err)
	}
	links := make(map[int]string, len(interfaces))
	for _, link := range interfaces {
		links[link.Index] = link.Name
	}
	return inventory{descriptors, namespaces, links, thread}, nil
}

// openDescriptors says what each descriptor of this process refers to, as in
// "/dev/net/tun" or "socket:[12345]".
func openDescriptors() (map[int]string, error) {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	open := make(map[int]string, len(entries))
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			return nil, err
		}
		target, err := os.Readlink(filepath.Join(dir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed meanwhile, as the one that read the directory
		}
		if err != nil {
			return nil, err
		}
		open[fd] = target
	}
	return open, nil
}

// tapName is the link behind a descriptor of /dev/net/tun, which the kernel
// shows in fdinfo (tun_chr_show_fdinfo, drivers/net/tun.c); empty for others.
func tapName(fd int) string {
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(info)) {
		if name, found := strings.CutPrefix(line, "iff:\t"); found {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

// ownNamespaces are the named network namespaces that this process made.
func ownNamespaces() (map[string]bool, error) {
	entries, err := os.ReadDir(namespaceDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	own := make(map[string]bool)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ownPrefix()) {
			own[entry.Name()] = true
		}
	}
	return own, nil
}
