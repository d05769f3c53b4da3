package lab

import (
	"bytes"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSocket is a [Socket] in a container, whose failures fail the test.
type TestSocket struct {
	testing.TB
	*Socket
}

// Socket opens a socket that receives frames of an EtherType on the container's interface. The
// switch lets pass whatever it sends; see [Container.Trust].
func (c *Container) Socket(etherType uint16) *TestSocket {
	c.Helper()
	c.Trust()
	return c.socket(SocketConfig{EtherType: etherType})
}

// Sender opens a socket that only sends, at a port that stays as it is.
func (c *Container) Sender() *TestSocket {
	c.Helper()
	return c.socket(SocketConfig{})
}

// Witness opens a socket that receives every frame, those for other hosts included, at a port
// that stays as it is. That a frame does not come is proven by order: its sender sends a mark
// behind it, and what has not come before the mark does not come; see [TestSocket.Until].
func (c *Container) Witness() *TestSocket {
	c.Helper()
	return c.socket(SocketConfig{EtherType: unix.ETH_P_ALL})
}

func (c *Container) socket(config SocketConfig) *TestSocket {
	c.Helper()
	config.Namespace, config.Interface = c.Name(), c.Port.IfName
	s, err := OpenSocket(config)
	if err != nil {
		c.Fatalf("open a packet socket in container %s: %v", c.Port.Name, err)
	}
	c.Cleanup(s.Close)
	return &TestSocket{c.TB, s}
}

// Send sends a frame.
func (s *TestSocket) Send(frame []byte) {
	s.Helper()
	if err := s.Socket.Send(frame); err != nil {
		s.Fatal(err)
	}
}

// Next waits for the next frame.
func (s *TestSocket) Next() Frame {
	s.Helper()
	f, came := s.Before(time.Now().Add(Patience))
	if !came {
		s.Fatalf("no frame came within %s", Patience)
	}
	return f
}

// Before returns the next frame; false says that none has come before the deadline.
func (s *TestSocket) Before(deadline time.Time) (Frame, bool) {
	s.Helper()
	f, came, err := s.Receive(deadline)
	if err != nil {
		s.Fatal(err)
	}
	return f, came
}

// Until returns the frames that come before the one that has the mark in it.
func (s *TestSocket) Until(mark []byte) []Frame {
	s.Helper()
	var seen []Frame
	for deadline := time.Now().Add(Patience); ; {
		f, came := s.Before(deadline)
		if !came {
			s.Fatalf("the mark %q has not come within %s", mark, Patience)
		}
		if bytes.Contains(f.Bytes, mark) {
			s.NoneLost()
			return seen
		}
		seen = append(seen, f)
	}
}

// NoneLost fails the test when the kernel has thrown frames away before they were read: that a
// frame did not come proves nothing then.
func (s *TestSocket) NoneLost() {
	s.Helper()
	drops, err := s.Drops()
	if err != nil {
		s.Fatal(err)
	}
	if drops > 0 {
		s.Fatalf("a packet socket lost %d frames before the test read them", drops)
	}
}
