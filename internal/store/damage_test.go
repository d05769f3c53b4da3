package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"vswitch/internal/control/model"
	"vswitch/test/lab/seed"

	"go.etcd.io/bbolt"
)

// sampleImage is a small state file with the sample, as [DB.Backup] writes it.
func sampleImage(t testing.TB) []byte {
	t.Helper()
	db := open(t, t.TempDir(), small)
	putAll(t, db, sample())
	must(t, db.Apply(model.DeletePort(id(1001)))) // leaves free pages
	putAll(t, db, sample())
	var b bytes.Buffer
	must(t, db.Backup(&b))
	return b.Bytes()
}

// readState reads an image that is expected to be sound: it does without a child.
func readState(image []byte) (model.Records, error) {
	c, err := readChecked(bytes.NewReader(image), func(f *os.File) (verdict, error) { return inspect(f), nil })
	if err != nil {
		return model.Records{}, err
	}
	if _, err := c.verify(Options{}.schema()); err != nil {
		return model.Records{}, err
	}
	state, err := c.state()
	if err != nil {
		return model.Records{}, err
	}
	return state.Records(), nil
}

// wantSafe wants that a start with the image finds the sample, or damage that it
// leaves alone. It says whether the sample was found.
func wantSafe(t *testing.T, dir string, image []byte, what string, n int) bool {
	t.Helper()
	path := filepath.Join(dir, FileName)
	overwrite(t, path, image)
	db, err := Open(dir, Options{})
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			t.Fatalf("%s %d: %v is no ErrDamaged", what, n, err)
		}
		wantError(t, err, path, "move it away", "--restore")
		wantUntouched(t, dir, image)
		return false
	}
	if got := load(t, db); !sameState(got, sample()) {
		t.Fatalf("%s %d: state\n%+v, want\n%+v", what, n, got, sample())
	}
	must(t, db.Close())
	return true
}

// overwrite is [os.WriteFile] without the flush that file systems add to it when a
// file is truncated first.
func overwrite(t *testing.T, path string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt(data, 0)
	must(t, err)
	if info, err := f.Stat(); err != nil || info.Size() != int64(len(data)) {
		must(t, f.Truncate(int64(len(data))))
	}
}

// The bits of what pages begin with say where all else is: there are more of them, and one of
// eight of those behind.
func TestFlippedBitsAreFoundOrHarmless(t *testing.T) {
	t.Parallel()
	const begin = 64
	image := sampleImage(t)
	var flips []damage
	for i := range image {
		for bit := range 8 {
			if i%small.pageSize < begin || bit == i%8 {
				flips = append(flips, damage{i, []byte{image[i] ^ 1<<bit}})
			}
		}
	}
	flips = someOf(t, flips, 1500)
	found := survey(t, image, flips, sample())
	if least := len(flips) / 20; found < least {
		t.Errorf("only %d of %d flipped bits are found, want %d at least", found, len(flips), least)
	}
}

// The keys by which bbolt finds a page are in no record, and its check lets many pass that are
// wrong; they would do harm with the next change.
func TestFlippedBitsInBranchesAreFoundOrHarmless(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), small)
	var s script
	for range 80 {
		must(t, s.next().apply(db))
	}
	image, random := readFile(t, db.path), seed.New(t)
	var flips []damage
	must(t, db.bolt.View(func(tx *bbolt.Tx) error {
		for id := range int(tx.Size()) / small.pageSize {
			if p, err := tx.Page(id); err != nil || p.Type != "branch" {
				continue
			}
			for i := id * small.pageSize; i < (id+1)*small.pageSize; i++ {
				flips = append(flips, damage{i, []byte{image[i] ^ 1<<random.IntN(8)}})
			}
		}
		return nil
	}))
	if survey(t, image, someOf(t, flips, 500), s.state) == 0 {
		t.Errorf("none of %d flipped bits is found", len(flips))
	}
}

// someOf is n damages of the list, others each time.
func someOf(t *testing.T, list []damage, n int) []damage {
	t.Helper()
	if testing.Short() {
		n /= 10
	}
	list = slices.Clone(list)
	seed.New(t).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(n, len(list))]
}

func TestOpenOfAFileWithAFlippedBit(t *testing.T) {
	t.Parallel()
	dir, image, random := t.TempDir(), sampleImage(t), seed.New(t)
	found := 0
	for range 200 {
		i, bit := random.IntN(len(image)), byte(1)<<random.IntN(8)
		image[i] ^= bit
		if !wantSafe(t, dir, image, fmt.Sprintf("flipped bit %#x of byte", bit), i) {
			found++
		}
		image[i] ^= bit
	}
	if found == 0 {
		t.Error("no flipped bit was found")
	}
	if !wantSafe(t, dir, image, "restored byte", 0) {
		t.Error("the file is damaged without a flipped bit")
	}
}

