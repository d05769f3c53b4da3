package supervise

import (
	"fmt"
	"strings"
)

const (
	// controlName is the name under which a child inherits its end of the
	// socket to the supervisor.
	controlName = "supervisor"
	// notifyName is that of the file which NOTIFY_SOCKET means; see listener.
	notifyName = "supervisor-notify"
	// maxName is FDNAME_MAX (systemd, src/basic/fd-util.h).
	maxName = 255
)

// checkName says why name cannot be a descriptor's, by the rules of FDNAME= in
// sd_notify(3).
func checkName(name string) error {
	switch {
	case name == "" || len(name) > maxName:
		return fmt.Errorf("descriptor name %.40q has %d bytes: give 1 to %d", name, len(name), maxName)
	case name == controlName || name == notifyName:
		return fmt.Errorf("descriptor name %q is the supervisor's own: give another", name)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r >= 0x7f || r == ':' }):
		return fmt.Errorf("descriptor name %q: give printable ASCII without a colon", name)
	}
	return nil
}
