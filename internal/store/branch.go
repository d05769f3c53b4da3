package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"go.etcd.io/bbolt"

	"vswitch/internal/wellformed"
)

// Layout of a page after its header, in the byte order of the machine that wrote it (bbolt,
// internal/common: page.go). A position counts from its element.
const (
	elementSize = 16 // position 4, key size 4, page 8; of a leaf: flags 4, position 4, sizes 8
	leafFlags   = 4
)

// inspectBranches says whether each branch has the first key of every page below it, as bbolt
// writes it. Its check holds those keys only against each other, and one that is another leads,
// with some later change, to two pages in the place of one. The file has passed that check.
func inspectBranches(f *os.File, tx *bbolt.Tx) error {
	return eachPage(tx, "branch", func(id int) error { return inspectBranch(f, tx, id) })
}

// eachPage calls f for each page of a type, as [bbolt.PageInfo] names it.
func eachPage(tx *bbolt.Tx, kind string, f func(id int) error) error {
	size := tx.DB().Info().PageSize
	for id := 0; id < int(tx.Size())/size; id++ {
		p, err := tx.Page(id)
		if err != nil {
			return err
		}
		if p.Type == kind {
			if err := f(id); err != nil {
				return fmt.Errorf("page %d: %w", id, err)
			}
		}
		if p.Type != "free" {
			id += p.OverflowCount
		}
	}
	return nil
}

// inspectBranch says whether one branch has the first keys of the pages below it.
func inspectBranch(f *os.File, tx *bbolt.Tx, id int) error {
	size := tx.DB().Info().PageSize
	page, err := readPage(f, tx, id)
	if err != nil {
		return err
	}
	for i := range int(binary.NativeEndian.Uint16(page[pageCount:])) {
		at := pageHeaderSize + i*elementSize
		key, err := keyAt(page, at, 0)
		if err != nil {
			return err
		}
		below := binary.NativeEndian.Uint64(page[at+8:])
		if below >= uint64(tx.Size())/uint64(size) {
			return fmt.Errorf("it leads to page %d, which is not there", below)
		}
		first, err := firstKey(f, tx, int(below))
		if err != nil {
			return fmt.Errorf("page %d below it: %w", below, err)
		}
		if !bytes.Equal(key, first) {
			return fmt.Errorf("it leads to page %d by the key %q, and that begins with %q",
				below, wellformed.Clip(string(key)), wellformed.Clip(string(first)))
		}
	}
	return nil
}

// firstKey returns the first key of a leaf or a branch.
func firstKey(f *os.File, tx *bbolt.Tx, id int) ([]byte, error) {
	p, err := tx.Page(id)
	if err != nil {
		return nil, err
	}
	page, err := readPage(f, tx, id)
	switch {
	case err != nil:
		return nil, err
	case p.Count == 0:
		return nil, errors.New("it is empty")
	case p.Type == "branch":
		return keyAt(page, pageHeaderSize, 0)
	case p.Type == "leaf":
		return keyAt(page, pageHeaderSize, leafFlags)
	}
	return nil, fmt.Errorf("it is a %s page", p.Type)
}

// readPage returns a page with those that it goes on over.
func readPage(f *os.File, tx *bbolt.Tx, id int) ([]byte, error) {
	p, err := tx.Page(id)
	if err != nil {
		return nil, err
	}
	size := tx.DB().Info().PageSize
	page := make([]byte, (1+p.OverflowCount)*size)
	_, err = io.ReadFull(io.NewSectionReader(f, int64(id*size), int64(len(page))), page)
	return page, err
}

// keyAt returns the key of the element at an offset of a page, whose position and size are some
// bytes behind its beginning.
func keyAt(page []byte, element, behind int) ([]byte, error) {
	if element+elementSize > len(page) {
		return nil, errors.New("its elements do not end in it")
	}
	at := int64(element) + int64(binary.NativeEndian.Uint32(page[element+behind:]))
	end := at + int64(binary.NativeEndian.Uint32(page[element+behind+4:]))
	if end > int64(len(page)) {
		return nil, errors.New("a key does not end in it")
	}
	return page[at:end], nil
}
