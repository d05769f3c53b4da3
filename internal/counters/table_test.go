package counters_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/internal/counters"
)

// layout returns one with counters of these names.
func layout(shares int, names ...string) counters.Layout {
	words := (len(names) + counters.LineWords - 1) / counters.LineWords * counters.LineWords
	return counters.Layout{Names: names, Words: words, Shares: shares, Blocks: 10000}
}

func newTable(t *testing.T, l counters.Layout) *counters.Table {
	t.Helper()
	table, err := counters.New("test", l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Unmap)
	return table
}

// restored returns the table that another process makes of the file of this one.
func restored(t *testing.T, old *counters.Table, l counters.Layout) (*counters.Table, bool) {
	t.Helper()
	fd, err := unix.Dup(old.Fd())
	if err != nil {
		t.Fatal(err)
	}
	table, fresh, err := counters.Restore(fd, "test", l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Unmap)
	return table, fresh
}

func take(t *testing.T, table *counters.Table, name string) *counters.Block {
	t.Helper()
	b, err := table.Take(counters.NewID("port", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// holds wants the words that are not zero to be these, by their places.
func holds(t *testing.T, b *counters.Block, want map[int]uint64) {
	t.Helper()
	for i := range b.Words {
		if n := b.Words[i].Load(); n != want[i] {
			t.Errorf("word %d is %d, want %d", i, n, want[i])
		}
	}
}

// TestBlocksOutliveTheirProcess: another process finds them where they were, and may count on.
func TestBlocksOutliveTheirProcess(t *testing.T) {
	t.Parallel()
	l := layout(2, "a", "b")
	first := newTable(t, l)
	kept, gone := take(t, first, "kept"), take(t, first, "gone")
	kept.Words[1].Add(7)
	kept.Words[16].Add(1)
	gone.Words[0].Add(9)
	second, fresh := restored(t, first, l)
	if fresh {
		t.Error("a file of the same layout was not used")
	}
	b := take(t, second, "kept")
	if !b.Since().Equal(kept.Since()) || b.Since().IsZero() {
		t.Errorf("the block counts since %s, and did since %s", b.Since(), kept.Since())
	}
	b.Words[1].Add(1)
	holds(t, b, map[int]uint64{1: 8, 16: 1})
	if again := take(t, second, "kept"); again != b {
		t.Error("the block taken twice is two")
	}
	second.ReleaseRest()
	holds(t, take(t, second, "kept"), map[int]uint64{1: 8, 16: 1})
	holds(t, take(t, second, "gone"), nil)
}

// TestReleasedBlocksAreNotInherited, by whatever takes their memory.
func TestReleasedBlocksAreNotInherited(t *testing.T) {
	t.Parallel()
	l := layout(1, "a")
	table := newTable(t, l)
	old := take(t, table, "a")
	old.Words[0].Add(5)
	since := old.Since()
	table.Release(counters.NewID("port", "a"))
	table.Release(counters.NewID("port", "never taken"))
	holds(t, take(t, table, "b"), nil)
	again := take(t, table, "a")
	if holds(t, again, nil); !again.Since().After(since) {
		t.Error("the new block counts since the old one does")
	}
	again.Words[0].Add(6)
	table.Release(counters.NewID("port", "a"))
	next, _ := restored(t, table, l)
	holds(t, take(t, next, "a"), nil)
}

// TestReleasedBlockCanBeRead, as by who has not heard of its end yet, and does not change its
// beginning with whatever takes its memory.
func TestReleasedBlockCanBeRead(t *testing.T) {
	t.Parallel()
	table := newTable(t, layout(1, "a"))
	old := take(t, table, "old")
	since, done := old.Since(), make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			if got := old.Since(); !got.Equal(since) {
				t.Errorf("a block that counted since %s is said to count since %s", since, got)
				return
			}
			old.Words[0].Load()
		}
	}()
	for i := range 100 {
		table.Release(counters.NewID("port", "old"))
		table.Release(counters.NewID("port", fmt.Sprint("new", i-1)))
		take(t, table, fmt.Sprint("new", i)).Words[0].Add(1)
	}
	<-done
}

// TestTableGrows without moving blocks, and says when it is full.
func TestTableGrows(t *testing.T) {
	t.Parallel()
	l := layout(3, "a", "b")
	l.Blocks = 3000
	table := newTable(t, l)
	blocks := make([]*counters.Block, l.Blocks)
	for i := range blocks {
		blocks[i] = take(t, table, fmt.Sprint(i))
		blocks[i].Words[0].Add(uint64(i))
	}
	extra, err := table.Take(counters.NewID("port", "extra"))
	if err == nil || !strings.Contains(err.Error(), "full") || extra == nil {
		t.Errorf("one block more than there may be: %v", err)
	} else {
		extra.Words[len(extra.Words)-1].Add(1)
	}
	next, _ := restored(t, table, l)
	for i := range blocks {
		blocks[i].Words[1].Add(1)
		if b := take(t, next, fmt.Sprint(i)); b.Words[0].Load() != uint64(i) || b.Words[1].Load() != 1 {
			t.Fatalf("block %d has counted %d and %d", i, b.Words[0].Load(), b.Words[1].Load())
		}
	}
	table.Release(counters.NewID("port", "extra"))
	table.Release(counters.NewID("port", "7"))
	holds(t, take(t, table, "one more"), nil)
}

// TestPrivateTable counts as any other.
func TestPrivateTable(t *testing.T) {
	t.Parallel()
	table := counters.Private(layout(2, "a"))
	if table.Fd() != -1 {
		t.Errorf("its file is %d", table.Fd())
	}
	b := take(t, table, "a")
	b.Words[0].Add(1)
	holds(t, take(t, table, "a"), map[int]uint64{0: 1})
	table.Release(counters.NewID("port", "a"))
	holds(t, take(t, table, "a"), nil)
	table.ReleaseRest()
	if err := table.Close(); err != nil || b.Since().IsZero() {
		t.Errorf("since %s, %v", b.Since(), err)
	}
}

// TestAnotherLayout: a version with other counters, or another number of threads, takes over what
// both know.
func TestAnotherLayout(t *testing.T) {
	t.Parallel()
	old := newTable(t, layout(2, "a", "gone", "b"))
	b := take(t, old, "port")
	b.Words[0].Add(1)
	b.Words[2].Add(2)
	b.Words[16].Add(10)
	b.Words[18].Add(20)
	odd := take(t, old, "has counted what is gone")
	odd.Words[0].Add(3)
	odd.Words[17].Add(1)
	for name, l := range map[string]counters.Layout{
		"more shares": layout(3, "a", "new", "b"),
		"one share":   layout(1, "a", "new", "b"),
	} {
		t.Run(name, func(t *testing.T) {
			next, fresh := restored(t, old, l)
			if !fresh || next.Fd() == old.Fd() {
				t.Error("the file of another layout goes on being used")
			}
			moved := take(t, next, "port")
			if holds(t, moved, map[int]uint64{0: 11, 2: 22}); !moved.Since().Equal(b.Since()) {
				t.Errorf("the block counts since %s, and did since %s", moved.Since(), b.Since())
			}
			holds(t, take(t, next, "has counted what is gone"), nil)
			back, _ := restored(t, next, layout(2, "a", "gone", "b"))
			holds(t, take(t, back, "port"), map[int]uint64{0: 11, 2: 22})
		})
	}
}

// TestRecover prepares each block that was left, once, and may refuse it.
func TestRecover(t *testing.T) {
	t.Parallel()
	l := layout(2, "a", "b")
	table := newTable(t, l)
	take(t, table, "good").Words[0].Add(1)
	take(t, table, "bad").Words[0].Add(100)
	l.Recover = func(words []atomic.Uint64) bool {
		words[1].Add(1)
		return words[0].Load() < 100
	}
	next, _ := restored(t, table, l)
	holds(t, take(t, next, "good"), map[int]uint64{0: 1, 1: 1})
	holds(t, take(t, next, "bad"), nil)
	l = layout(1, "b", "a")
	l.Recover = func(words []atomic.Uint64) bool { return words[1].Load() > 1 }
	other, _ := restored(t, table, l)
	holds(t, take(t, other, "good"), nil)
}

// damaged returns what another process makes of a file after damage.
func damaged(t *testing.T, old *counters.Table, damage func(f *os.File)) *counters.Table {
	t.Helper()
	fd, err := unix.Dup(old.Fd())
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "damaged")
	damage(f)
	f.Close()
	next, _ := restored(t, old, layout(1, "a"))
	return next
}

