// Package netns owns the network namespaces that ports live in: it opens them,
// moves links into them, and sets names, addresses and routes there.
//
// Names, paths and process ids of namespaces flow in, and what is known of links
// flows out. The package does not hold on to a namespace by itself, never moves
// the caller's thread, and touches no frame. It is the only importer of
// vishvananda/netlink and vishvananda/netns.
package netns
