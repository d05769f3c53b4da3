package store

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// TestRecordsThatLeaveTheirLeafAreFound: a key or a value whose size leads out of its page, or
// out of a bucket without a page of its own, is damage before anything reads so far.
func TestRecordsThatLeaveTheirLeafAreFound(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), small)
	var s script
	for range 30 { // too many for a bucket of segments or ports without a page
		must(t, s.next().apply(db))
	}
	image := readFile(t, db.path)
	sizes, inline := 0, 0
	lengthen := func(at int) {
		sizes++
		damaged := bytes.Clone(image)
		damaged[at+2] |= 1 << 4 // MiB
		_, err := readState(damaged)
		if err == nil || !strings.Contains(err.Error(), "does not end in it") {
			t.Errorf("size at %d of the file: %v, want that it does not end in its page", at, err)
		}
	}
	var leaf func(begin int)
	leaf = func(begin int) {
		for i := range int(binary.NativeEndian.Uint16(image[begin+pageCount:])) {
			at := begin + pageHeaderSize + i*elementSize
			lengthen(at + 8)
			lengthen(at + 12)
			value := at
			for _, field := range []int{4, 8} {
				value += int(binary.NativeEndian.Uint32(image[at+field:]))
			}
			bucket := binary.NativeEndian.Uint32(image[at:])&bucketFlag != 0
			if bucket && binary.NativeEndian.Uint64(image[value:]) == 0 {
				inline++
				leaf(value + bucketHeaderSize)
			}
		}
	}
	must(t, db.bolt.View(func(tx *bbolt.Tx) error {
		return eachPage(tx, "leaf", func(id int) error { leaf(id * smallPage); return nil })
	}))
	if sizes < 20 || inline == 0 {
		t.Errorf("the file has %d sizes and %d buckets without a page, too few for this test", sizes, inline)
	}
}