// TestDamagedBlocksCountFromZero: a block that its process has not finished to make, or that
// somebody else has written, is none, and the others are as they were.
func TestDamagedBlocksCountFromZero(t *testing.T) {
	t.Parallel()
	l := layout(1, "a")
	for word := range 6 { // of the head: id, since, checksum
		t.Run(fmt.Sprint("word ", word), func(t *testing.T) {
			t.Parallel()
			table := newTable(t, l)
			take(t, table, "bad").Words[0].Add(1)
			take(t, table, "good").Words[0].Add(2)
			next := damaged(t, table, func(f *os.File) {
				if _, err := f.WriteAt([]byte{0xff, 0x55}, l.BlockAt(0)+int64(word)*8); err != nil {
					t.Fatal(err)
				}
			})
			holds(t, take(t, next, "bad"), nil)
			holds(t, take(t, next, "good"), map[int]uint64{0: 2})
		})
	}
}

// TestCopiedBlockIsNone: no two count for the same.
func TestCopiedBlockIsNone(t *testing.T) {
	t.Parallel()
	l := layout(1, "a")
	table := newTable(t, l)
	take(t, table, "a").Words[0].Add(1)
	next := damaged(t, table, func(f *os.File) {
		block := make([]byte, l.BlockAt(1)-l.BlockAt(0))
		if _, err := f.ReadAt(block, l.BlockAt(0)); err != nil {
			t.Fatal(err)
		}
		block[128]++
		if _, err := f.WriteAt(block, l.BlockAt(1)); err != nil {
			t.Fatal(err)
		}
	})
	holds(t, take(t, next, "a"), map[int]uint64{0: 1})
}

