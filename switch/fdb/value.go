package fdb

// Place is where an address is: the slot of a port of this switch (1 to [MaxSlot]), or a
// remote host, whose index [Remote] turns into a Place. [Nowhere] is neither.
type Place uint32

const (
	// Nowhere is the place of an address whose port is gone.
	Nowhere Place = 0
	// MaxSlot is the highest slot of a port.
	MaxSlot = 1<<16 - 1

	remoteBit = 1 << 16
	numPlaces = 1 << 17
)

// Remote is the place of the remote host with that index.
func Remote(host uint16) Place { return remoteBit | Place(host) }

// IsRemote reports whether p is a remote host.
func (p Place) IsRemote() bool { return p&remoteBit != 0 }

// Host is the index of the remote host p; valid iff [Place.IsRemote].
func (p Place) Host() uint16 { return uint16(p) }

// Kind says who made an entry, and so whether it ages and moves.
type Kind uint8

// The kinds of an entry.
const (
	// None is the kind of the zero Value: there is no entry.
	None Kind = iota
	// Learned entries come from the source address of a frame, age, and move with the
	// next frame from elsewhere. One at [Nowhere] keeps the frames for a port that was
	// removed from being flooded.
	Learned
	// Own entries are those of a port's own address, and last as long as the port. They
	// do not age. One that is not locked moves with a frame from elsewhere, and is a
	// learned one then.
	Own
	// Static entries are set by hand. They do not age or move.
	Static
	// RemoteHost entries are announced by another host (EVPN, RFC 7432). They do not age,
	// and move with the next announcement only.
	RemoteHost
)

// Value is an entry: where an address is, of what kind, and when it was last seen. The zero
// Value is no entry.
//
//	tick (32 bits) | kind (3) | locked (1) | unused (11) | place (17)
type Value uint64

const (
	lockedBit = 1 << 28
	kindShift = 29
	tickShift = 32
	placeMask = numPlaces - 1
)

func value(kind Kind, place Place, tick uint32) Value {
	return Value(tick)<<tickShift | Value(kind)<<kindShift | Value(place)
}

// Place is where the address is.
func (v Value) Place() Place { return Place(v & placeMask) }

// Kind is the entry's kind, [None] of the zero Value.
func (v Value) Kind() Kind { return Kind(v >> kindShift & 7) }

// Locked reports whether no frame from elsewhere may have the address as its source: it is
// the own address of a port whose security says so.
func (v Value) Locked() bool { return v&lockedBit != 0 }

// moves reports whether the entry moves with the next frame from elsewhere.
func (v Value) moves() bool {
	return v.Kind() == Learned || v.Kind() == Own && !v.Locked()
}

// Tick is when a learned address was last seen, in the ticks given to [Table.Learn].
func (v Value) Tick() uint32 { return uint32(v >> tickShift) }

// Age is for how many ticks a learned address has not been seen: 0 where a worker has seen
// it at a later tick than now, and for entries of other kinds.
func (v Value) Age(now uint32) uint32 {
	if v.Kind() != Learned {
		return 0
	}
	return uint32(max(0, int32(now-v.Tick())))
}

// Key is the key of the 48-bit address mac on a segment: the address in the upper 48 bits.
// A segment's number is never 0.
func Key(mac uint64, segment uint16) uint64 { return mac<<16 | uint64(segment) }

// KeyMAC is the address in a key.
func KeyMAC(key uint64) uint64 { return key >> 16 }

// KeySegment is the segment in a key.
func KeySegment(key uint64) uint16 { return uint16(key) }
