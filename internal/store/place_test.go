package store

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"vswitch/internal/control/model"
	"vswitch/test/lab"
)

// TestRemovedFileIsWrittenAnew: whichever way the file has gone, the next change brings back all
// that there was, and is found by the next start.
func TestRemovedFileIsWrittenAnew(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(dir string) error{
		"the file is removed":      func(dir string) error { return os.Remove(filepath.Join(dir, FileName)) },
		"the file is moved":        func(dir string) error { return os.Rename(filepath.Join(dir, FileName), dir+"-x") },
		"the directory is removed": os.RemoveAll,
		"those above it are too":   func(dir string) error { return os.RemoveAll(filepath.Dir(dir)) },
		"the directory is moved":   func(dir string) error { return os.Rename(dir, dir+"-x") },
		"another one is there": func(dir string) error {
			if err := os.Rename(dir, dir+"-x"); err != nil {
				return err
			}
			return os.Mkdir(dir, 0o700)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, anew := filepath.Join(t.TempDir(), "lib", "vswitch"), 0
			db := open(t, dir, Options{OnAnew: func(path string) {
				if anew++; path != filepath.Join(dir, FileName) {
					t.Errorf("written anew is %s", path)
				}
			}})
			want := sample()
			putAll(t, db, want)
			must(t, remove(dir))
			want.Segments[0].Name = "renamed"
			must(t, db.Apply(model.PutSegment(want.Segments[0])))
			want.Ports[0].Name = "after"
			must(t, db.Apply(model.PutPort(want.Ports[0])))
			var copied bytes.Buffer
			must(t, db.Backup(&copied))
			if anew != 1 {
				t.Errorf("it was written anew %d times", anew)
			}
			if _, err := Open(dir, Options{LockTimeout: noWait}); err == nil {
				t.Error("another process may open the new file")
			}
			must(t, db.Close())
			wantDisk(t, dir, want)
			wantFiles(t, dir, FileName)
		})
	}
}

// TestReplacedFileIsNotTouched: what others have put in its place stays as it is, and no change is
// acknowledged that would not be found again.
func TestReplacedFileIsNotTouched(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(path, other string) error{
		"by a move": func(path, other string) error { return os.Rename(other, path) },
		"by a link": func(path, other string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Symlink(other, path)
		},
		"with its directory": func(path, other string) error {
			dir := filepath.Dir(path)
			if err := os.Rename(dir, dir+"-x"); err != nil {
				return err
			}
			return os.Symlink(filepath.Dir(other), dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, elsewhere := filepath.Join(t.TempDir(), "state"), t.TempDir()
			path, other := filepath.Join(dir, FileName), filepath.Join(elsewhere, FileName)
			db := open(t, dir, Options{})
			putAll(t, db, sample())
			must(t, open(t, elsewhere, Options{}).Close())
			before, err := os.ReadFile(other)
			must(t, err)
			must(t, replace(path, other))
			renamed := sample().Segments[0]
			renamed.Name = "renamed"
			wantError(t, db.Apply(model.PutSegment(renamed)), path, "another file has taken its place", "restart")
			wantState(t, db, sample())
			now, err := os.ReadFile(path)
			must(t, err)
			if !bytes.Equal(now, before) {
				t.Error("the other file was written to")
			}
			must(t, os.Remove(path))
			must(t, db.Apply(model.PutSegment(renamed)))
			must(t, db.Close())
			want := sample()
			want.Segments[0] = renamed
			wantDisk(t, dir, want)
		})
	}
}

// TestFileRemovedDuringAChange: the change is refused, and has changed nothing.
func TestFileRemovedDuringAChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, Options{})
	putAll(t, db, sample())
	commit := db.commit
	db.commit = func(tx *bbolt.Tx) error {
		db.commit = commit
		must(t, os.Remove(filepath.Join(dir, FileName)))
		return commit(tx)
	}
	renamed := sample().Segments[0]
	renamed.Name = "renamed"
	wantError(t, db.Apply(model.PutSegment(renamed)), FileName, "removed or moved away", "try again")
	wantState(t, db, sample())
	must(t, db.Apply(model.DeletePool(sample().Pools[0].ID+"x"))) // nothing to write
	must(t, db.Apply(model.PutSegment(renamed)))
	must(t, db.Close())
	want := sample()
	want.Segments[0] = renamed
	wantDisk(t, dir, want)
}

// TestFileThatCannotBeWrittenAnew: the error says why, and the next change tries again.
func TestFileThatCannotBeWrittenAnew(t *testing.T) {
	t.Parallel()
	above := t.TempDir()
	dir := filepath.Join(above, "state")
	db := open(t, dir, Options{})
	putAll(t, db, sample())
	must(t, os.RemoveAll(dir))
	must(t, os.WriteFile(dir, nil, 0o600))
	renamed := sample().Segments[0]
	renamed.Name = "renamed"
	wantError(t, db.Apply(model.PutSegment(renamed)), dir, "not a directory")
	wantState(t, db, sample())
	must(t, os.Remove(dir))
	must(t, db.Apply(model.PutSegment(renamed)))
}

// TestUnmountedDirectory: what is below the mount is not where the next start will look once it is
// mounted again, so that nothing is written there.
func TestUnmountedDirectory(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	mounted := t.TempDir()
	must(t, unix.Mount("none", mounted, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(mounted, unix.MNT_DETACH) })
	for _, dir := range []string{mounted, filepath.Join(mounted, "a", "b")} {
		db := open(t, dir, Options{})
		putAll(t, db, sample())
		must(t, unix.Unmount(mounted, unix.MNT_DETACH))
		renamed := sample().Segments[0]
		renamed.Name = "renamed"
		wantError(t, db.Apply(model.PutSegment(renamed)), dir, "another disk", "mount that one again")
		wantState(t, db, sample())
		wantFiles(t, mounted)
		var copied bytes.Buffer
		must(t, db.Backup(&copied)) // saves what there is
		if !strings.Contains(copied.String(), sample().Segments[0].Name) {
			t.Error("the backup has nothing in it")
		}
		must(t, db.Close())
		must(t, unix.Mount("none", mounted, "tmpfs", 0, ""))
	}
}
