package load

import (
	"encoding/binary"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vswitch/bench/stat"
	"vswitch/internal/frame"
)

// BroadcastTask is the task of the broadcast helper: to send broadcast frames one by one, and
// to measure how long each takes to each of the receivers (RFC 2889 §5.10).
type BroadcastTask struct {
	From     Endpoint      `json:"from"`
	To       []Endpoint    `json:"to"`
	Bytes    int           `json:"bytes"` // of a frame, without FCS
	Count    int           `json:"count"` // how many frames
	Interval time.Duration `json:"interval"`
}

// BroadcastFound is the result of the broadcast helper.
type BroadcastFound struct {
	Copies stat.Latencies `json:"copies"` // of each copy, from sending to receiving
	Last   stat.Latencies `json:"last"`   // of the last copy of each frame
}

// copyTimeout is how long a copy may take before it counts as lost.
const copyTimeout = 200 * time.Millisecond

// run sends a frame and waits for all its copies, as often as the task says. The time of
// sending is read before the system call, that of receiving is the kernel's (SO_TIMESTAMPNS).
func (t BroadcastTask) run() (found BroadcastFound, err error) {
	const numbered = frame.EthernetHeaderLen + 8
	if t.Bytes < numbered || t.Bytes > maxFrame || len(t.To) == 0 {
		return found, fmt.Errorf("cannot send frames of %d bytes to %d endpoints", t.Bytes, len(t.To))
	}
	b, err := newBatch(Flow{From: t.From, To: t.From}, batchConfig{bytes: t.Bytes, frames: 1, broadcast: true})
	if err != nil {
		return found, err
	}
	defer unix.Close(b.socket)
	r := &copyReceiver{buffer: make([]byte, maxFrame)}
	defer r.close()
	for _, e := range t.To {
		if err := r.open(e); err != nil {
			return found, fmt.Errorf("open packet socket in %s: %w", e.Namespace, err)
		}
	}
	var copies, last []time.Duration
	lost := 0
	for i := range t.Count {
		number := uint64(i) + 1
		binary.BigEndian.PutUint64(b.frames[0][frame.EthernetHeaderLen:], number)
		sent := time.Now()
		if _, err := b.send(1); err != nil {
			return found, err
		}
		times, err := r.receive(number, sent)
		if err != nil {
			return found, err
		}
		lost += len(t.To) - len(times)
		copies = append(copies, times...)
		if len(times) == len(t.To) {
			slowest := time.Duration(0)
			for _, d := range times {
				slowest = max(slowest, d)
			}
			last = append(last, slowest)
		}
		sleep(t.Interval)
	}
	return BroadcastFound{Copies: stat.NewLatencies(copies, lost), Last: stat.NewLatencies(last, t.Count-len(last))}, nil
}

// copyReceiver has a packet socket at each receiver.
type copyReceiver struct {
	sockets []unix.PollFd
	buffer  []byte
	control [64]byte
}

func (r *copyReceiver) open(e Endpoint) error {
	return enterNamespace(e.Namespace, func() error {
		s, err := packetSocket(e.IfName)
		if err != nil {
			return err
		}
		r.sockets = append(r.sockets, unix.PollFd{Fd: int32(s), Events: unix.POLLIN})
		if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
			return err
		}
		ifr, err := unix.NewIfreq(e.IfName)
		if err == nil {
			err = unix.IoctlIfreq(s, unix.SIOCGIFINDEX, ifr)
		}
		if err != nil {
			return err
		}
		const swapped = experimental>>8 | experimental&0xff<<8 // network byte order
		return unix.Bind(s, &unix.SockaddrLinklayer{Ifindex: int(ifr.Uint32()), Protocol: swapped})
	})
}

func (r *copyReceiver) close() {
	for _, s := range r.sockets {
		unix.Close(int(s.Fd))
	}
}

// receive returns how long the copies of the frame with that number took that came in time.
func (r *copyReceiver) receive(number uint64, sent time.Time) (times []time.Duration, err error) {
	waiting := make([]unix.PollFd, len(r.sockets))
	copy(waiting, r.sockets)
	for left := copyTimeout; len(times) < len(r.sockets) && left > 0; left = copyTimeout - time.Since(sent) {
		if _, err := unix.Poll(waiting, int(left/time.Millisecond)+1); err != nil && err != unix.EINTR {
			return nil, err
		}
		for i := range waiting {
			if waiting[i].Revents == 0 {
				continue
			}
			at, ours, err := r.read(int(waiting[i].Fd), number)
			if err != nil {
				return nil, err
			}
			if ours {
				times = append(times, at.Sub(sent))
				waiting[i].Fd = -1 // ignored from now on (poll(2))
			}
		}
	}
	return times, nil
}

// read reads one frame, and says when it came and whether it has that number.
func (r *copyReceiver) read(fd int, number uint64) (at time.Time, ours bool, err error) {
	n, controlLen, _, _, err := unix.Recvmsg(fd, r.buffer, r.control[:], unix.MSG_DONTWAIT)
	if err == unix.EAGAIN || err == unix.EINTR {
		return at, false, nil
	}
	if err != nil {
		return at, false, fmt.Errorf("receive a frame: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(r.control[:controlLen])
	if err != nil {
		return at, false, err
	}
	for _, m := range messages {
		if m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			at = time.Unix((*unix.Timespec)(unsafe.Pointer(&m.Data[0])).Unix())
		}
	}
	ours = n >= frame.EthernetHeaderLen+8 && !at.IsZero() &&
		binary.BigEndian.Uint64(r.buffer[frame.EthernetHeaderLen:]) == number
	return at, ours, nil
}
