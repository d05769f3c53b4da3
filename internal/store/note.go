package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"vswitch/internal/wellformed"
)

// Notes are small facts about the machine that stand in files of their own in the
// state directory: they are no part of the state, and of no use elsewhere.

// maxNote bounds a note in bytes.
const maxNote = 4096

// WriteNote has text survive under name in dir; "" ends the note.
func WriteNote(dir, name, text string) error {
	path := filepath.Join(dir, name)
	if len(text) > maxNote {
		return fmt.Errorf("note %s has %d bytes: want at most %d", path, len(text), maxNote)
	}
	if text == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return syncDir(dir)
	}
	f, err := os.CreateTemp(dir, name+".new-*") // has mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // once it has its name, there is nothing left to remove
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// ReadNote is the note of that name in dir, "" when there is none.
func ReadNote(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil && (len(text) > maxNote || !wellformed.Printable(strings.TrimSuffix(string(text), "\n"))) {
		err = fmt.Errorf("note %s is damaged: remove it", path)
	}
	return strings.TrimSuffix(string(text), "\n"), err
}
