package api

// Kinds of forwarding table entry and of binding.
const (
	Dynamic = "dynamic" // learned from traffic; ages
	Static  = "static"  // set by hand or by the switch itself; stays
)

// FDBEntry says behind which port of a segment a MAC address is.
type FDBEntry struct {
	Segment    string `json:"segment"` // name
	MAC        string `json:"mac"`
	Port       string `json:"port"`        // name
	Kind       string `json:"kind"`        // [Dynamic] or [Static]
	AgeSeconds int    `json:"age_seconds"` // since the address was last seen; 0 for static entries
}

// FDBSpec asks for a static entry.
type FDBSpec struct {
	MAC  string `json:"mac"`
	Port string `json:"port"` // name, id or id prefix
}

// FDBFlush asks to forget learned entries; static ones stay.
type FDBFlush struct {
	Port string `json:"port,omitempty"` // name, id or id prefix; empty is every port of the segment
}

// FDBFlushed says how many entries a flush removed.
type FDBFlushed struct {
	Flushed int `json:"flushed"`
}
