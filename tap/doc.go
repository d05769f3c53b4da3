// Package tap owns the kernel's TAP devices: it creates them in the current
// namespace, attaches to them again after a restart, turns on their offloads,
// and reads and writes frames without blocking. A [Poller] says which devices
// have something to read.
//
// Every buffer that flows in or out is a virtio-net header of
// [frame.VNetHeaderLen] bytes and the frame behind it, owned by the caller and
// borrowed only during the call. The package never looks into a frame, moves or
// configures a link, or starts a goroutine. It is the only importer of
// songgao/water.
package tap
