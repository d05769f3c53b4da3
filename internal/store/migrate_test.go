package store

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"vswitch/internal/control/model"
)

// renamePorts is a step as a schema to come may need it.
func renamePorts(w *writer) error {
	var ports []model.Port
	err := w.tx.Bucket([]byte(portsBucket)).ForEach(func(key, value []byte) error {
		text, err := unseal(portsBucket, string(key), value)
		if err != nil {
			return err
		}
		var p model.Port
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
	return errors.Join(w.delete(entriesBucket, anEntry(500, 1, 1).Key()), w.delete(entriesBucket, anEntry(500, 2, 2).Key()))
}

// migrated is the sample after both steps.
func migrated() model.Records {
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

	// Only the last step is left.
	steps = append(steps, dropEntries)
	for range 2 {
		db = open(t, dir, Options{migrations: steps})
		wantState(t, db, migrated())
		checkBolt(t, db)
		must(t, db.Close())
	}
	db = open(t, dir, Options{migrations: steps})
	must(t, db.Apply(model.PutPort(aPort(3, 1))))
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
			wantError(t, err, path, "newer version", "schema is 7", "up to 4", "move the file away")
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

// putRaw puts a record as an older version did.
func putRaw(w *writer, bucket, key, text string) error {
	return w.put(bucket, key, json.RawMessage(text))
}

// A file of schema 1 has no pools, and knows one family.
func TestAFileOfTheFirstSchemaIsMigrated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, open(t, dir, Options{}).Close())
	tamper(t, dir, func(w *writer) error {
		w.about.Schema = 1
		return errors.Join(w.tx.DeleteBucket([]byte(poolsBucket)),
			putRaw(w, segmentsBucket, id(1), `{"id":"`+id(1)+`","name":"segment-1","subnet":"10.1.0.0/16",`+
				`"gateway":"10.1.0.1","range":"10.1.0.0/16","mtu":1500,"created":"2026-11-23T20:15:30.123456789Z"}`),
			putRaw(w, portsBucket, id(1001), `{"id":"`+id(1001)+`","name":"port-1","segment_id":"`+id(1)+
				`","mac":"02:42:00:00:00:03","addr":"10.1.0.3","netns":"c1","ifname":"eth0",`+
				`"created":"2026-11-23T20:15:30.123456789Z"}`))
	})
	db := open(t, dir, Options{})
	want := model.Records{Segments: []model.Segment{aSegment(1)}, Ports: []model.Port{aPort(1, 1)}}
	wantState(t, db, want)
	must(t, db.Apply(model.PutPool(aPool(2))))
	want.Pools = []model.Pool{aPool(2)}
	wantState(t, db, want)
	must(t, db.Close())
	wantDisk(t, dir, want)
}

// The file of schema 2 was made by the last version that had it, with a record of every kind and
// nearly every field: see its records.json.
func TestAFileOfTheSecondSchemaIsMigrated(t *testing.T) {
	t.Parallel()
	dir, at := t.TempDir(), filepath.Join("testdata", "schema2")
	must(t, os.WriteFile(filepath.Join(dir, FileName), readFile(t, filepath.Join(at, FileName)), 0o600))
	var want model.Records
	must(t, json.Unmarshal(readFile(t, filepath.Join(at, "records.json")), &want))
	transactions := 0
	for range 2 { // once migrated, it is not again
		db := open(t, dir, Options{})
		wantState(t, db, want)
		checkBolt(t, db)
		must(t, db.view(func(tx *bbolt.Tx) error {
			if transactions != 0 && tx.ID() != transactions {
				t.Errorf("the second start has made transaction %d", tx.ID())
			}
			transactions = tx.ID()
			return nil
		}))
		must(t, db.Close())
	}
}

// What a step cannot read it leaves as it is.
func TestAnOldRecordThatIsNotOneIsDamage(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no object":  `[]`,
		"no address": `{"id":"` + id(1001) + `","name":"p","segment_id":"` + id(1) + `","mac":"02:42:00:00:00:03"}`,
		"null":       `null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must(t, open(t, dir, Options{}).Close())
			tamper(t, dir, func(w *writer) error {
				w.about.Schema = 2
				return putRaw(w, portsBucket, id(1001), text)
			})
			before := readFile(t, filepath.Join(dir, FileName))
			if _, err := Open(dir, Options{}); !errors.Is(err, ErrDamaged) {
				t.Errorf("got error %v, want an ErrDamaged", err)
			}
			wantUntouched(t, dir, before)
		})
	}
}
