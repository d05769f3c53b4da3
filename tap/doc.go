// Package tap owns the kernel's TAP devices: it creates them in the current
// namespace, attaches to them again after a restart, turns on their offloads, and
// knows what the errors of their reads and writes mean.
//
// A [Device] has a descriptor that does not block; the pollers of package
// vswitch/tap/poller wait for it, and read and write it. Every buffer that such a call
// carries is a frame, behind a virtio-net header of [Device.HeaderLen] bytes. The package never
// reads or writes a frame, moves or configures a link, or starts a goroutine. It is the only
// importer of songgao/water.
package tap
