package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"vswitch/internal/wellformed"

	"go.etcd.io/bbolt"
)

// openCopy opens a copy in memory to read it.
func openCopy(f *os.File, o bbolt.Options) (*bbolt.DB, error) {
	o.ReadOnly, o.Timeout = true, DefaultLockTimeout
	return bbolt.Open(pathOf(f), 0, &o)
}

// pathOf is a path by which a file in memory can be opened once more.
func pathOf(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// inspect says what bbolt finds in a copy of a state file. It may end the process.
func inspect(f *os.File) (v verdict) {
	err := rescue(func() error {
		bolt, err := openCopy(f, bbolt.Options{PreLoadFreelist: true})
		if err != nil {
			return err
		}
		if v, err = inspectRoots(f, bolt.Info().PageSize); err != nil {
			return err
		}
		tx, err := bolt.Begin(false)
		if err != nil {
			return err
		}
		if err := inspectTx(f, tx); err != nil {
			return err // the check may still be under way: all stays open
		}
		return cmp.Or(tx.Rollback(), bolt.Close())
	})
	if err != nil {
		v.Damage = wellformed.Clip(err.Error())
	}
	return v
}

// maxTxid leaves room for the transactions to come.
const maxTxid = 1 << 62

// inspectTx says what is wrong with what a transaction sees, as far as bbolt can tell.
func inspectTx(f *os.File, tx *bbolt.Tx) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if tx.Size() > info.Size() {
		return fmt.Errorf("it has %d bytes instead of %d", info.Size(), tx.Size())
	}
	if id := tx.ID(); id < 0 || id > maxTxid {
		return fmt.Errorf("there cannot have been %d transactions", uint(id))
	}
	used, err := inspectPages(tx)
	if err != nil {
		return err
	}
	if err := inspectLeaves(f, tx); err != nil {
		return err
	}
	if err := <-tx.Check(); err != nil {
		return err // what else it would find does not matter, and may be without end
	}
	if err := inspectBranches(f, tx); err != nil {
		return err
	}
	s := tx.Cursor().Bucket().Stats()
	if reached := s.BranchPageN + s.BranchOverflowN + s.LeafPageN + s.LeafOverflowN; used != reached {
		return fmt.Errorf("%d pages are in use, of which %d are reached", used, reached)
	}
	// The check passes over buckets that are small enough to have no page of their own.
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if b.Root() == 0 && b.Stats().InlineBucketInuse == 0 {
			return fmt.Errorf("bucket %q has no page of records", wellformed.Clip(string(name)))
		}
		return nil
	})
}

// inspectPages goes through the pages one after the other, which [bbolt.Tx.Check] does not:
// each with those that it goes on over must end where the next one begins. It returns how many
// are in use for records.
func inspectPages(tx *bbolt.Tx) (used int, err error) {
	const roots = 2
	pages, free, lists := int(tx.Size())/tx.DB().Info().PageSize, 0, 0
	id := roots
	for id < pages {
		p, err := tx.Page(id)
		if err != nil {
			return 0, err
		}
		span := 1 + p.OverflowCount
		switch p.Type {
		case "free":
			free, span = free+1, 1
		case "freelist":
			lists++
		default:
			used += span
		}
		id += span
	}
	if listed := tx.DB().Stats().FreePageN; id != pages || lists != 1 || free != listed {
		return 0, fmt.Errorf("its pages end at %d of %d, %d of them free, and %d lists have %d",
			id, pages, free, lists, listed)
	}
	return used, nil
}

// Layout of a root's page, in the byte order of the machine that wrote it (bbolt,
// internal/common: page.go, meta.go).
const (
	pageHeaderSize = 16 // id 8, flags 2, count 2, overflow 4
	pageFlags      = 8
	pageCount      = 10
	rootSize       = 64 // the last 8 are its checksum
	rootFlag       = 4
)

// inspectRoots says whether both roots of the file can be read. bbolt writes them in turn, and
// is content with one; only its check wants the header of the other's page whole, so f gets it.
func inspectRoots(f *os.File, pageSize int) (v verdict, err error) {
	for id := range 2 {
		page := make([]byte, pageHeaderSize+rootSize)
		if _, err := f.ReadAt(page, int64(id*pageSize)); err != nil {
			return v, err
		}
		root, sum := page[pageHeaderSize:], fnv.New64a()
		sum.Write(root[:rootSize-8])
		if sum.Sum64() != binary.NativeEndian.Uint64(root[rootSize-8:]) {
			v.OneRoot = true
		}
		header := binary.NativeEndian.AppendUint64(nil, uint64(id))
		header = binary.NativeEndian.AppendUint16(header, rootFlag)
		if _, err := f.WriteAt(header, int64(id*pageSize)); err != nil {
			return v, err
		}
	}
	if v.OneRoot {
		v.LastChange, err = lastChange(f)
	}
	return v, err
}

// lastChange is the highest number of a change that is anywhere in the file, be it on a page
// that is free: that of a change whose root is gone, or was never written.
func lastChange(f *os.File) (last int, err error) {
	const longest = 1 << 10 // bytes of a record of the file itself
	image, err := io.ReadAll(io.NewSectionReader(f, 0, maxFile))
	begin := []byte(`{"schema":`)
	for at := 0; ; at++ {
		next := bytes.Index(image[at:], begin)
		if next < 0 {
			return last, err
		}
		at += next
		text := image[at:min(at+longest, len(image))]
		if end := bytes.IndexByte(text, '}'); end > 0 && at >= checksumSize {
			if a, err := decodeAbout(image[at-checksumSize : at+end+1]); err == nil {
				last = max(last, a.Change)
			}
		}
	}
}
