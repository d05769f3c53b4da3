package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

// The helpers: programs that carry or generate load in processes of their own.
const (
	helperRelay    = "relay"     // passes frames between two TAP devices
	helperFrames   = "frames"    // sends frames and counts what arrives
	helperPing     = "ping"      // sends echo requests
	helperRR       = "rr"        // sends requests over TCP
	helperRRServer = "rr-server" // answers them
	helperFlood    = "flood"     // sends datagrams as fast as it can
	helperSink     = "sink"      // has a socket for datagrams and reads none
)

// ready is what a helper that stays says once it is at work.
const ready = "ready"

// Helper runs one of the harness's helper programs: args are its name and its task
// as JSON, and out gets what it found as JSON, or "ready" from one that stays until
// it is killed. The main program offers it as a hidden command.
func Helper(args []string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("a helper takes its name and its task: the harness runs it, not people")
	}
	// The main program waits for signals to end in order; a helper just ends.
	signal.Reset(syscall.SIGTERM, os.Interrupt)
	// Nothing that a helper measures may include a garbage collection; none lives
	// long enough to need one.
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
	name, task := args[0], []byte(args[1])
	switch name {
	case helperRelay:
		return help(task, func(t relayTask) error { return t.run(out) })
	case helperFrames:
		return help(task, func(t framesTask) error { return encodeTo(out)(t.run()) })
	case helperPing:
		return help(task, func(t pingTask) error { return encodeTo(out)(t.run()) })
	case helperRR:
		return help(task, func(t rrTask) error { return encodeTo(out)(t.run()) })
	case helperRRServer:
		return help(task, func(t rrServerTask) error { return t.run(out) })
	case helperFlood:
		return help(task, func(t floodTask) error { return t.run(out) })
	case helperSink:
		return help(task, func(t sinkTask) error { return t.run(out) })
	}
	return fmt.Errorf("no helper %q", name)
}

func help[T any](task []byte, run func(T) error) error {
	var t T
	if err := json.Unmarshal(task, &t); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	return run(t)
}

// encodeTo encodes what a helper found.
func encodeTo(out io.Writer) func(found any, err error) error {
	return func(found any, err error) error {
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(found)
	}
}

func sayReady(out io.Writer) error {
	_, err := fmt.Fprintln(out, ready)
	return err
}
