package api

// Kinds of forwarding table entry.
const (
	// Dynamic is learned from traffic. It ages, moves with the host, and is flushed.
	Dynamic = "dynamic"
	// Own is the MAC of a port or of the gateway, which the switch enters itself. It stays
	// while the port exists: it does not age, and is neither flushed nor deleted.
	Own = "own"
	// Static was added by hand. It stays until it or its port is deleted.
	Static = "static"
)

// FDBEntry says behind which port of a segment a MAC address is.
type FDBEntry struct {
	Segment    string `json:"segment"` // name
	MAC        string `json:"mac"`
	Port       string `json:"port"`        // name
	Kind       string `json:"kind"`        // [Dynamic], [Own] or [Static]
	AgeSeconds int    `json:"age_seconds"` // since a dynamic one was last seen; 0 for the others
}

// FDBSpec asks for a static entry.
type FDBSpec struct {
	MAC  string `json:"mac"`
	Port string `json:"port"` // name, id or id prefix
}

// FDBFlush asks to forget dynamic entries; own and static ones stay.
type FDBFlush struct {
	Port string `json:"port,omitempty"` // name, id or id prefix; empty is every port of the segment
}

// FDBFlushed says how many entries a flush removed.
type FDBFlushed struct {
	Flushed int `json:"flushed"`
}
