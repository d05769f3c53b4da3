// Package policy decides what a port may send: port security, rules between the
// ports of a segment, token buckets, and the detection of addresses that move to
// and fro. It knows headers, as [frame.Parsed] reads them, and the slots of ports,
// and returns verdicts as a [drop.Reason]; what becomes of a frame is the caller's
// work. It keeps no clock, does no I/O, and allocates nothing per frame.
package policy
