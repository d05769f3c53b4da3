package turns

import (
	"fmt"
	"slices"
	"testing"

	"vswitch/test/lab/seed"
)

func drain(q *Queue[string, int]) (got []int) {
	for range q.Len() {
		<-q.Ready()
		item, ok := q.Take()
		if !ok {
			break
		}
		got = append(got, item)
	}
	return got
}

func TestEachHasItsTurn(t *testing.T) {
	t.Parallel()
	q := New[string, int](100)
	for i, key := range []string{"a", "a", "a", "b", "a", "c", "b"} {
		if !q.Put(key, i) {
			t.Fatalf("%d of %s is refused", i, key)
		}
	}
	if got := drain(q); !slices.Equal(got, []int{0, 3, 5, 1, 6, 2, 4}) {
		t.Errorf("they come as %v", got)
	}
	if _, ok := q.Take(); ok || len(q.Ready()) != 0 || len(q.waiting) != 0 {
		t.Error("the queue is not empty in the end")
	}
}

// TestThereIsRoomForAnother however much others have sent.
func TestThereIsRoomForAnother(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ senders, each int }{{1, 500}, {3, 250}, {9, 100}, {999, 1}} {
		q := New[string, int](1000)
		for range 1000 {
			for s := range test.senders {
				q.Put(fmt.Sprint(s), s)
			}
		}
		for key, s := range q.waiting {
			if got := len(s.items); got != test.each {
				t.Fatalf("of %d senders, %s has %d in it, want %d", test.senders, key, got, test.each)
			}
		}
		if !q.Put("another", -1) {
			t.Errorf("beside %d senders another is refused", test.senders)
		}
		at := slices.Index(drain(q), -1)
		if at != test.senders {
			t.Errorf("beside %d senders the turn of another is number %d", test.senders, at)
		}
	}
}

// TestAgainstAPlainQueue: whatever comes and is taken, nothing is lost, and each sender's comes in
// its order.
func TestAgainstAPlainQueue(t *testing.T) {
	t.Parallel()
	random := seed.New(t)
	q, plain := New[int, int](50), make(map[int][]int)
	for i := range 100_000 {
		n := 0
		for _, list := range plain {
			n += len(list)
		}
		if n != q.Len() || (n > 0) != (len(q.Ready()) > 0) {
			t.Fatalf("after %d steps %d wait, want %d", i, q.Len(), n)
		}
		if key := random.IntN(8); random.IntN(2) == 0 {
			may := len(plain[key]) < 50-n
			if q.Put(key, i*8+key) != may {
				t.Fatalf("after %d steps one of %d is refused: %t", i, key, may)
			}
			if may {
				plain[key] = append(plain[key], i*8+key)
			}
			continue
		}
		if n > 0 {
			<-q.Ready()
		}
		got, ok := q.Take()
		if ok != (n > 0) {
			t.Fatalf("after %d steps one of %d is taken: %t", i, n, ok)
		}
		if key := got % 8; ok {
			if plain[key][0] != got {
				t.Fatalf("after %d steps %d is taken of %v", i, got, plain[key])
			}
			plain[key] = plain[key][1:]
		}
	}
}
