package frame

// Status is what a device says of one frame read or written.
type Status uint8

// The outcomes. A reader sees OK, Again and Gone; a writer all of them.
const (
	OK       Status = iota // the frame was read or taken
	Again                  // nothing waits to be read, or the queue has no room
	Down                   // the interface is administratively down: the frame is lost
	Rejected               // the frame or its virtio header was refused: the frame is lost
	Gone                   // the device no longer exists; it will not come back
)
