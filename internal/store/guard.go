package store

import (
	"fmt"
	"runtime/debug"
)

// guard runs f, which works on bbolt's memory map, and turns a panic into an
// [ErrDamaged]: bbolt panics on what it cannot explain, and the kernel faults a
// page that was cut off the file or that the disk cannot read any more.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damagef("it changed or became unreadable under the running process: %s", clip(fmt.Sprint(p)))
		}
	}()
	return f()
}
