// Package host is the way of segments through the host's kernel: forwarding,
// masquerade, published ports and the wall between segments, in one nftables
// table of our own.
//
// A [Config] says which segments have a link of the host and which of its ports
// are published; a [Reservation] keeps such ports from other programs.
// [Table.Apply] replaces the table by what follows from the config, in one
// transaction; [Table.Run] puts it back when somebody took it away. Rules of
// others are read, to warn of those that are in the way, and never changed. The
// user's own chain in the table is jumped to and otherwise left alone.
//
// It makes no links and gives no addresses.
package host
