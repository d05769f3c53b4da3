#!/usr/bin/env bash
# io_uring of Linux 6.18, asked by Python 3.11.2-6+deb12u7 of Debian 12.
#
# A write that can be carried out at once is completed while it is submitted: its completion
# is in the ring when io_uring_enter returns. With IORING_SETUP_DEFER_TASKRUN one would expect
# the same, since nothing is left to be done later. It holds for a write that succeeds. One
# that fails, at once as well, is completed by task work (io_uring/rw.c: kiocb_done,
# io_complete_rw), which such a ring runs only when it is entered with IORING_ENTER_GETEVENTS.
# Until then there is no completion, and the request holds its file open, after close(2) too.
# A program that submits and then looks takes the write for one that never was.
#
# Seen:  plain ring:    write completed at once, failed write completed at once
#        DEFER_TASKRUN: write completed at once, failed write not before GETEVENTS
#
# Ends with 1 if any of that is otherwise.
set -euo pipefail

packages="python3.11-minimal=3.11.2-6+deb12u7 libpython3.11-minimal=3.11.2-6+deb12u7
	libpython3.11-stdlib=3.11.2-6+deb12u7"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# The packages themselves, not what is installed.
# shellcheck disable=SC2086
apt-get -qq -o APT::Sandbox::User=root download $packages
for deb in ./*.deb; do dpkg-deb -x "$deb" root; done

cat >ask.py <<'PYTHON'
import ctypes, errno, mmap, os, struct

libc = ctypes.CDLL(None, use_errno=True)
SETUP, ENTER = 425, 426
SINGLE_ISSUER, DEFER_TASKRUN, GETEVENTS = 1 << 12, 1 << 13, 1
OP_WRITE, RWF_NOWAIT = 23, 8

def call(*args):
    n = libc.syscall(*args)
    if n < 0:
        raise OSError(ctypes.get_errno(), "io_uring")
    return n

class Ring:
    def __init__(self, flags):
        params = bytearray(struct.pack("III", 0, 0, flags).ljust(120, b"\0"))
        view = (ctypes.c_char * 120).from_buffer(params)
        self.fd = call(SETUP, 8, view)
        word = struct.unpack("30I", params)
        self.sq, self.cq = word[10:20], word[20:30]
        # IORING_FEAT_SINGLE_MMAP: one mapping for both rings.
        self.rings = mmap.mmap(self.fd, 4096, offset=0)
        self.sqes = mmap.mmap(self.fd, 4096, offset=0x10000000)
        self.sent = 0

    def word(self, at):
        return struct.unpack_from("I", self.rings, at)[0]

    def write(self, fd):
        """Submits a write of one byte; enter does not ask for events."""
        data = ctypes.create_string_buffer(b"x")
        self.keep = data
        self.sqes[:64] = struct.pack("BBHiQQIIQ", OP_WRITE, 0, 0, fd, 2**64 - 1,
            ctypes.addressof(data), 1, RWF_NOWAIT, 0).ljust(64, b"\0")
        struct.pack_into("I", self.rings, self.sq[6] + 4 * (self.sent % 8), 0)
        self.sent += 1
        struct.pack_into("I", self.rings, self.sq[1], self.sent)
        assert call(ENTER, self.fd, 1, 0, 0, None, 0) == 1

    def result(self):
        """Takes a completion out of the ring, if there is one."""
        head = self.word(self.cq[0])
        if head == self.word(self.cq[1]):
            return None
        at = self.cq[5] + 16 * (head & self.word(self.cq[2]))
        struct.pack_into("I", self.rings, self.cq[0], head + 1)
        return struct.unpack_from("i", self.rings, at + 8)[0]

def outcomes(flags):
    ring = Ring(flags)
    r, w = os.pipe()
    ring.write(w)
    yield ring.result()
    os.close(r)
    ring.write(w)
    at_once = ring.result()
    call(ENTER, ring.fd, 0, 0, GETEVENTS, None, 0)
    yield at_once, ring.result()

for name, flags, want in (
    ("plain ring", 0, [1, (-errno.EPIPE, None)]),
    ("DEFER_TASKRUN", SINGLE_ISSUER | DEFER_TASKRUN, [1, (None, -errno.EPIPE)]),
):
    got = list(outcomes(flags))
    print(f"{name}: write {got[0]}; failed write at once {got[1][0]}, with GETEVENTS {got[1][1]}")
    assert got == want, want
PYTHON
PYTHONHOME=$work/root/usr "$work/root/usr/bin/python3.11" ask.py
