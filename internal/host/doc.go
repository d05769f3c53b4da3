// Package host is the way of segments through the host's kernel: forwarding,
// masquerade, published ports and the wall between segments, in one nftables
// table of our own.
//
// A [Config] says which segments have a link of the host and which of its ports
// are published; a [Reservation] keeps such ports from other programs. The rules
// of the table are always the same, and all that a config decides are elements of
// its sets and maps: [Table.Apply] adds and removes those that differ, in one
// transaction. [Table.Run] builds the table anew when somebody took it away or
// changed it. It also reads the rules of others, to name those that are in the
// way ([Table.Foreign]), and never changes them. The user's own chain in the table
// is jumped to and otherwise left alone.
//
// It makes no links and gives no addresses.
package host