func TestOpenOfATruncatedFile(t *testing.T) {
	t.Parallel()
	dir, image, random := t.TempDir(), sampleImage(t), seed.New(t)
	for n := 0; n < len(image); n += 61 + random.IntN(200) {
		if wantSafe(t, dir, image[:n], "truncated at", n) {
			t.Errorf("%d of %d bytes pass for a whole file", n, len(image))
		}
	}
	if wantSafe(t, dir, image[:len(image)-1], "truncated at", len(image)-1) {
		t.Error("a missing last byte goes unnoticed")
	}
	// Zeros behind the end are what a grown file has.
	if !wantSafe(t, dir, append(bytes.Clone(image), make([]byte, 5000)...), "longer by", 5000) {
		t.Error("a grown file is taken for damaged")
	}
}

func TestOpenOfWhatIsNoStateFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for n, image := range [][]byte{
		[]byte("x"), []byte("this is a text\n"), make([]byte, 1<<15), bytes.Repeat([]byte{0xff}, 1<<15),
		bytes.Repeat(binary.NativeEndian.AppendUint32(nil, 0xed0cdaed), 1<<13),
	} {
		if wantSafe(t, dir, image, "file", n) {
			t.Errorf("file %d passes for a state file", n)
		}
	}
}

func TestOpenOfWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	must(t, syscall.Mkfifo(path, 0o600))
	_, err := Open(dir, Options{})
	wantError(t, err, path, "damaged", "not a regular file")
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700))
	_, err = Open(dir, Options{})
	wantError(t, err, path, "is a directory")
}

// A page that the disk has lost shows what was in it at an earlier time, which is
// whole by itself.
func TestAnOldPageIsFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	db := open(t, dir, small)
	putAll(t, db, sample())
	var images [][]byte
	for i := range 12 {
		p := sample().Ports[1]
		p.Down = i%2 == 0
		must(t, db.Apply(model.PutPort(p)))
		images = append(images, readFile(t, path))
	}
	must(t, db.Close())
	want := load(t, open(t, dir, Options{}))
	last := images[len(images)-1]
	var stale []damage
	for _, old := range images {
		for at := 2 * small.pageSize; at < len(old); at += small.pageSize {
			if page := old[at : at+small.pageSize]; !bytes.Equal(last[at:at+small.pageSize], page) {
				stale = append(stale, damage{at, page})
			}
		}
	}
	if survey(t, last, stale, want) == 0 { // most are free by now
		t.Errorf("of %d old pages none is found", len(stale))
	}
}

// tamper changes a closed store as no DB would.
func tamper(t *testing.T, dir string, change func(*writer) error) {
	t.Helper()
	bolt, err := bbolt.Open(filepath.Join(dir, FileName), 0o600, nil)
	must(t, err)
	must(t, bolt.Update(func(tx *bbolt.Tx) error {
		w, err := newWriter(tx)
		if err != nil {
			return err
		}
		if err := change(w); err != nil {
			return err
		}
		return w.finish()
	}))
	must(t, bolt.Close())
}

