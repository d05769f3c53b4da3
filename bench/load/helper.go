package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
)

// Names of the helpers, with the task that each takes and what it finds. Those without a
// result print [Ready] and run until they are killed.
const (
	HelperRelay    = "relay"     // [RelayTask]: passes frames between two TAP devices
	HelperFrames   = "frames"    // [FramesTask], finds [FramesFound]: sends frames, counts arrivals
	HelperPing     = "ping"      // [PingTask], finds [stat.Latencies]: sends echo requests
	HelperRR       = "rr"        // [RRTask], finds [stat.Latencies]: sends requests over TCP
	HelperRRServer = "rr-server" // [RRServerTask]: answers the requests of rr
	HelperFlood    = "flood"     // [FloodTask]: sends datagrams as fast as it can
	// [BroadcastTask], finds [BroadcastFound]: sends broadcast frames, measures their copies
	HelperBroadcast = "broadcast"
	HelperSink      = "sink" // [SinkTask]: has a socket for datagrams and reads none
)

// Ready is the line that a helper without a result prints once it is at work.
const Ready = "ready"

// TaskFile is the prefix of a task that is the path of a file, for one that is too long for an
// argument.
const TaskFile = "@"

// Helper runs a helper: args are its name and its task as JSON, or [TaskFile] and the path of a
// file with it. It writes what the helper
// found to out as JSON, or [Ready] for a helper that runs until it is killed. It changes the
// process as a whole: signals end it at once and nothing is garbage collected, so the caller
// must do nothing else. It is an error if the name is unknown, if the task is malformed or if
// the helper fails.
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
	if path, isFile := strings.CutPrefix(args[1], TaskFile); isFile {
		var err error
		if task, err = os.ReadFile(path); err != nil {
			return fmt.Errorf("read the task: %w", err)
		}
	}
	switch name {
	case HelperRelay:
		return help(task, func(t RelayTask) error { return t.run(out) })
	case HelperFrames:
		return help(task, func(t FramesTask) error { return encodeTo(out)(t.run()) })
	case HelperBroadcast:
		return help(task, func(t BroadcastTask) error { return encodeTo(out)(t.run()) })
	case HelperPing:
		return help(task, func(t PingTask) error { return encodeTo(out)(t.run()) })
	case HelperRR:
		return help(task, func(t RRTask) error { return encodeTo(out)(t.run()) })
	case HelperRRServer:
		return help(task, func(t RRServerTask) error { return t.run(out) })
	case HelperFlood:
		return help(task, func(t FloodTask) error { return t.run(out) })
	case HelperSink:
		return help(task, func(t SinkTask) error { return t.run(out) })
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
	_, err := fmt.Fprintln(out, Ready)
	return err
}
