package reactor

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// files is the table of registered files of a ring, by slot: the kernel finds a
// file in it without taking and dropping a reference for each request. It holds
// each file open. What cannot be registered is used by its descriptor.
type files struct {
	fds    []int32 // what is registered; noFile where nothing is
	full   bool    // the kernel refuses a larger table
	update int32   // what filesUpdate points to
}

const (
	noFile     = -1
	firstFiles = 64 // places in the first table
)

// Of include/uapi/linux/io_uring.h, enum io_uring_register_op.
const (
	opRegisterFiles   = 2
	opUnregisterFiles = 3
	opUpdateFiles     = 6
)

// filesUpdate is struct io_uring_files_update.
type filesUpdate struct {
	offset, _ uint32
	fds       uint64 // the address of an int32
}

// holds returns true if the file in slot is registered.
func (f *files) holds(slot uint32) bool {
	return int(slot) < len(f.fds) && f.fds[slot] != noFile
}

// setFile registers fd in slot, if the kernel lets it.
func (r *ring) setFile(slot uint32, fd int32) {
	if int(slot) >= len(r.files.fds) && !r.growFiles(int(slot)+1) {
		return
	}
	if r.updateFile(slot, fd) == 0 {
		r.files.fds[slot] = fd
	}
}

// clearFile takes the file in slot out of the table, if it is there: when it has
// returned, the ring does not hold the file any more.
func (r *ring) clearFile(slot uint32) {
	if !r.files.holds(slot) {
		return
	}
	if r.updateFile(slot, noFile) != 0 {
		r.dropFiles()
		return
	}
	r.files.fds[slot] = noFile
}

// updateFile sets one place of the table.
func (r *ring) updateFile(slot uint32, fd int32) syscall.Errno {
	r.files.update = fd
	update := filesUpdate{offset: slot, fds: uint64(uintptr(unsafe.Pointer(&r.files.update)))}
	return r.register(r.fd, opUpdateFiles, unsafe.Pointer(&update), 1)
}

// growFiles doubles the table until it has places for n slots, and returns false if
// the kernel refuses: RLIMIT_NOFILE bounds it. A table does not grow in place; the
// larger one is registered with all that was in the one before.
func (r *ring) growFiles(n int) bool {
	if r.files.full {
		return false
	}
	old := r.files.fds
	size := max(len(old), firstFiles)
	for size < n {
		size *= 2
	}
	fds := make([]int32, size)
	for i := copy(fds, old); i < size; i++ {
		fds[i] = noFile
	}
	r.dropFiles()
	if r.registerFiles(fds) {
		r.files.full = false
		return true
	}
	r.registerFiles(old)
	return false
}

// registerFiles makes fds the table, if the kernel lets it.
func (r *ring) registerFiles(fds []int32) bool {
	if len(fds) == 0 {
		return false
	}
	if r.register(r.fd, opRegisterFiles, unsafe.Pointer(&fds[0]), len(fds)) != 0 {
		return false
	}
	r.files.fds = fds
	return true
}

// dropFiles takes the table away for good.
func (r *ring) dropFiles() {
	if r.files.fds != nil {
		_ = r.register(r.fd, opUnregisterFiles, nil, 0) // fails only without a table
	}
	r.files.fds, r.files.full = nil, true
}

// register is io_uring_register(2), which may sleep.
func register(ring int, op uint32, argument unsafe.Pointer, n int) syscall.Errno {
	_, _, errno := syscall.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(ring), uintptr(op),
		uintptr(argument), uintptr(n), 0, 0)
	return errno
}
