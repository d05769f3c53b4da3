package counters_test

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/internal/counters"
)

// FuzzRestore has files with any header and any blocks read. Whatever is made of them works as a
// table, and is understood by the next process.
func FuzzRestore(f *testing.F) {
	l := layout(2, "a", "b")
	table, err := counters.New("seed", l)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"x", "y"} {
		b, err := table.Take(counters.NewID("port", name))
		if err != nil {
			f.Fatal(err)
		}
		b.Words[0].Add(3)
	}
	blocks := make([]byte, 1200)
	if _, err := unix.Pread(table.Fd(), blocks, l.BlockAt(0)); err != nil {
		f.Fatal(err)
	}
	table.Unmap()
	f.Add([]byte(`{"names":["a","b"],"words":16,"shares":2}`), blocks, uint32(1))
	f.Add([]byte(`{"names":["b","a","c"],"words":16,"shares":2}`), blocks, uint32(1))
	f.Add([]byte(`{"names":["c"],"words":16,"shares":2}`), blocks, uint32(3))
	f.Add([]byte(`{"names":["a"],"words":1024,"shares":4096}`), blocks, uint32(600))
	f.Add([]byte(`{"names":[],"words":-1}`), []byte(nil), uint32(0))
	f.Fuzz(func(t *testing.T, header, blocks []byte, chunks uint32) {
		size := l.BlockAt(0) * (1 + int64(chunks%1000))
		fd := memory(t, counters.EncodeHeader(header), size, true)
		if len(blocks) > 0 && l.BlockAt(0)+int64(len(blocks)) <= size {
			if _, err := unix.Pwrite(fd, blocks, l.BlockAt(0)); err != nil {
				t.Fatal(err)
			}
		}
		l := layout(2, "a", "b")
		l.Blocks = 300
		table, _, err := counters.Restore(fd, "fuzz", l)
		if err != nil {
			return
		}
		defer table.Unmap()
		useAsAny(t, table, l)
	})
}

// useAsAny wants a table to take blocks, count, and be restored.
func useAsAny(t *testing.T, table *counters.Table, l counters.Layout) {
	t.Helper()
	ids := make([]counters.ID, 200)
	before := make([]uint64, len(ids))
	for i := range ids {
		ids[i] = counters.NewID("port", string(binary.AppendUvarint([]byte("x"), uint64(i))))
		if i == 0 {
			ids[i] = counters.NewID("port", "x")
		}
		b, err := table.Take(ids[i])
		if err != nil {
			continue // the file is full of others
		}
		b.Words[17].Add(uint64(i))
		before[i] = b.Words[17].Load()
	}
	table.ReleaseRest()
	fd, err := unix.Dup(table.Fd())
	if err != nil {
		t.Fatal(err)
	}
	next, fresh, err := counters.Restore(fd, "fuzz", l)
	if err != nil || fresh {
		t.Fatalf("what was a table is none to the next process: %v", err)
	}
	defer next.Unmap()
	for i, id := range ids {
		b, err := next.Take(id)
		if err != nil || before[i] != 0 && b.Words[17].Load() != before[i] {
			t.Fatalf("block %d has counted %d, want %d, %v", i, b.Words[17].Load(), before[i], err)
		}
	}
}
