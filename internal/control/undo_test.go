package control

import (
	"slices"
	"testing"
)

func TestUndo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		after func(*undo)
		want  []int
	}{
		"a change that failed":       {func(*undo) {}, []int{3, 2, 1}},
		"a change that was made":     {(*undo).keep, nil},
		"nothing was done after all": {func(u *undo) { u.steps = nil }, nil},
	} {
		var u undo
		var done []int
		for i := range 3 {
			u.add(func() { done = append(done, i+1) })
		}
		test.after(&u)
		u.run()
		if !slices.Equal(done, test.want) {
			t.Errorf("%s: taken back are %v, want %v", name, done, test.want)
		}
	}
	new(undo).run() // of no steps
}
