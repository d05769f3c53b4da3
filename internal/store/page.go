package store

import "encoding/binary"

// Layout of a bbolt file, in the byte order of the machine that wrote it (bbolt,
// internal/common: page.go, meta.go, bucket.go).
const (
	pageHeaderSize   = 16 // id 8, flags 2, count 2, overflow 4
	elementSize      = 16 // leaf: flags 4, pos 4, ksize 4, vsize 4; branch: pos 4, ksize 4, page 8
	bucketHeaderSize = 16 // root 8, sequence 8
	metaSize         = 64 // magic 4, version 4, page size 4, flags 4, root 8, sequence 8, freelist 8, pages 8, txid 8, checksum 8

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	bucketElement = 0x01

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	longFreelist = 0xFFFF // count: the true one is in the first id's place
)

// page is a page with its overflow, or the page inside an inline bucket.
type page struct {
	id       uint64
	flags    uint16
	count    int
	overflow uint32
	data     []byte // header included
}

// parsePage reads the header; data has one at least.
func parsePage(data []byte) page {
	return page{
		id:       binary.NativeEndian.Uint64(data),
		flags:    binary.NativeEndian.Uint16(data[8:]),
		count:    int(binary.NativeEndian.Uint16(data[10:])),
		overflow: binary.NativeEndian.Uint32(data[12:]),
		data:     data,
	}
}

// element is an element of a leaf or of a branch.
type element struct {
	flags uint32 // of a leaf's
	child uint64 // a branch's
	key   []byte
	value []byte // a leaf's; nil of a branch's
}

// element reads element i, which it does not trust to lie in the page. Its slices
// point into the page's data and cannot be appended to there.
func (p page) element(i int) (element, error) {
	at := pageHeaderSize + i*elementSize
	if at+elementSize > len(p.data) {
		return element{}, damagef("page %d has no room for %d elements", p.id, p.count)
	}
	var e element
	var pos, keySize, valueSize uint32
	head := p.data[at:]
	if p.flags == leafPage {
		e.flags = binary.NativeEndian.Uint32(head)
		pos = binary.NativeEndian.Uint32(head[4:])
		keySize = binary.NativeEndian.Uint32(head[8:])
		valueSize = binary.NativeEndian.Uint32(head[12:])
	} else {
		pos = binary.NativeEndian.Uint32(head)
		keySize = binary.NativeEndian.Uint32(head[4:])
		e.child = binary.NativeEndian.Uint64(head[8:])
	}
	start := uint64(at) + uint64(pos)
	middle := start + uint64(keySize)
	end := middle + uint64(valueSize)
	if keySize == 0 || end > uint64(len(p.data)) {
		return element{}, damagef("element %d of page %d has no key or reaches beyond the page", i, p.id)
	}
	e.key = p.data[start:middle:middle]
	if p.flags == leafPage {
		e.value = p.data[middle:end:end]
	}
	return e, nil
}

// freelist is the list of page ids that a freelist page holds.
func (p page) freelist() ([]byte, error) {
	list, count := p.data[pageHeaderSize:], uint64(p.count)
	if p.count == longFreelist {
		count, list = binary.NativeEndian.Uint64(list), list[8:]
	}
	if count > uint64(len(list)/8) {
		return nil, damagef("page %d has no room for a list of %d pages", p.id, count)
	}
	return list[:count*8], nil
}
