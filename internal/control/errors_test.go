package control

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"vswitch/api"
	"vswitch/internal/ipam"
	"vswitch/internal/netns"
	vswitch "vswitch/switch"
)

// TestErrorsHaveTheirKinds: what users are told depends on it, and scripts that ask for it.
func TestErrorsHaveTheirKinds(t *testing.T) {
	t.Parallel()
	other := errors.New("no idea")
	for name, test := range map[string]struct {
		convert func(error) error
		kinds   map[error]api.Kind
	}{
		"addresses": {ipamError, map[error]api.Kind{
			ipam.ErrInvalid: api.Invalid, ipam.ErrOutside: api.Invalid,
			ipam.ErrOverlap: api.Conflict, ipam.ErrInUse: api.Conflict,
			ipam.ErrExhausted: api.Exhausted, ipam.ErrFull: api.Exhausted, other: api.Internal,
		}},
		"switch": {switchError, map[error]api.Kind{
			vswitch.ErrTooMany: api.Exhausted, vswitch.ErrClosed: api.Unavailable, other: api.Internal,
		}},
		"namespaces": {kernelError, map[error]api.Kind{
			netns.ErrNoNamespace: api.NotFound, netns.ErrNotNamespace: api.Invalid,
			netns.ErrLinkExists: api.Conflict, fs.ErrPermission: api.Denied, syscall.EPERM: api.Denied,
			other: api.Internal,
		}},
		"devices": {deviceError, map[error]api.Kind{
			fs.ErrNotExist: api.Unsupported, syscall.ENODEV: api.Unsupported, syscall.ENXIO: api.Unsupported,
			syscall.EACCES: api.Denied, fs.ErrExist: api.Conflict, netns.ErrLinkExists: api.Conflict, other: api.Internal,
		}},
	} {
		for err, kind := range test.kinds {
			wrapped := fmt.Errorf("make it: %w", err)
			got := test.convert(wrapped)
			if api.KindOf(got) != kind {
				t.Errorf("%s: %v is %s, want %s", name, err, api.KindOf(got), kind)
			}
			if !errors.Is(err, vswitch.ErrClosed) && (!errors.Is(got, err) || got.Error() != wrapped.Error()) {
				t.Errorf("%s: %q has become %q", name, wrapped, got)
			}
		}
	}
}
