package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	"vswitch/internal/control/model"
	"vswitch/internal/wellformed"
)

// Buckets of the state file. Keys are ids; an entry's is its segment's id and
// its MAC.
const (
	metaBucket     = "meta"
	segmentsBucket = "segments"
	portsBucket    = "ports"
	entriesBucket  = "entries"
	poolsBucket    = "pools" // since schema 2
)

// aboutKey is the only key of the bucket meta.
const aboutKey = "about"

// A record's value is its checksum, most significant byte first, and its JSON.
const (
	checksumSize = 4
	maxRecord    = 1 << 20 // bytes; the longest labels fit, whatever is in them
)

// about is the record of the file itself. Versions to come may store all else in
// another way, but not this, so that every version can tell that a file is newer.
type about struct {
	Schema  int       `json:"schema"`
	Created time.Time `json:"created"`
	tally
	// Change numbers the transactions that wrote this record, in ascending order. It shows
	// which of the file's two roots is the newer when the other one cannot be read. 0: a
	// version did that does not number them.
	Change int `json:"change,omitempty"`
}

// tally stands for all other records together. It shows a record that is missing
// or older than the rest, where each by itself looks right.
type tally struct {
	Records int    `json:"records"`
	Sum     uint64 `json:"sum"` // of the records' checksums
}

// add takes in a record's value; none is nil.
func (t *tally) add(value []byte) {
	if value != nil {
		t.Records++
		t.Sum += uint64(binary.BigEndian.Uint32(value))
	}
}

// remove takes out a record's value; none is nil.
func (t *tally) remove(value []byte) {
	if value != nil {
		t.Records--
		t.Sum -= uint64(binary.BigEndian.Uint32(value))
	}
}

// checksum covers where a record belongs as well as what it says.
func checksum(bucket, key string, text []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	where := crc32.Checksum([]byte(bucket+"\x00"+key+"\x00"), table)
	return crc32.Update(where, table, text)
}

// seal makes the value under which record is stored.
func seal(bucket, key string, record any) ([]byte, error) {
	var encoded bytes.Buffer
	enc := json.NewEncoder(&encoded)
	enc.SetEscapeHTML(false) // which would make six bytes of one, more than a record may have
	if err := enc.Encode(record); err != nil {
		return nil, fmt.Errorf("encode record %q of %s: %w", wellformed.Clip(key), bucket, err)
	}
	text := bytes.TrimSuffix(encoded.Bytes(), []byte("\n"))
	if len(text) > maxRecord-checksumSize {
		return nil, fmt.Errorf("record %q of %s has %d bytes: want at most %d", wellformed.Clip(key), bucket, len(text), maxRecord-checksumSize)
	}
	value := binary.BigEndian.AppendUint32(make([]byte, 0, checksumSize+len(text)), checksum(bucket, key, text))
	return append(value, text...), nil
}

// unseal returns a value's JSON, a part of value, when its checksum is right.
func unseal(bucket, key string, value []byte) ([]byte, error) {
	if len(value) < checksumSize || len(value) > maxRecord {
		return nil, damagef("record %q of %s has %d bytes", wellformed.Clip(key), bucket, len(value))
	}
	text := value[checksumSize:]
	if want := binary.BigEndian.Uint32(value); want != checksum(bucket, key, text) {
		return nil, damagef("record %q of %s does not match its checksum", wellformed.Clip(key), bucket)
	}
	return text, nil
}

// bucketOf returns the bucket of a kind of record.
func bucketOf(k model.Kind) string {
	switch k {
	case model.KindPool:
		return poolsBucket
	case model.KindSegment:
		return segmentsBucket
	case model.KindPort:
		return portsBucket
	default:
		return entriesBucket
	}
}

// keyed is a record that tells under which key it is stored.
type keyed interface{ Key() string }

// decode reads the record of a key.
func decode[T keyed](bucket, key string, text []byte) (T, error) {
	record, err := decodeJSON[T](bucket, key, text)
	if err == nil && record.Key() != key {
		err = damagef("record %q of %s says that it is %q", wellformed.Clip(key), bucket, wellformed.Clip(record.Key()))
	}
	return record, err
}

// decodeJSON reads a record's JSON. Fields that it does not know are left to those
// who do.
func decodeJSON[T any](bucket, key string, text []byte) (record T, err error) {
	if err := json.Unmarshal(text, &record); err != nil {
		return record, damagef("record %q of %s: %s", wellformed.Clip(key), bucket, wellformed.Clip(err.Error()))
	}
	return record, nil
}

// decodeAbout reads the record of the file itself.
func decodeAbout(value []byte) (about, error) {
	if value == nil {
		return about{}, damagef("record %q of %s is missing", aboutKey, metaBucket)
	}
	text, err := unseal(metaBucket, aboutKey, value)
	if err != nil {
		return about{}, err
	}
	a, err := decodeJSON[about](metaBucket, aboutKey, text)
	if err == nil && a.Schema < 1 {
		err = damagef("there is no schema %d", a.Schema)
	}
	return a, err
}