// TestWhatIsNoTable is refused with a reason, and its descriptor closed.
func TestWhatIsNoTable(t *testing.T) {
	t.Parallel()
	l := layout(1, "a")
	text := []byte(`{"names":["a"],"words":16,"shares":1}`)
	broken := counters.EncodeHeader(text)
	broken[len(broken)-2]++
	for name, test := range map[string]struct {
		fd   int
		want string
	}{
		"no descriptor":   {-1, "no descriptor"},
		"a file":          {regularFile(t), "no memory that stays"},
		"no seal":         {memory(t, counters.EncodeHeader(text), 1<<20, false), "no memory that stays"},
		"empty":           {memory(t, nil, 0, true), "EOF"},
		"zeros":           {memory(t, nil, 1<<20, true), "no counters of a version"},
		"half a header":   {memory(t, broken[:30], 0, true), "EOF"},
		"a wrong header":  {memory(t, broken, 1<<20, true), "checksum"},
		"no JSON":         {memory(t, counters.EncodeHeader([]byte("{")), 1<<20, true), "JSON"},
		"no shares":       {header(t, `{"names":["a"],"words":16}`), "0 shares"},
		"too many shares": {header(t, `{"names":["a"],"words":16,"shares":99999}`), "99999 shares"},
		"odd words":       {header(t, `{"names":["a"],"words":17,"shares":1}`), "17 words"},
		"negative words":  {header(t, `{"names":["a"],"words":-16,"shares":1}`), "-16 words"},
		"no names":        {header(t, `{"words":16,"shares":1}`), "0 names"},
		"a name twice":    {header(t, `{"names":["a","a"],"words":16,"shares":1}`), "same name"},
	} {
		table, _, err := counters.Restore(test.fd, "test", l)
		if table != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if test.fd >= 0 {
			if _, err := unix.FcntlInt(uintptr(test.fd), unix.F_GETFD, 0); err == nil {
				t.Errorf("%s: its descriptor is still open", name)
			}
		}
	}
}

// TestHugeFile: what lies behind as many blocks as there may be is not looked at.
func TestHugeFile(t *testing.T) {
	t.Parallel()
	l := layout(1, "a")
	l.Blocks = 500
	for name, text := range map[string]string{
		"same layout":  `{"names":["a"],"words":16,"shares":1}`,
		"other layout": `{"names":["b","a"],"words":1024,"shares":4096}`,
	} {
		fd := memory(t, counters.EncodeHeader([]byte(text)), 1<<40, true)
		table, _, err := counters.Restore(fd, "test", l)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		table.Unmap()
	}
}

func header(t *testing.T, text string) int {
	t.Helper()
	return memory(t, counters.EncodeHeader([]byte(text)), 1<<20, true)
}

// memory makes a file of this size that begins with content.
func memory(t testing.TB, content []byte, size int64, sealed bool) int {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err == nil && size > 0 {
		err = unix.Ftruncate(fd, size)
	}
	if err == nil {
		_, err = unix.Pwrite(fd, content, 0)
	}
	if err == nil && sealed {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func regularFile(t *testing.T) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}
