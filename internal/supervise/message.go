package supervise

import "strings"

// message is one notification, with the assignments of sd_notify(3) that the
// supervisor knows. Others are ignored, as systemd ignores them.
type message struct {
	ready, reloading, watchdog bool
	store, remove, barrier     bool
	name                       string // of the descriptors to store or remove
	status                     string
	hasStatus                  bool

	fds []int // closed by close, unless taken
	pid int   // of the sender
}

func parseMessage(text string) message {
	m := message{name: "stored"} // the name that sd_notify(3) gives by default
	for line := range strings.SplitSeq(text, "\n") {
		key, value, _ := strings.Cut(line, "=")
		switch key {
		case "READY":
			m.ready = value == "1"
		case "RELOADING":
			m.reloading = value == "1"
		case "WATCHDOG":
			m.watchdog = value == "1"
		case "FDSTORE":
			m.store = value == "1"
		case "FDSTOREREMOVE":
			m.remove = value == "1"
		case "BARRIER":
			m.barrier = value == "1"
		case "FDNAME":
			m.name = value
		case "STATUS":
			m.status, m.hasStatus = value, true
		}
	}
	return m
}

func (m *message) close() {
	closeAll(m.fds)
	m.fds = nil
}
