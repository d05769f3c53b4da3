// Package supervise is the small parent of a process that moves packets, and
// that process's side of the talk between the two. The parent holds what must
// outlive a crash or an upgrade, the descriptors of TAP devices and listening
// sockets; it starts the child, starts it again when it dies and replaces it by
// a new binary. It never reads from a descriptor that it holds, and does not know
// what they are.
//
// The talk is the one of systemd's services, so that a child behaves the same
// below systemd itself: descriptors come as sd_listen_fds(3) has it, and the
// child speaks to NOTIFY_SOCKET as sd_notify(3) has it, to say that it is ready,
// that it lives, and to have descriptors kept. A parent below systemd hands on
// what it is told, so that descriptors outlive the parent as well. What systemd
// has no words for, replacing a running child, goes over one more socket, see
// [Control].
//
// A child begins with [Inherited]; a parent calls [Run]. Below systemd the unit
// of the parent wants Type=notify or notify-reload, FileDescriptorStoreMax= as
// large as the number of descriptors, and KillMode=mixed, by which only the
// parent is told to stop.
package supervise
