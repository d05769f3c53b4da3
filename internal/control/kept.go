package control

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
)

// keptKind is what a kept descriptor is the device of. It begins the descriptor's name.
type keptKind string

const (
	keptPort     keptKind = "p"
	keptHostLink keptKind = "h"
)

// keptBytes is how much of an id's hash a name has, as base64: 72 bits in 12 bytes, so that no
// two ids share a name and 8,192 ports with 1,024 segments fit into the 128 KiB that the names
// of all descriptors have (MAX_ARG_STRLEN, include/uapi/linux/binfmts.h).
const keptBytes = 9

// name returns the name under which the device of the port or segment of this id is kept.
func (k keptKind) name(id string) string {
	sum := sha256.Sum256([]byte(id))
	return string(k) + base64.RawURLEncoding.EncodeToString(sum[:keptBytes])
}

// oldPrefixes begin the names that versions before gave, which the id followed. There was no
// room for more than 1,858 of them.
var oldPrefixes = map[keptKind]string{keptPort: "port-", keptHostLink: "uplink-"}

// isDeviceName tells a device's name from that of other descriptors, such as listeners.
func isDeviceName(name string) bool {
	for _, prefix := range oldPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	kind, hash := keptKind(name[:min(1, len(name))]), name[min(1, len(name)):]
	sum, err := base64.RawURLEncoding.DecodeString(hash)
	return err == nil && len(sum) == keptBytes && (kind == keptPort || kind == keptHostLink)
}

// keptDevices are the descriptors of devices that whoever supervises us keeps. It is safe for
// use by several goroutines.
type keptDevices struct {
	keeper Keeper
	kept   Kept

	mu   sync.Mutex
	held map[string]struct{} // names under which descriptors were held for us, and still are
	old  map[string]oldName  // by today's name; those that are still kept under another
	due  map[string]int      // descriptors to be kept with the next catchUp
}

// oldName is the name of a version before, and the descriptor once it is in use.
type oldName struct {
	name string
	fd   int
}

func newKeptDevices(keeper Keeper, kept Kept) *keptDevices {
	return &keptDevices{
		keeper: keeper, kept: kept,
		held: make(map[string]struct{}), old: make(map[string]oldName), due: make(map[string]int),
	}
}

// take returns the descriptors that were kept for the device, under its name or an old one.
func (k *keptDevices) take(kind keptKind, id string) []int {
	name, old := kind.name(id), oldPrefixes[kind]+id
	fds := k.kept.Take(name)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(fds) > 0 && k.held != nil {
		k.held[name] = struct{}{}
	}
	if before := k.kept.Take(old); len(before) > 0 {
		k.old[name] = oldName{name: old, fd: -1}
		fds = append(fds, before...)
	}
	return fds
}

// keep has the device's descriptor kept for the next process. One that was kept for us still is.
// One that is kept under an old name stays so until catchUp.
func (k *keptDevices) keep(kind keptKind, id string, fd int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := kind.name(id)
	if k.isHeld(name, fd) {
		return nil
	}
	return k.keeper.Keep(name, fd)
}

// keepPortSoon is keep of a port's device, but that a descriptor which is not kept yet is so with
// catchUp, before which it must be called.
func (k *keptDevices) keepPortSoon(id string, fd int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if name := keptPort.name(id); !k.isHeld(name, fd) {
		k.due[name] = fd
	}
}

// isHeld reports whether the descriptor is kept, under whatever name. It is called with mu held.
func (k *keptDevices) isHeld(name string, fd int) bool {
	if old, named := k.old[name]; named {
		k.old[name] = oldName{name: old.name, fd: fd}
		return true
	}
	_, held := k.held[name]
	return held
}

// drop has the device's descriptors forgotten.
func (k *keptDevices) drop(kind keptKind, id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := kind.name(id)
	delete(k.held, name)
	delete(k.due, name)
	var err error
	if old, ok := k.old[name]; ok {
		delete(k.old, name)
		err = k.keeper.Drop(old.name)
	}
	return errors.Join(err, k.keeper.Drop(name))
}

// catchUp has what is due kept, and what is kept under old names kept under today's. Call it once
// this process has proved itself: the program before, to which a failed upgrade goes back, knows
// only its own names. Old names go first, since both may not fit; who dies between the two finds
// the device by its interface.
func (k *keptDevices) catchUp() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for name, old := range k.old {
		if old.fd >= 0 {
			errs = append(errs, k.keeper.Drop(old.name), k.keeper.Keep(name, old.fd))
		}
	}
	clear(k.old)
	for name, fd := range k.due {
		errs = append(errs, k.keeper.Keep(name, fd))
	}
	clear(k.due)
	k.held = nil // what is kept from here on was dropped before
	return errors.Join(errs...)
}

// sync returns once all of that is done; an error says what could not be kept.
func (k *keptDevices) sync() error { return k.keeper.Sync(context.Background()) }