func TestOpenOfAFileWithWrongRecords(t *testing.T) {
	t.Parallel()
	putPort := func(change func(*model.Port)) func(*writer) error {
		p := aPort(3, 1)
		change(&p)
		return func(w *writer) error { return w.put(portsBucket, p.ID, p) }
	}
	raw := func(bucket, key, text string) func(*writer) error {
		return func(w *writer) error {
			value := binary.BigEndian.AppendUint32(nil, checksum(bucket, key, []byte(text)))
			return w.count(bucket, key, append(value, text...))
		}
	}
	for _, test := range []struct {
		name   string
		change func(*writer) error
		want   string
	}{
		{"same address", putPort(func(p *model.Port) { p.Addrs = aPort(1, 1).Addrs }), `port "port-3"`},
		{"same name", putPort(func(p *model.Port) { p.Name = "port-1" }), `port "port-1", id ` + aPort(3, 1).ID},
		{"hostile name", putPort(func(p *model.Port) { p.Name = "\x1b[2J\n" }), `port "`},
		{"outside", putPort(func(p *model.Port) { p.Addrs = aPort(3, 2).Addrs }), "outside the subnets"},
		{"no segment", putPort(func(p *model.Port) { p.SegmentID = id(9) }), "does not exist"},
		{"other key", func(w *writer) error { return w.put(portsBucket, id(77), aPort(3, 1)) }, "says that it is"},
		{"port without its segment", func(w *writer) error { return w.delete(segmentsBucket, id(1)) }, `port "port-1"`},
		{"entry without its port", func(w *writer) error { return w.delete(portsBucket, id(1001)) }, "entry for mac " + mac(500).String()},
		{"entry under another key", func(w *writer) error { return w.put(entriesBucket, "x", anEntry(1, 1, 1)) }, "says that it is"},
		{"segment", func(w *writer) error { return w.put(segmentsBucket, id(9), model.Segment{ID: id(9)}) }, `segment ""`},
		{"pool with a lease outside", func(w *writer) error {
			p := aPool(3)
			p.Leases = aPool(4).Leases
			return w.put(poolsBucket, p.ID, p)
		}, "outside subnet"},
		{"pool under another key", func(w *writer) error { return w.put(poolsBucket, id(9), aPool(3)) }, "says that it is"},
		{"segment without its pool", func(w *writer) error { return w.delete(poolsBucket, aPool(2).ID) }, "does not exist"},
		{"segment under another key", func(w *writer) error { return w.put(segmentsBucket, id(9), aSegment(8)) }, "says that it is"},
		{"no JSON", raw(portsBucket, id(9), "{"), "record"},
		{"two values", raw(portsBucket, id(9), "{}{}"), "record"},
		{"null", raw(portsBucket, id(9), "null"), "says that it is"},
		{"number", raw(entriesBucket, "x", "7"), "record"},
		{"entry with a list", raw(entriesBucket, "x", `{"mac":[]}`), "record"},
		{"address", raw(portsBucket, id(9), `{"addrs":["1.2.3"]}`), "record"},
		{"huge number", raw(portsBucket, id(9), `{"pid":1e99}`), "record"},
		{"empty value", func(w *writer) error { _, err := w.set(portsBucket, "x", []byte{}); return err }, "0 bytes"},
		{"wrong sum", func(w *writer) error {
			_, err := w.set(portsBucket, aPort(3, 1).ID, []byte("sum:{}"))
			return err
		}, "checksum"},
		{"record of another key", func(w *writer) error {
			value, err := seal(portsBucket, id(9), aPort(3, 1))
			_, setErr := w.set(portsBucket, aPort(3, 1).ID, value)
			return errors.Join(err, setErr)
		}, "checksum"},
		{"not counted", func(w *writer) error {
			value, err := seal(portsBucket, aPort(3, 1).ID, aPort(3, 1))
			_, setErr := w.set(portsBucket, aPort(3, 1).ID, value)
			return errors.Join(err, setErr)
		}, "it should have 8 records and has 9"},
		{"missing", func(w *writer) error { _, err := w.set(entriesBucket, anEntry(500, 1, 1).Key(), nil); return err }, "it should have 8 records"},
		{"no bucket", func(w *writer) error { return w.tx.DeleteBucket([]byte(entriesBucket)) }, "records"},
		{"another bucket", func(w *writer) error { _, err := w.tx.CreateBucket([]byte("x")); return err }, "unexpected"},
		{"bucket in bucket", func(w *writer) error {
			_, err := w.tx.Bucket([]byte(portsBucket)).CreateBucket([]byte("x"))
			return err
		}, "unexpected"},
		{"more about it", func(w *writer) error { return w.put(metaBucket, "x", 1) }, "unexpected"},
		{"schema 0", func(w *writer) error { w.about.Schema = 0; return nil }, "no schema 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := sampleDir(t, Options{})
			tamper(t, dir, test.change)
			before := readFile(t, filepath.Join(dir, FileName))
			_, err := Open(dir, Options{})
			wantError(t, err, filepath.Join(dir, FileName), test.want, "move it away")
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("%v is no ErrDamaged", err)
			}
			wantUntouched(t, dir, before)
		})
	}
}

func TestUnknownFieldsAreNoError(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t, Options{})
	p := aPort(3, 1)
	tamper(t, dir, func(w *writer) error {
		return w.put(portsBucket, p.ID, struct {
			model.Port
			Colour string `json:"colour"`
		}{p, "blue"})
	})
	want := sample()
	want.Ports = append(want.Ports, p)
	wantDisk(t, dir, want)
}

// What is cut off a mapped file faults when it is touched.
func TestFileCutUnderTheRunningStore(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(*DB) error{
		"put":    func(db *DB) error { return db.Apply(model.PutPort(aPort(3, 1))) },
		"delete": func(db *DB) error { return db.Apply(model.DeletePort(id(1001))) },
		"backup": func(db *DB) error { return db.Backup(new(bytes.Buffer)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := sampleDir(t, Options{})
			path := filepath.Join(dir, FileName)
			db := open(t, dir, Options{})
			must(t, os.Truncate(path, 0))
			for range 2 {
				err := use(db)
				wantError(t, err, path)
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("%v is no ErrDamaged", err)
				}
			}
			must(t, db.Close())
			// The lock is gone with it.
			_, err := Open(dir, Options{LockTimeout: noWait})
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("opened again: got error %v, want an ErrDamaged", err)
			}
			wantUntouched(t, dir, nil)
		})
	}
}
