package control

import "slices"

// undo gathers how to take back the steps of a change. Unless keep was called,
// run takes them back, the last first.
type undo struct {
	steps []func()
	kept  bool
}

func (u *undo) add(step func()) { u.steps = append(u.steps, step) }

func (u *undo) keep() { u.kept = true }

func (u *undo) run() {
	if u.kept {
		return
	}
	for _, step := range slices.Backward(u.steps) {
		step()
	}
}
