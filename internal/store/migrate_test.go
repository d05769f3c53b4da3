package store

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// renamePorts is a step as a schema to come may need it.
func renamePorts(w *writer) error {
	var ports []Port
	err := w.tx.Bucket([]byte(portsBucket)).ForEach(func(key, value []byte) error {
		text, err := unseal(portsBucket, string(key), value)
		if err != nil {
			return err
		}
		var p Port
		if err := json.Unmarshal(text, &p); err != nil {
			return err
		}
		p.Name = "new-" + p.Name
		ports = append(ports, p)
		return nil
	})
	for _, p := range ports {
		err = errors.Join(err, w.put(portsBucket, p.ID, p))
	}
	return err
}

func dropEntries(w *writer) error {
	return errors.Join(w.delete(entriesBucket, entryKey(id(1), mac(500))), w.delete(entriesBucket, entryKey(id(2), mac(500))))
}

// migrated is the sample after both steps.
func migrated() State {
	want := sample()
	for i := range want.Ports {
		want.Ports[i].Name = "new-" + want.Ports[i].Name
	}
	want.Entries = want.Entries[2:]
	return want
}

func TestAnOldFileIsMigratedStepByStep(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t, Options{})
	steps := append(migrations(), renamePorts)
	db := open(t, dir, Options{migrations: steps})
	want := sample()
	want.Ports = migrated().Ports
	wantState(t, db, want)
	must(t, db.Close())

	// From schema 2 only the second step is left.
	steps = append(steps, dropEntries)
	for range 2 {
		db = open(t, dir, Options{migrations: steps})
		wantState(t, db, migrated())
		checkBolt(t, db)
		must(t, db.Close())
	}
	db = open(t, dir, Options{migrations: steps})
	must(t, db.Apply(PutPort(aPort(3, 1))))
	want = migrated()
	want.Ports = append(want.Ports, aPort(3, 1))
	wantState(t, db, want)
}

func TestSeveralStepsAtOnce(t *testing.T) {
	t.Parallel()
	db := open(t, sampleDir(t, Options{}), Options{migrations: append(migrations(), renamePorts, dropEntries)})
	wantState(t, db, migrated())
}

func TestAFailedMigrationLeavesTheFileAlone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		step    migration
		damaged bool
		want    string
	}{
		{"error", func(*writer) error { return errors.New("no such luck") }, false, "no such luck"},
		{"panic", func(*writer) error { panic("no\nluck") }, true, "no"},
		{"state that does not fit", func(w *writer) error { return w.delete(segmentsBucket, id(1)) }, true, `port "new-port-1"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := sampleDir(t, Options{})
			path := filepath.Join(dir, FileName)
			before := readFile(t, path)
			_, err := Open(dir, Options{migrations: append(migrations(), renamePorts, test.step)})
			wantError(t, err, path, test.want)
			if errors.Is(err, ErrDamaged) != test.damaged {
				t.Errorf("%v is an ErrDamaged: %v, want %v", err, !test.damaged, test.damaged)
			}
			wantUntouched(t, dir, before)
			wantDisk(t, dir, sample())
		})
	}
}

func TestADamagedOldFileIsNotMigrated(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t, Options{})
	tamper(t, dir, func(w *writer) error { _, err := w.set(portsBucket, "x", []byte("sum:{}")); return err })
	before := readFile(t, filepath.Join(dir, FileName))
	ran := false
	_, err := Open(dir, Options{migrations: append(migrations(), func(*writer) error { ran = true; return nil })})
	if !errors.Is(err, ErrDamaged) || ran {
		t.Errorf("got error %v, step run: %v; want an ErrDamaged and no step", err, ran)
	}
	wantUntouched(t, dir, before)
}

func TestANewerFileIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*writer) error{
		"same layout":    func(*writer) error { return nil },
		"another bucket": func(w *writer) error { _, err := w.tx.CreateBucket([]byte("routes")); return err },
		"another bucket more": func(w *writer) error {
			b, err := w.tx.CreateBucket([]byte("a"))
			if err != nil {
				return err
			}
			_, err = b.CreateBucket([]byte("b"))
			return err
		},
		"other records": func(w *writer) error { return w.tx.Bucket([]byte(entriesBucket)).Put([]byte("x"), []byte("y")) },
		"fewer buckets": func(w *writer) error { return w.tx.DeleteBucket([]byte(entriesBucket)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := sampleDir(t, Options{})
			path := filepath.Join(dir, FileName)
			tamper(t, dir, func(w *writer) error { w.about.Schema = 7; return change(w) })
			before := readFile(t, path)
			_, err := Open(dir, Options{})
			wantError(t, err, path, "newer version", "schema is 7", "up to 2", "move the file away")
			if !errors.Is(err, ErrNewer) || errors.Is(err, ErrDamaged) {
				t.Errorf("%v is no ErrNewer, or an ErrDamaged as well", err)
			}
			wantUntouched(t, dir, before)

			backup, err := os.Open(path)
			must(t, err)
			defer backup.Close()
			err = Restore(backup, t.TempDir())
			wantError(t, err, "newer vswitchd")
			if !errors.Is(err, ErrNewer) {
				t.Errorf("restored: %v is no ErrNewer", err)
			}
		})
	}
}

func TestAnOldBackupIsMigrated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	backup, err := os.Open(filepath.Join(sampleDir(t, Options{}), FileName))
	must(t, err)
	defer backup.Close()
	o := Options{migrations: append(migrations(), renamePorts, dropEntries)}
	must(t, restore(backup, dir, o))
	wantState(t, open(t, dir, o), migrated())
	wantFiles(t, dir, FileName)
}

// A file of schema 1 has no pools.
func TestAFileWithoutPoolsGetsThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := open(t, dir, Options{})
	must(t, old.Apply(PutSegment(aSegment(1))))
	must(t, old.Apply(PutPort(aPort(1, 1))))
	must(t, old.Close())
	tamper(t, dir, func(w *writer) error {
		w.about.Schema = 1
		return w.tx.DeleteBucket([]byte(poolsBucket))
	})
	db := open(t, dir, Options{})
	want := State{Segments: []Segment{aSegment(1)}, Ports: []Port{aPort(1, 1)}}
	wantState(t, db, want)
	must(t, db.Apply(PutPool(aPool(2))))
	want.Pools = []Pool{aPool(2)}
	wantState(t, db, want)
	must(t, db.Close())
	wantDisk(t, dir, want)
}
