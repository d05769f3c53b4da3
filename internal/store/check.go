package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"vswitch/internal/wellformed"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix" //nolint:depguard // for a file in memory, which package os cannot make
)

// bbolt takes a file for granted once a checksum over its root is right: it maps the file
// into memory and follows every offset in it. Its own check, [bbolt.Tx.Check], does so too,
// in a goroutine of its own, where nobody can catch a fault of the memory map; an endless
// recursion can be caught nowhere. Either ends the process. So the check is made on a copy
// in memory, by a child process, which is this program again. What the child has survived
// and found sound, this process can read and write.

// checkerName is the name (argv[0]) under which this program is a checker.
const checkerName = "vswitch-state-check"

func init() {
	if len(os.Args) == 1 && os.Args[0] == checkerName {
		check(os.Stdin, os.Stdout)
	}
}

// Limits of a check.
const (
	maxFile      = 4 << 30     // bytes
	checkTimeout = time.Minute // and checkPace for each MiB of the file
	checkPace    = 100 * time.Millisecond
	checkStack   = 64 << 20  // bytes
	checkMemory  = 512 << 20 // bytes, and for each of the file checkShare more
	checkShare   = 4
)

// verdict is what a checker says of a file.
type verdict struct {
	Damage     string // empty: none
	OneRoot    bool   // the other one is unreadable
	LastChange int    // the highest number of a change that the file has a trace of
}

// check is the checker: it gives its verdict on the file and exits.
func check(f *os.File, out io.Writer) {
	if info, err := f.Stat(); err == nil {
		limitCheck(info.Size())
	}
	if err := json.NewEncoder(out).Encode(inspect(f)); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// quickExit keeps the race detector, where it is built in, from waiting for a second at the end.
const quickExit = "GORACE=atexit_sleep_ms=0"

// limitCheck ends the process when a damaged file of size bytes leads it round in circles.
func limitCheck(size int64) {
	debug.SetMaxStack(checkStack)
	most := uint64(checkMemory + checkShare*size)
	go func() {
		var m runtime.MemStats
		for range time.Tick(10 * time.Millisecond) {
			if runtime.ReadMemStats(&m); m.Sys > most {
				fmt.Fprintf(os.Stderr, "it takes more than %d bytes of memory", most)
				os.Exit(1)
			}
		}
	}()
}

// readImage reads a whole state file and finds it sound, or returns an [ErrDamaged], or the
// error of the disk.
func readImage(from io.Reader) (*contents, error) { return readChecked(from, inspectInChild) }

// readChecked is readImage with a way to have the copy inspected.
func readChecked(from io.Reader, inspect func(*os.File) (verdict, error)) (*contents, error) {
	f, err := copyToMemory(from)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := newContents()
	if c.verdict, err = inspect(f); err != nil {
		return nil, err
	}
	if c.verdict.Damage != "" {
		return nil, damagef("%s", c.verdict.Damage)
	}
	return c, guard(func() error {
		bolt, err := openCopy(f, bbolt.Options{})
		if err != nil {
			return err
		}
		return cmp.Or(bolt.View(c.readTx), bolt.Close())
	})
}

// copyToMemory makes a file in memory that nobody else sees.
func copyToMemory(from io.Reader) (*os.File, error) {
	fd, err := unix.MemfdCreate(checkerName, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a copy in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), checkerName)
	n, err := io.Copy(f, io.LimitReader(from, maxFile+1))
	switch {
	case err == nil && n == 0:
		err = damagef("it is empty")
	case err == nil && n > maxFile:
		err = damagef("it has more than %d bytes, more than any state needs", maxFile)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// inspectInChild has a checker inspect f. One that does not survive it has found damage.
func inspectInChild(f *os.File) (v verdict, err error) {
	info, err := f.Stat()
	if err != nil {
		return v, err
	}
	patience := checkTimeout + time.Duration(info.Size()>>20)*checkPace
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// The child shall not outlive this process: it gets the signal when this thread ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var out, said bytes.Buffer
	child := exec.CommandContext(ctx, "/proc/self/exe")
	child.Args, child.Env = []string{checkerName}, []string{quickExit}
	child.Stdin, child.Stdout, child.Stderr = f, &out, &said
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL} //nolint:forbidigo // as os hands it out
	err = child.Run()
	exit := new(exec.ExitError)
	switch {
	case ctx.Err() != nil:
		return v, damagef("bbolt does not get to the end of it")
	case errors.As(err, &exit) && exit.Exited(): // and was not killed by others
		return v, damagef("bbolt cannot read it: %s", wellformed.Clip(said.String()))
	case err != nil:
		return v, fmt.Errorf("check it: %w", err)
	}
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		return v, fmt.Errorf("check it: %w", err)
	}
	return v, nil
}
