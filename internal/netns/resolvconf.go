package netns

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// ResolvConfDir is where "ip netns exec" looks for files of a namespace that take
// the place of those in /etc (ip-netns(8)).
const ResolvConfDir = "/etc/netns"

// resolvConfMark begins a file that is ours; the id of whom it was written for
// follows.
const resolvConfMark = "# Written by vswitchd, which removes it with port "

// WriteResolvConf writes the resolv.conf of the namespace of this name for whoever
// has this id: the nameserver alone, and names without a dot are asked for as they
// are. A file that was not written by us, or for another id that held says is
// still there, stays; the error then wraps [ErrNotOurs].
func WriteResolvConf(dir, name, id string, nameserver netip.Addr, held func(id string) bool) error {
	path, err := resolvConfPath(dir, name)
	if err != nil {
		return err
	}
	switch owner, err := resolvConfOwner(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look at %s: %w", path, err)
	case owner == "":
		return &kindError{path + " is there already and not ours: remove it, or do without one", ErrNotOurs}
	case owner != id && held(owner):
		return &kindError{path + " was written for another port of the namespace: do without one", ErrNotOurs}
	}
	text := resolvConfMark + id + "\nnameserver " + nameserver.String() + "\noptions ndots:0\n"
	if err := writeWhole(path, []byte(text)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// RemoveResolvConf removes what WriteResolvConf wrote for this id, and leaves any
// other file alone.
func RemoveResolvConf(dir, name, id string) error {
	path, err := resolvConfPath(dir, name)
	if err != nil {
		return err
	}
	if owner, err := resolvConfOwner(path); err != nil || owner != id {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(filepath.Dir(path)) // fails when others have files there
	return nil
}

func resolvConfPath(dir, name string) (string, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("%q is not the name of a network namespace: give one as in \"ip netns list\"", name)
	}
	return filepath.Join(dir, name, "resolv.conf"), nil
}

// resolvConfOwner is the id that a file of ours was written for, "" for any other
// file. Anything but a regular one, such as a link to the host's own, is not ours.
func resolvConfOwner(path string) (id string, err error) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return "", err
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	const most = 4096 // bytes; ours are shorter
	text, err := io.ReadAll(io.LimitReader(file, most))
	line, _, _ := strings.Cut(string(text), "\n")
	if id, ok := strings.CutPrefix(line, resolvConfMark); ok {
		return id, err
	}
	return "", err
}

// writeWhole makes a file that others see with all its text or not at all.
func writeWhole(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".resolv.conf-*")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
