package store

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"math/bits"
)

// image reads a bbolt file as plain bytes and trusts none of them. bbolt itself
// takes the file for granted once a checksum over its root is right: it maps it
// into memory and follows every offset, so that a wrong one ends the process, in
// goroutines of bbolt's own even where a caller would recover. What this has
// found whole, bbolt can read and write.
type image struct {
	file     io.ReaderAt
	size     int64
	pageSize int64
	meta     meta
	used     []bool // by page id: part of a tree, of the freelist or free
}

// meta is the root of everything; the file has one of the last transaction and
// one of the transaction before.
type meta struct {
	pageSize              uint32
	root, freelist, pages uint64
	txid                  uint64
}

// Limits of what is read.
const (
	minPageSize = 1 << 10
	maxPageSize = 1 << 16
	maxFile     = 4 << 30 // bytes
	maxSpan     = 8 << 20 // bytes of a page with its overflow: bbolt leaves four records together, whatever their size
	maxDepth    = 32
	maxTxid     = 1 << 62
)

// readImage reads a whole file of size bytes and finds it sound, or returns an
// [ErrDamaged], or the error of the disk.
func readImage(file io.ReaderAt, size int64) (*contents, error) {
	m := &image{file: file, size: size}
	if err := m.readMetas(); err != nil {
		return nil, err
	}
	m.used = make([]bool, m.meta.pages)
	m.used[0], m.used[1] = true, true
	c := newContents()
	if err := m.readBuckets(c); err != nil {
		c.note(err)
		if !errors.Is(err, ErrDamaged) {
			return nil, err
		}
	}
	if err := m.readFreelist(); err != nil {
		c.note(err)
		if !errors.Is(err, ErrDamaged) {
			return nil, err
		}
	}
	return c, nil
}

func (m *image) readAt(b []byte, offset int64) error {
	n, err := m.file.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return damagef("it ends at %d bytes, before a page at %d does", m.size, offset)
	}
	return err
}

// readMetas wants both roots whole. bbolt is content with one, and would then
// silently go back by a transaction that was acknowledged. That a power cut tears
// one is not to be expected: it fits into one sector, which disks write whole.
func (m *image) readMetas() error {
	if m.size > maxFile {
		return damagef("it has %d bytes, more than any state needs", m.size)
	}
	first, err := m.readMeta(0, 0)
	if err != nil {
		return err
	}
	if s := first.pageSize; s < minPageSize || s > maxPageSize || bits.OnesCount32(s) != 1 {
		return damagef("its pages cannot have %d bytes", s)
	}
	second, err := m.readMeta(1, int64(first.pageSize))
	if err != nil {
		return err
	}
	if first.pageSize != second.pageSize {
		return damagef("its pages cannot have both %d and %d bytes", first.pageSize, second.pageSize)
	}
	m.meta, m.pageSize = first, int64(first.pageSize)
	if second.txid > first.txid {
		m.meta = second
	}
	if m.meta.txid > maxTxid {
		return damagef("there cannot have been %d transactions", m.meta.txid)
	}
	if m.meta.pages < 4 || m.meta.pages > uint64(m.size/m.pageSize) {
		return damagef("it has %d bytes, not %d pages of %d", m.size, m.meta.pages, m.pageSize)
	}
	return nil
}

func (m *image) readMeta(id uint64, offset int64) (meta, error) {
	var data [pageHeaderSize + metaSize]byte
	if err := m.readAt(data[:], offset); err != nil {
		return meta{}, err
	}
	p, b := parsePage(data[:]), data[pageHeaderSize:]
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	if p.id != id || p.flags != metaPage || binary.NativeEndian.Uint64(b[metaSize-8:]) != sum.Sum64() {
		return meta{}, damagef("page %d is not a root of the file", id)
	}
	if binary.NativeEndian.Uint32(b) != boltMagic || binary.NativeEndian.Uint32(b[4:]) != boltVersion {
		return meta{}, damagef("page %d is not that of a bbolt file of version %d", id, boltVersion)
	}
	return meta{
		pageSize: binary.NativeEndian.Uint32(b[8:]),
		root:     binary.NativeEndian.Uint64(b[16:]), // a sequence number follows
		freelist: binary.NativeEndian.Uint64(b[32:]),
		pages:    binary.NativeEndian.Uint64(b[40:]),
		txid:     binary.NativeEndian.Uint64(b[48:]),
	}, nil
}

// page reads a page with its overflow. Each can be read once only, since a sound
// file refers to each once.
func (m *image) page(id uint64) (page, error) {
	if id >= m.meta.pages {
		return page{}, damagef("page %d is not among the file's %d", id, m.meta.pages)
	}
	data := make([]byte, m.pageSize)
	if err := m.readAt(data, int64(id)*m.pageSize); err != nil {
		return page{}, err
	}
	p := parsePage(data)
	if p.id != id {
		return page{}, damagef("page %d says that it is page %d", id, p.id)
	}
	span := uint64(p.overflow) + 1
	if span > m.meta.pages-id || span > maxSpan/uint64(m.pageSize) {
		return page{}, damagef("page %d cannot go on for %d pages", id, span)
	}
	for i := id; i < id+span; i++ {
		if err := m.claim(i); err != nil {
			return page{}, err
		}
	}
	if span > 1 {
		p.data = make([]byte, int64(span)*m.pageSize)
		if err := m.readAt(p.data, int64(id)*m.pageSize); err != nil {
			return page{}, err
		}
	}
	return p, nil
}

// claim marks a page that exists as used.
func (m *image) claim(id uint64) error {
	if m.used[id] {
		return damagef("page %d is used twice, or free and used", id)
	}
	m.used[id] = true
	return nil
}

// readFreelist wants that no used page is free as well. A page that is neither is
// lost, but does no harm.
func (m *image) readFreelist() error {
	p, err := m.page(m.meta.freelist)
	if err != nil {
		return err
	}
	if p.flags != freelistPage {
		return damagef("page %d is not the list of free pages", p.id)
	}
	list, err := p.freelist()
	if err != nil {
		return err
	}
	for ; len(list) > 0; list = list[8:] {
		id := binary.NativeEndian.Uint64(list)
		if id >= m.meta.pages {
			return damagef("free page %d is not among the file's %d", id, m.meta.pages)
		}
		if err := m.claim(id); err != nil {
			return err
		}
	}
	return nil
}

// readBuckets reads all buckets and their records into c.
func (m *image) readBuckets(c *contents) error {
	return m.walk(m.meta.root, func(e element) error {
		name := string(e.key)
		if e.flags != bucketElement {
			c.stray("", name)
			return nil
		}
		c.bucket(name)
		visit := func(e element) error {
			if e.flags != 0 {
				c.stray(name, string(e.key))
			} else {
				c.record(name, string(e.key), e.value)
			}
			return nil
		}
		if len(e.value) < bucketHeaderSize {
			return damagef("bucket %q has no root", clip(name))
		}
		if root := binary.NativeEndian.Uint64(e.value); root != 0 {
			return m.walk(root, visit)
		}
		return walkInline(name, e.value[bucketHeaderSize:], visit)
	})
}
