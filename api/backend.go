package api

import (
	"context"
	"io"
)

// Backend is what the server offers and what a client sees.
//
// A ref is a name, an id or a unique id prefix; resolving it is the backend's
// task. Each mutation returns the resulting object, a deletion the object as it
// last was. Methods may be called concurrently. When ctx ends, a mutation either
// completes or leaves everything as it was. Errors are of type [Error]; the server
// reports any other as internal.
type Backend interface {
	// Version describes the daemon.
	Version(ctx context.Context) (Version, error)
	// Workers lists the threads that carry frames, in their order.
	Workers(ctx context.Context) ([]Worker, error)
	// Upgrade replaces the running daemon by another program, without a path by what is
	// there now where it came from, which takes the ports over. It returns an error, and
	// the daemon goes on, when that program does not come up, or when the caller is not root
	// ([CallerIsRoot]) and the program is none that root has installed; Unsupported when
	// nobody supervises the daemon.
	Upgrade(ctx context.Context, spec UpgradeSpec) error
	// Upgrades lists the last upgrades, in order; Unsupported when nobody supervises the
	// daemon, or a process of a version that does not tell.
	Upgrades(ctx context.Context) ([]Upgrade, error)
	// Backup writes a copy of the state as it is at one moment, which vswitchd
	// --restore reads.
	Backup(ctx context.Context, w io.Writer) error

	// AddSegment creates a segment; Conflict when the name or the subnet is taken,
	// Exhausted when no pool is free.
	AddSegment(ctx context.Context, spec SegmentSpec) (Segment, error)
	// Segments lists all segments.
	Segments(ctx context.Context) ([]Segment, error)
	// Segment finds one segment; NotFound, or Conflict when an id prefix is ambiguous.
	Segment(ctx context.Context, ref string) (Segment, error)
	// UpdateSegment changes what update sets.
	UpdateSegment(ctx context.Context, ref string, update SegmentUpdate) (Segment, error)
	// DeleteSegment removes a segment; Conflict when ports are on it, which force
	// removes first.
	DeleteSegment(ctx context.Context, ref string, force bool) (Segment, error)

	// AddPort attaches a container and configures its interface; NotFound for the
	// segment or the namespace, Conflict when name, address or interface is taken,
	// Exhausted when the pool is empty.
	AddPort(ctx context.Context, spec PortSpec) (Port, error)
	// Ports lists the ports of a segment, of all segments when segment is empty.
	Ports(ctx context.Context, segment string) ([]Port, error)
	// Port finds one port.
	Port(ctx context.Context, ref string) (Port, error)
	// UpdatePort changes what update sets.
	UpdatePort(ctx context.Context, ref string, update PortUpdate) (Port, error)
	// DeletePort detaches a container and gives its address back.
	DeletePort(ctx context.Context, ref string) (Port, error)

	// Publish has ports of the host lead to a container, which they do when Publish
	// returns; Invalid when its segment has no host link, Conflict when a port is
	// taken, by us or by another program, Exhausted when too many are published.
	Publish(ctx context.Context, port string, spec PublishSpec) (Published, error)
	// Published lists what the ports of a segment publish, of all when segment is
	// empty.
	Published(ctx context.Context, segment string) ([]Published, error)
	// Unpublish ends what Publish began. TCP connections that are there go on.
	Unpublish(ctx context.Context, port string, key PublishedKey) (Published, error)

	// FDB lists the forwarding table of a segment, of all when segment is empty.
	FDB(ctx context.Context, segment string) ([]FDBEntry, error)
	// AddFDB adds a static entry or replaces the address's entry by it.
	AddFDB(ctx context.Context, segment string, spec FDBSpec) (FDBEntry, error)
	// DeleteFDB removes the entry of a MAC address.
	DeleteFDB(ctx context.Context, segment string, mac MAC) (FDBEntry, error)
	// FlushFDB forgets the learned entries of a segment.
	FlushFDB(ctx context.Context, segment string, flush FDBFlush) (FDBFlushed, error)

	// Rules lists the rules of a segment, of all when segment is empty, in the order
	// in which they are looked at.
	Rules(ctx context.Context, segment string) ([]Rule, error)
	// AddRule adds a rule, which is in force when AddRule returns; NotFound for a
	// port that it names, Exhausted when the segment has [MaxRules].
	AddRule(ctx context.Context, segment string, spec RuleSpec) (Rule, error)
	// DeleteRule removes a rule, found by id or unique id prefix.
	DeleteRule(ctx context.Context, segment, ref string) (Rule, error)

	// Pools lists the subnets that [Pools] has given out.
	Pools(ctx context.Context) ([]Pool, error)
	// ReclaimPool gives back a subnet of which whoever took it knows no more, as an
	// engine that died while it created a network; Conflict when a segment is over it.
	ReclaimPool(ctx context.Context, ref string) (Pool, error)

	// ARP lists the bindings of a segment, of all when segment is empty.
	ARP(ctx context.Context, segment string) ([]Binding, error)
}
