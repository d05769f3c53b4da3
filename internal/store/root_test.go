package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"vswitch/test/lab/seed"

	"go.etcd.io/bbolt"
)

// rootOf is where the root of the last transaction of a store is, and where that of the one
// before is.
func rootOf(t *testing.T, db *DB) (newer, older int) {
	t.Helper()
	must(t, db.bolt.View(func(tx *bbolt.Tx) error {
		newer = tx.ID() % 2 * small.pageSize
		return nil
	}))
	return newer, small.pageSize - newer
}

// rootDamages are ways to make the root at an offset unreadable.
func rootDamages(random *rand.Rand, image []byte, at int) []damage {
	noise := make([]byte, small.pageSize)
	for i := range noise {
		noise[i] = byte(random.IntN(256))
	}
	list := []damage{
		{at, make([]byte, small.pageSize)},
		{at, bytes.Repeat([]byte{0xff}, small.pageSize)},
		{at, noise},
	}
	for i := at + pageHeaderSize; i < at+pageHeaderSize+rootSize; i++ {
		list = append(list, damage{i, []byte{image[i] ^ 1<<random.IntN(8)}})
	}
	return list
}

// bbolt writes its two roots in turn. It can do without the older one, and what it falls back
// to without the newer one is not what was acknowledged.
func TestUnreadableRoots(t *testing.T) {
	t.Parallel()
	db, random := open(t, t.TempDir(), small), seed.New(t)
	var s script
	for range 15 {
		must(t, s.next().apply(db))
		if s.count < 3 { // without the segments that the survey has changes for
			continue
		}
		newer, older := rootOf(t, db)
		image := readFile(t, db.path)
		if found := survey(t, image, rootDamages(random, image, older), s.state); found > 0 {
			t.Fatalf("after change %d the file is refused for %d kinds of damage to the older root", s.count, found)
		}
		list := rootDamages(random, image, newer)
		if found := survey(t, image, list, s.state); found < len(list) {
			t.Fatalf("after change %d the file opens with %d kinds of damage to the newer root", s.count, len(list)-found)
		}
	}
}

func TestOpenWithoutTheOlderRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, small)
	var s script
	for range 20 {
		must(t, s.next().apply(db))
		_, older := rootOf(t, db)
		must(t, db.Close())
		image := readFile(t, db.path)
		clear(image[older : older+small.pageSize])
		overwrite(t, db.path, image)

		db = open(t, dir, Options{})
		wantState(t, db, s.state)
		wantUntouched(t, dir, image)
		var backup bytes.Buffer
		must(t, db.Backup(&backup))
		if got, err := readState(backup.Bytes()); err != nil || !sameState(got, s.state) {
			t.Fatalf("the backup gives error %v, state\n%+v, want\n%+v", err, got, s.state)
		}
	}
	must(t, s.next().apply(db))
	must(t, db.Close())
	wantDisk(t, dir, s.state)
}

// Whose changes have no numbers, those of a version before, does not tell its roots apart.
func TestOpenOfAnOldFileWithoutARoot(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t, small)
	path := filepath.Join(dir, FileName)
	for range 2 {
		bolt, err := bbolt.Open(path, 0o600, nil)
		must(t, err)
		must(t, bolt.Update(func(tx *bbolt.Tx) error {
			w, err := newWriter(tx)
			must(t, err)
			w.about.Change = 0
			value, err := seal(metaBucket, aboutKey, w.about)
			must(t, err)
			return tx.Bucket([]byte(metaBucket)).Put([]byte(aboutKey), value)
		}))
		must(t, bolt.Close())
	}
	wantDisk(t, dir, sample())
	for at := range 2 {
		image := readFile(t, path)
		damaged := bytes.Clone(image)
		clear(damaged[at*small.pageSize : (at+1)*small.pageSize])
		overwrite(t, path, damaged)
		_, err := Open(dir, Options{})
		wantError(t, err, path, "root", "unreadable", "move it away")
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%v is no ErrDamaged", err)
		}
		wantUntouched(t, dir, damaged)
		overwrite(t, path, image)
	}
}
