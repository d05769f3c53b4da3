package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

// Layout of a bucket's value in a leaf: its root and its sequence, and where there is no root
// the one page of its records, which is a leaf too (bbolt, internal/common: bucket.go).
const (
	bucketHeaderSize = 16 // root 8, sequence 8
	bucketFlag       = 1  // of an element
	leafFlag         = 2  // of a page
)

// inspectLeaves says whether each leaf holds its records. bbolt takes their places and sizes for
// granted, and would read on into memory that is not the file's.
func inspectLeaves(f *os.File, tx *bbolt.Tx) error {
	return eachPage(tx, "leaf", func(id int) error {
		page, err := readPage(f, tx, id)
		if err != nil {
			return err
		}
		return inspectLeaf(page, inspectInline)
	})
}

// inspectLeaf says whether a leaf holds its records, and what is wrong with a bucket among them.
func inspectLeaf(page []byte, inspectBucket func(value []byte) error) error {
	for i := range int(binary.NativeEndian.Uint16(page[pageCount:])) {
		at := pageHeaderSize + i*elementSize
		key, err := keyAt(page, at, leafFlags)
		if err != nil {
			return err
		}
		element := page[at:]
		begin := int64(at) + int64(binary.NativeEndian.Uint32(element[leafFlags:])) + int64(len(key))
		end := begin + int64(binary.NativeEndian.Uint32(element[leafFlags+8:]))
		if end > int64(len(page)) {
			return fmt.Errorf("record %d does not end in it", i)
		}
		if binary.NativeEndian.Uint32(element)&bucketFlag != 0 {
			if err := inspectBucket(page[begin:end]); err != nil {
				return fmt.Errorf("bucket %d: %w", i, err)
			}
		}
	}
	return nil
}

// inspectInline says whether a bucket that has no page of its own holds its records.
func inspectInline(value []byte) error {
	if len(value) < bucketHeaderSize {
		return fmt.Errorf("it has %d bytes, fewer than any bucket", len(value))
	}
	if binary.NativeEndian.Uint64(value) != 0 { // the number of its root
		return nil
	}
	page := value[bucketHeaderSize:]
	if len(page) < pageHeaderSize || binary.NativeEndian.Uint16(page[pageFlags:]) != leafFlag {
		return errors.New("it has no page of records")
	}
	return inspectLeaf(page, func([]byte) error { return errors.New("it has a bucket below it") })
}
