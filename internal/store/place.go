package store

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/bbolt"
)

// errGone says that the state file is not under its path any more.
var errGone = errors.New("it was removed or moved away")

// inPlace returns nil if the file that the store writes to is the one that the next start will
// find, an errGone if that will find none, and an error if it will find another. It costs two
// calls of stat(2).
func (db *DB) inPlace() error {
	there, err := os.Stat(db.path)
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	if err != nil {
		return err
	}
	ours, err := db.file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(ours, there) {
		return errors.New("another file has taken its place, so that no change would be " +
			"found again: move that away, or restart vswitchd to begin with it")
	}
	return nil
}

// putInPlace has the next start find what is written from now on. A file that was removed, or
// moved with its directory or without, is written anew. It is called with mu held.
func (db *DB) putInPlace() error {
	err := db.inPlace()
	if !errors.Is(err, errGone) {
		return err
	}
	if err := db.writeAnew(); err != nil {
		return fmt.Errorf("%w, and cannot be written anew: %w", errGone, err)
	}
	if db.onAnew != nil {
		db.onAnew(db.path)
	}
	return nil
}

// writeAnew makes a new state file with all that the store has, and goes on with it.
func (db *DB) writeAnew() error {
	dir := filepath.Dir(db.path)
	if device, err := deviceOf(dir); err != nil || device != db.device {
		return cmp.Or(err, fmt.Errorf("directory %s is on another disk than at the start: "+
			"mount that one again, or restart vswitchd to begin anew here", dir))
	}
	image, err := db.image()
	if err != nil {
		return err
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	var made os.FileInfo
	err = publish(db.path, func(f *os.File) (err error) {
		if _, err = f.Write(image); err == nil {
			err = f.Sync()
		}
		if err == nil {
			made, err = f.Stat()
		}
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return err
	}
	f, err := openLocked(db.path, Options{})
	if err != nil {
		return err
	}
	if found, err := f.Stat(); err != nil || !os.SameFile(found, made) {
		_ = f.Close()
		return cmp.Or(err, errors.New("another process has replaced it"))
	}
	bolt, err := openBolt(f, 0)
	if err != nil {
		_ = f.Close()
		return err
	}
	db.opening.Lock()
	defer db.opening.Unlock()
	_ = db.bolt.Close() // what it has is in the new one
	db.bolt, db.file = bolt, f
	return nil
}

// image returns a copy of the state file as it is after the last change, which was checked.
func (db *DB) image() ([]byte, error) {
	var image bytes.Buffer
	err := db.view(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(&image)
		return err
	})
	if err == nil {
		err = checkCopy(image.Bytes(), db.schema)
	}
	return image.Bytes(), err
}

// deviceOf returns on which disk a directory is, or the first one above it that exists.
func deviceOf(dir string) (uint64, error) {
	for {
		info, err := os.Stat(dir)
		parent := filepath.Dir(dir)
		if err == nil {
			return info.Sys().(*syscall.Stat_t).Dev, nil //nolint:forbidigo // no call, but what os.Stat has found
		}
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return 0, err
		}
		dir = parent
	}
}
