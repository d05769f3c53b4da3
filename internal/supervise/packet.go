package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a supervisor and its child say to each other over their sequenced-packet
// socket (unix(7)); each packet is VERB, a number and a text between spaces:
//
//	child to supervisor            supervisor to child
//	UPGRADE number path            REFUSED number reason
//	UPGRADE-TRUSTED number path
//	STANDBY                        DONE number
//	                               KEEP name (with the descriptor)
//	                               DROP name
//	                               TURN
const (
	verbUpgrade        = "UPGRADE"
	verbUpgradeTrusted = "UPGRADE-TRUSTED"

	verbRefused = "REFUSED"
	verbDone    = "DONE"
	verbStandby = "STANDBY"
	verbKeep    = "KEEP"
	verbDrop    = "DROP"
	verbTurn    = "TURN"
)

const (
	// maxPacket holds a path of PATH_MAX bytes, or a reason.
	maxPacket = 8 << 10
	// maxRights is SCM_MAX_FD (include/net/scm.h), the most in one message.
	maxRights = 253
	// sendTimeout is how long a message may wait for room in the queue of
	// whoever listens.
	sendTimeout = 2 * time.Second
	// memoryPause is how long to wait for the kernel to have memory again.
	memoryPause = 100 * time.Millisecond
)

type packet struct {
	verb   string
	number uint64 // pairs an answer with its question
	text   string
	fd     int // -1: none
}

func (p packet) String() string { return fmt.Sprintf("%s %d %s", p.verb, p.number, p.text) }

func parsePacket(b []byte) (packet, error) {
	verb, rest, _ := strings.Cut(string(b), " ")
	number, text, found := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || !found {
		return packet{}, fmt.Errorf("packet %.40q is malformed: want a verb, a number and a text", b)
	}
	return packet{verb: verb, number: n, text: text, fd: -1}, nil
}

// openSocket makes a connection of an inherited or new socket, which it takes.
func openSocket(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), controlName)
	defer f.Close() // FileConn has a duplicate
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("descriptor %d is a socket of %s: want a unix socket", fd, c.LocalAddr().Network())
	}
	return conn, nil
}

// writePacket sends p, with a duplicate of its descriptor, and fails when the
// other side does not read for long.
func writePacket(conn *net.UnixConn, p packet) error {
	var fds []int
	if p.fd >= 0 {
		fds = append(fds, p.fd)
	}
	b := []byte(p.String())
	if err := transmit(conn, b[:min(len(b), maxPacket)], fds...); err != nil {
		return fmt.Errorf("send %s: %w", p.verb, err)
	}
	return nil
}

// readPacket waits for a packet; its descriptor is the caller's. It returns
// [io.EOF] when the other side is gone.
func readPacket(conn *net.UnixConn) (packet, error) {
	var b [maxPacket]byte
	n, fds, _, err := receive(conn, b[:])
	if err != nil {
		return packet{}, err
	}
	p, err := parsePacket(b[:n])
	if err != nil {
		closeAll(fds)
		return packet{}, err
	}
	if len(fds) > 0 {
		p.fd = fds[0]
		closeAll(fds[1:])
	}
	return p, nil
}

// transmit sends one message with duplicates of the descriptors, and waits for
// room in the other side's queue up to sendTimeout. It is not WriteMsgUnix, which
// refuses connected datagram sockets.
func transmit(conn *net.UnixConn, b []byte, fds ...int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	var failure error
	//nolint:forbidigo // the method of a socket of package net, to wait as it does
	if err := raw.Write(func(fd uintptr) (done bool) {
		for {
			failure = unix.Sendmsg(int(fd), b, rights, nil, unix.MSG_NOSIGNAL)
			if failure != unix.EINTR {
				return failure != unix.EAGAIN
			}
		}
	}); err != nil {
		return err
	}
	return failure
}

// receive reads one message with the descriptors that came along, and with the
// process that sent it, 0 where that is not known. Descriptors that the limit of
// open files kept out are just missing. While the kernel has no memory for it the message waits.
func receive(conn *net.UnixConn, b []byte) (n int, fds []int, pid int, err error) {
	oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4*maxRights))
	n, oobn, _, _, err := conn.ReadMsgUnix(b, oob) // close-on-exec is set on what comes
	for errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ENOBUFS) {
		time.Sleep(memoryPause)
		n, oobn, _, _, err = conn.ReadMsgUnix(b, oob)
	}
	if err != nil {
		return 0, nil, 0, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return 0, nil, 0, fmt.Errorf("parse control messages: %w", err)
	}
	for _, m := range messages {
		if rights, err := unix.ParseUnixRights(&m); err == nil {
			fds = append(fds, rights...)
		}
		if sender, err := unix.ParseUnixCredentials(&m); err == nil {
			pid = int(sender.Pid)
		}
	}
	return n, fds, pid, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
