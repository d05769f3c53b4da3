package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"vswitch/internal/control/model"
	"vswitch/test/lab/seed"
)

// After a power cut a disk has, of what was written since the last sync, some
// sectors and not others. The root is written only after a sync of all else.
func TestPowerCutDuringAChange(t *testing.T) {
	t.Parallel()
	const sector, cuts = 512, 12
	random := seed.New(t)
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	db := open(t, dir, small)
	roots := 2 * small.pageSize
	var s script
	for range 60 {
		before, earlier := readFile(t, path), clone(s.state)
		change := s.next()
		must(t, change.apply(db))
		after := readFile(t, path)
		before = append(before, make([]byte, len(after)-len(before))...)
		for range cuts {
			image := bytes.Clone(before)
			for at := roots; at < len(after); at += sector {
				if random.IntN(2) == 0 {
					copy(image[at:at+sector], after[at:])
				}
			}
			if got, err := readState(image); err != nil || !sameState(got, earlier) {
				t.Fatalf("cut during %s: error %v, state\n%+v, want\n%+v", change.name, err, got, earlier)
			}
		}
		if got, err := readState(after); err != nil || !sameState(got, s.state) {
			t.Fatalf("after %s: error %v, state\n%+v, want\n%+v", change.name, err, got, s.state)
		}
	}
}

// inRoomOf runs f in a directory on a file system of its own with room for size.
// Nobody else sees it: it is mounted for one thread, which ends with the test.
func inRoomOf(t *testing.T, size string, f func(t *testing.T, dir string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root; run: sudo make test")
	}
	dir := t.TempDir()
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	must(t, syscall.Unshare(syscall.CLONE_NEWNS))
	must(t, syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,size="+size))
	t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	f(t, dir)
}

// fillUp takes all room but some bytes and returns the file that has it.
func fillUp(t *testing.T, dir string, spare int64) string {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	var size int64
	for page := make([]byte, 4096); err == nil; {
		var n int
		n, err = f.Write(page)
		size += int64(n)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the file system: %v", err)
	}
	must(t, f.Truncate(max(0, size-spare)))
	return path
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	inRoomOf(t, "512k", func(t *testing.T, dir string) {
		db := open(t, dir, Options{})
		var s script
		failures := 0
		for round := range 8 {
			filler := fillUp(t, dir, int64(round)*4096)
			for range 100 {
				want := clone(s.state)
				change := s.next()
				err := change.apply(db)
				if err == nil {
					continue
				}
				failures++
				wantError(t, err, filepath.Join(dir, FileName), "no space left", "free space")
				wantState(t, db, want)
				must(t, os.Remove(filler))
				must(t, change.apply(db))
				break
			}
			os.Remove(filler)
			wantState(t, db, s.state)
			checkBolt(t, db)
		}
		if failures < 4 {
			t.Errorf("the disk was full %d times only", failures)
		}
		must(t, db.Close())
		wantDisk(t, dir, s.state)
	})
}

func TestOpenOnAFullDisk(t *testing.T) {
	t.Parallel()
	inRoomOf(t, "64k", func(t *testing.T, dir string) {
		state := filepath.Join(dir, "state")
		must(t, os.Mkdir(state, 0o700))
		filler := fillUp(t, dir, 0)
		_, err := Open(state, Options{})
		wantError(t, err, filepath.Join(state, FileName), "no space left", "free space")
		wantFiles(t, state)
		must(t, os.Remove(filler))
		wantState(t, open(t, state, Options{}), model.Records{})
	})
}

func TestDiskThatTakesNothingMore(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t, Options{})
	db, err := Open(dir, Options{})
	must(t, err)
	must(t, db.file.Close()) // as if each write failed
	wantError(t, db.Apply(model.PutPort(aPort(3, 1))), filepath.Join(dir, FileName))
	wantError(t, db.Apply(model.DeletePort(id(1001))), filepath.Join(dir, FileName))
	wantState(t, db, sample())
	must(t, db.bolt.View(func(*bbolt.Tx) error { return nil }))
	if err := db.Close(); err == nil {
		t.Error("closing a file that is closed gave no error")
	}
	wantDisk(t, dir, sample())
}

// A sync that fails after the root was written leaves open whether the change is
// on disk; here it is, in the file at least.
func TestLastSyncFails(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t, Options{})
	db := open(t, dir, Options{})
	failing := func(tx *bbolt.Tx) error { return errors.Join(tx.Commit(), syscall.EIO) }
	once := func(tx *bbolt.Tx) error {
		db.commit = (*bbolt.Tx).Commit
		return failing(tx)
	}
	for name, change := range map[string]func() error{
		"put":    func() error { return db.Apply(model.PutPort(aPort(3, 1))) },
		"change": func() error { p := aPort(1, 1); p.Name = "renamed"; return db.Apply(model.PutPort(p)) },
		"delete": func() error { return db.Apply(model.DeletePort(id(1002))) },
		"batch": func() error {
			return db.Apply(model.DeletePort(id(1002)), model.DeleteSegment(id(2)), model.PutPort(aPort(3, 1)))
		},
	} {
		db.commit = once
		if err := change(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: got error %v, want that of the disk", name, err)
		}
		wantState(t, db, sample())
		checkBolt(t, db)
	}
	must(t, db.Apply(model.PutPort(aPort(3, 1))))
	must(t, db.Apply(model.DeletePort(aPort(3, 1).ID)))

	// Where it cannot be taken back either, nobody knows what the disk has.
	db.commit = failing
	for range 2 {
		err := db.Apply(model.PutPort(aPort(3, 1)))
		wantError(t, err, filepath.Join(dir, FileName), "may be on disk or not", "restart")
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%v is not the disk's error", err)
		}
	}
	must(t, db.Close())
	wantDisk(t, dir, sample()) // the file took it back
}
