package ipam

import (
	"errors"
	"fmt"
)

// What callers tell apart with [errors.Is]. The text of a returned error is a
// whole sentence of its own and does not repeat these.
var (
	// ErrInvalid marks a value that can never be right here.
	ErrInvalid = errors.New("invalid value")
	// ErrOverlap marks a prefix that shares addresses with another one.
	ErrOverlap = errors.New("prefixes overlap")
	// ErrExhausted says that no default pool has a free block left.
	ErrExhausted = errors.New("address pools exhausted")
	// ErrOutside marks a requested address that is not in the subnet.
	ErrOutside = errors.New("address outside the subnet")
	// ErrInUse marks an address that is leased or reserved, or a subnet that
	// still has leases.
	ErrInUse = errors.New("in use")
	// ErrFull says that no address is left for an automatic lease.
	ErrFull = errors.New("subnet full")
	// ErrNotLeased marks an address to release that is not leased.
	ErrNotLeased = errors.New("address not leased")
)

// failure is a sentence for the user together with its kind for the caller.
type failure struct {
	kind error
	text string
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

func failf(kind error, format string, args ...any) error {
	return &failure{kind: kind, text: fmt.Sprintf(format, args...)}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
