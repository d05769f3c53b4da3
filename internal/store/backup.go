package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup writes a copy of the state file as it is after the last change; changes
// go on meanwhile. The copy is checked before the first byte is written, and is a
// state file by itself, for [Restore].
func (db *DB) Backup(w io.Writer) error {
	db.mu.Lock()
	err := db.usable()
	db.mu.Unlock()
	if err != nil {
		return err
	}
	// Copied first, since a slow reader would hold up changes: bbolt cannot let the
	// file grow while a transaction reads it.
	image, err := db.image()
	if err != nil {
		db.mu.Lock()
		defer db.mu.Unlock()
		return db.note(err)
	}
	if _, err := w.Write(image); err != nil {
		return fmt.Errorf("write backup of %s: %w", db.path, err)
	}
	return nil
}

func checkCopy(image []byte, schema int) error {
	c, err := readImage(bytes.NewReader(image))
	if err == nil {
		_, err = c.stateOf(schema)
	}
	return err
}

// Restore makes a backup the state file in dir, which no process may be using. It
// checks the backup fully first and refuses to replace a state file: the error is
// then an [fs.ErrExist]. It may also be an [ErrDamaged] or [ErrNewer], or come
// from the file system; no state file appears then.
func Restore(from io.Reader, dir string) error {
	return restore(from, dir, Options{})
}

func restore(from io.Reader, dir string, o Options) error {
	path := filepath.Join(dir, FileName)
	if _, err := os.Lstat(path); err == nil {
		return existsError(path)
	}
	if err := makeDir(dir); err != nil {
		return fmt.Errorf("state directory %s: %w", dir, err)
	}
	err := publish(path, func(f *os.File) error {
		if err := fill(f, from); err != nil {
			return err
		}
		// As at a start: this brings an old backup up to date.
		db, err := start(f.Name(), f, o)
		if err != nil {
			return err
		}
		return db.Close()
	})
	switch {
	case errors.Is(err, fs.ErrExist):
		return existsError(path)
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("backup for %s: %w: give another one", path, err)
	case errors.Is(err, ErrNewer):
		return fmt.Errorf("backup for %s: %w: restore it with the newer vswitchd", path, err)
	case err != nil:
		return fmt.Errorf("restore %s: %w", path, err)
	}
	return nil
}

func existsError(path string) error {
	return fmt.Errorf("state file %s: %w: move it away first, then restore", path, fs.ErrExist)
}

// fill brings what from has into f and to disk.
func fill(f *os.File, from io.Reader) error {
	n, err := io.Copy(f, io.LimitReader(from, maxFile+1))
	if err != nil {
		return err
	}
	if n > maxFile {
		return damagef("it has more than %d bytes, more than any state needs", maxFile)
	}
	return f.Sync()
}
