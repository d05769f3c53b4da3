package store

import (
	"errors"
	"fmt"
	"runtime/debug"

	"vswitch/internal/wellformed"
)

// guard runs f, which works on bbolt's memory map, and turns a panic into an
// [ErrDamaged]: bbolt panics on what it cannot explain, and the kernel faults a
// page that was cut off the file or that the disk cannot read any more.
func guard(f func() error) error {
	err := rescue(f)
	if p := new(panicError); errors.As(err, p) {
		return damagef("it changed or became unreadable under the running process: %s", wellformed.Clip(p.Error()))
	}
	return err
}

// rescue turns a panic of f, or a fault, into a panicError.
func rescue(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = panicError(fmt.Sprint(p))
		}
	}()
	return f()
}

// panicError is the value of a panic.
type panicError string

func (e panicError) Error() string { return string(e) }
