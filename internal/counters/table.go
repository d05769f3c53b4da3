package counters

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Table is the blocks in one file. It is safe for use by several goroutines.
type Table struct {
	layout Layout

	mu     sync.Mutex
	file   *os.File // nil: the table is in memory that ends with the process
	chunks int      // of the file, all mapped
	blocks map[ID]*Block
	free   []*Block
}

// New makes an empty table. The name of its file is for those who look for it in /proc.
func New(name string, l Layout) (*Table, error) {
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("counters %q: %w", name, err)
	}
	t := newTable(l)
	header, err := l.header()
	if err != nil {
		return nil, fmt.Errorf("counters %q: %w", name, err)
	}
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make memory for counters %q: %w", name, err)
	}
	t.file = os.NewFile(uintptr(fd), name)
	_, err = t.file.WriteAt(header, 0)
	if err == nil {
		err = t.file.Truncate(chunkUnit)
	}
	if err == nil {
		// Memory that is mapped must not go.
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make memory for counters %q: %w", name, err), t.Close())
	}
	return t, nil
}

// Private makes an empty table in memory that ends with the process, for where there is no other.
func Private(l Layout) *Table { return newTable(l) }

func newTable(l Layout) *Table { return &Table{layout: l, blocks: make(map[ID]*Block)} }

// Restore makes a table of a file that was one's in another process, with the counters that have
// not ended, and takes fd. Where the file has another layout the table has another file, with what
// both know; fresh is true then, and the caller keeps that file instead. The error says what the
// file is instead of a table.
func Restore(fd int, name string, l Layout) (t *Table, fresh bool, err error) {
	file := os.NewFile(uintptr(fd), name)
	if file == nil {
		return nil, false, fmt.Errorf("counters %q: %d is no descriptor", name, fd)
	}
	t, fresh, err = restore(file, name, l)
	if err != nil {
		err = fmt.Errorf("counters %q: %w", name, err)
	}
	if err != nil || fresh {
		err = errors.Join(err, file.Close())
	}
	return t, fresh, err
}

func restore(file *os.File, name string, l Layout) (*Table, bool, error) {
	if err := l.check(); err != nil {
		return nil, false, err
	}
	seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || seals&unix.F_SEAL_SHRINK == 0 {
		return nil, false, errors.New("it is no memory that stays as large as it is")
	}
	info, err := file.Stat()
	if err != nil {
		return nil, false, err
	}
	old, err := readLayout(file)
	if err != nil {
		return nil, false, err
	}
	if !old.same(&l) {
		t, err := transfer(file, info.Size(), old, name, l)
		return t, err == nil, err
	}
	t := newTable(l)
	t.file = file
	chunks := max(0, info.Size()-chunkUnit) / int64(l.chunkBytes())
	for range min(chunks, int64(l.maxChunks())) {
		if err := t.grow(); err != nil {
			return nil, false, err
		}
	}
	t.adopt()
	return t, false, nil
}

// adopt finds out which of the blocks in the file count something.
func (t *Table) adopt() {
	var free []*Block
	for _, b := range t.free {
		h := readHead(func(i int) uint64 { return b.head[i].Load() })
		if _, twice := t.blocks[h.id]; !h.valid(b.index) || twice || !t.recover(b) {
			b.end()
			free = append(free, b)
			continue
		}
		b.since = time.Unix(0, h.since).UTC()
		t.blocks[h.id] = b
	}
	t.free = free
}

func (t *Table) recover(b *Block) bool {
	return t.layout.Recover == nil || t.layout.Recover(b.Words)
}

// Fd is the descriptor of the table's file, which stays the table's; -1 without one.
func (t *Table) Fd() int {
	if t.file == nil {
		return -1
	}
	return int(t.file.Fd())
}

// Take returns the block of this ID: the one that it has, or a new one. An error says why that is
// in memory that ends with the process.
func (t *Table) Take(id ID) (*Block, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := t.blocks[id]; b != nil {
		b.taken = true
		return b, nil
	}
	b, err := t.next()
	if b == nil {
		b = &Block{Words: make([]atomic.Uint64, t.layout.Shares*t.layout.Words)}
	}
	b.begin(id, time.Now())
	t.blocks[id] = b
	return b, err
}

// next returns a block of the file that is free, or nil.
func (t *Table) next() (*Block, error) {
	if len(t.free) == 0 && t.file != nil {
		if err := t.grow(); err != nil {
			return nil, err
		}
	}
	n := len(t.free)
	if n == 0 {
		return nil, nil
	}
	b := t.free[n-1]
	t.free = t.free[:n-1]
	return b, nil
}

// Release ends the block of this ID, if there is one. Nobody may count in it any more. Who reads
// it may find what has its memory next, but the block's own beginning.
func (t *Table) Release(id ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := t.blocks[id]; b != nil {
		t.release(id, b)
	}
}

func (t *Table) release(id ID, b *Block) {
	delete(t.blocks, id)
	b.end()
	if b.head != nil {
		// Another Block, for who still reads this one.
		t.free = append(t.free, &Block{Words: b.Words, head: b.head, index: b.index})
	}
}

// ReleaseRest ends the blocks that a process before has left and nobody has taken.
func (t *Table) ReleaseRest() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, b := range t.blocks {
		if !b.taken {
			t.release(id, b)
		}
	}
}

// grow adds the next chunk of the file.
func (t *Table) grow() error {
	l := &t.layout
	if t.chunks >= l.maxChunks() {
		return fmt.Errorf("memory for counters is full: it has %d blocks", l.Blocks)
	}
	size := l.chunkBytes()
	offset := chunkUnit + int64(t.chunks)*int64(size)
	// Before it is mapped: a machine without memory answers a write there with SIGBUS.
	if err := unix.Fallocate(t.Fd(), 0, offset, int64(size)); err != nil {
		return fmt.Errorf("allocate memory for counters: %w", err)
	}
	memory, err := unix.Mmap(t.Fd(), offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map memory for counters: %w", err)
	}
	words := unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(&memory[0])), size/wordBytes)
	n, each := l.blocksInChunk(), l.blockBytes()/wordBytes
	first := t.chunks * n
	t.chunks++
	for i := min(n, l.Blocks-first) - 1; i >= 0; i-- {
		w := words[i*each:][:each]
		t.free = append(t.free, &Block{
			head: w[:headWords], Words: w[headWords:], index: first + i,
		})
	}
	return nil
}

// Close closes the file. Its memory stays mapped, for those who still count or read.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}
