package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	"vswitch/internal/control/model"
)

func FuzzRecord(f *testing.F) {
	state := sample()
	seed := func(bucket, key string, record any) {
		value, err := seal(bucket, key, record)
		must(f, err)
		f.Add(key, value)
		f.Add(key, value[checksumSize:])
	}
	for _, s := range state.Segments {
		seed(segmentsBucket, s.ID, s)
	}
	for _, p := range state.Ports {
		seed(portsBucket, p.ID, p)
	}
	for _, e := range state.Entries {
		seed(entriesBucket, e.Key(), e)
	}
	for _, p := range state.Pools {
		seed(poolsBucket, p.ID, p)
	}
	seed(metaBucket, aboutKey, about{Schema: 1, Created: someTime, tally: tally{Records: 3, Sum: 7}})
	f.Add("", []byte(nil))
	f.Add("", []byte(`{"id":"","addr":"::1%x"}`))
	f.Fuzz(func(t *testing.T, key string, data []byte) {
		if _, err := decodeAbout(data); err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%v is no ErrDamaged", err)
		}
		fuzzRecord(t, key, data, segmentsBucket, model.Segment.Check)
		fuzzRecord(t, key, data, portsBucket, model.Port.Check)
		fuzzRecord(t, key, data, poolsBucket, model.Pool.Check)
		fuzzRecord(t, key, data, entriesBucket, model.Entry.Check)
	})
}

// fuzzRecord wants that what is read, and is right, is the same after it was
// written and read again.
func fuzzRecord[T keyed](t *testing.T, key string, data []byte, bucket string, check func(T) error) {
	for _, text := range [][]byte{data, data[min(checksumSize, len(data)):]} {
		record, err := decode[T](bucket, key, text)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("%v is no ErrDamaged", err)
			}
			continue
		}
		if check(record) != nil {
			continue
		}
		value, err := seal(bucket, key, record)
		must(t, err)
		again, err := unseal(bucket, key, value)
		must(t, err)
		same, err := decode[T](bucket, key, again)
		must(t, err)
		want, err := json.Marshal(record)
		must(t, err)
		got, err := json.Marshal(same)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s comes back as %s", want, got)
		}
	}
}

// FuzzOpen changes bytes of a state file. Each four bytes of patches are an
// offset, an operation and a value; with sums the checksums of the roots are made
// right again, so that the changes behind them are met.
func FuzzOpen(f *testing.F) {
	image := sampleImage(f)
	f.Add([]byte(nil), false)
	f.Add([]byte{0, 0, 0, 1}, true)
	for at := 0; at < len(image); at += small.pageSize {
		for i, field := range []int{0, 8, 10, 12, 16, 24, 32, 40, 48, 56, 64} {
			patch := binary.BigEndian.AppendUint16(nil, uint16(at+field))
			if (i+at/small.pageSize)%2 == 0 {
				f.Add(append(patch, 0, 1), true)
			} else {
				f.Add(append(patch, 1, 0xff), true)
			}
		}
	}
	f.Fuzz(func(t *testing.T, patches []byte, sums bool) {
		if len(patches) > 64 {
			return
		}
		patched := bytes.Clone(image)
		for ; len(patches) >= 4; patches = patches[4:] {
			at := int(binary.BigEndian.Uint16(patches)) % len(patched)
			switch patches[2] % 3 {
			case 0:
				patched[at] ^= patches[3]
			case 1:
				patched[at] = patches[3]
			case 2:
				patched = patched[:max(at, 1)]
			}
		}
		if sums {
			sumRoots(patched)
		}
		fuzzOpen(t, patched, sums)
	})
}

func sumRoots(image []byte) {
	for _, at := range []int{pageHeaderSize, small.pageSize + pageHeaderSize} {
		if at+rootSize <= len(image) {
			sum := fnv.New64a()
			sum.Write(image[at : at+rootSize-8])
			binary.NativeEndian.PutUint64(image[at+rootSize-8:], sum.Sum64())
		}
	}
}

// fuzzOpen wants that a store that opens can be used, and that it is the sample
// unless somebody went to the length of making its sums right.
func fuzzOpen(t *testing.T, image []byte, sums bool) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, FileName), image, 0o600))
	db, err := Open(dir, Options{})
	if err != nil {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
			t.Errorf("%v is neither an ErrDamaged nor an ErrNewer", err)
		}
		wantUntouched(t, dir, image)
		return
	}
	want := load(t, db)
	if !sums && !sameState(want, sample()) {
		t.Errorf("the state is\n%+v, want\n%+v", want, sample())
	}
	if n := len(want.Ports); n > 0 {
		must(t, db.Apply(model.DeletePort(want.Ports[n-1].ID)))
	}
	for n := 10; n < 14; n++ {
		must(t, db.Apply(model.PutSegment(aSegment(n))))
		must(t, db.Apply(model.PutPort(aPort(n, n))))
	}
	want = load(t, db)
	must(t, db.Close())
	db, err = Open(dir, Options{})
	must(t, err)
	wantState(t, db, want)
	must(t, db.Close())
}
