package store

import "bytes"

// walkInline visits the records of a bucket that is small enough to have no page
// of its own.
func walkInline(name string, data []byte, visit func(element) error) error {
	if len(data) < pageHeaderSize {
		return damagef("bucket %q has no page", clip(name))
	}
	p := parsePage(data)
	if p.flags != leafPage {
		return damagef("the page in bucket %q is none", clip(name))
	}
	w := walker{visit: visit}
	return w.leaf(p, nil, nil)
}

// walk visits the elements of the tree below page root in order of their keys.
func (m *image) walk(root uint64, visit func(element) error) error {
	w := walker{image: m, visit: visit}
	return w.page(root, nil, nil, 0)
}

// walker goes through a tree, whose leaves are all at one depth.
type walker struct {
	image     *image
	visit     func(element) error
	leafDepth int // 0: not known; the root's is 1
}

// page visits the tree below page id, whose keys are low at the least and below
// high; nil stands for no bound.
func (w *walker) page(id uint64, low, high []byte, depth int) error {
	depth++
	p, err := w.image.page(id)
	if err != nil {
		return err
	}
	switch {
	case p.flags == leafPage && (w.leafDepth == 0 || w.leafDepth == depth):
		w.leafDepth = depth
		if p.count == 0 && depth > 1 {
			return damagef("page %d is empty", id)
		}
		return w.leaf(p, low, high)
	case p.flags == branchPage && p.count > 0 && depth < maxDepth:
		return w.branch(p, low, high, depth)
	}
	return damagef("page %d cannot be part of a tree", id)
}

func (w *walker) leaf(p page, low, high []byte) error {
	keys := bounds{low: low, high: high}
	for i := range p.count {
		e, err := keys.element(p, i)
		if err != nil {
			return err
		}
		if err := w.visit(e); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) branch(p page, low, high []byte, depth int) error {
	keys := bounds{low: low, high: high}
	for i := range p.count {
		e, err := keys.element(p, i)
		if err != nil {
			return err
		}
		end := high
		if i+1 < p.count {
			next, err := p.element(i + 1)
			if err != nil {
				return err
			}
			end = next.key
		}
		if err := w.page(e.child, e.key, end, depth); err != nil {
			return err
		}
	}
	return nil
}

// bounds admit keys in ascending order, from low and up to but without high.
type bounds struct {
	low, high, last []byte
}

// element is one of a page's, whose turn it must be.
func (b *bounds) element(p page, i int) (element, error) {
	e, err := p.element(i)
	if err == nil && !b.admit(e.key) {
		err = damagef("element %d of page %d is out of order", i, p.id)
	}
	return e, err
}

func (b *bounds) admit(key []byte) bool {
	if b.low != nil && bytes.Compare(key, b.low) < 0 || b.high != nil && bytes.Compare(key, b.high) >= 0 ||
		b.last != nil && bytes.Compare(key, b.last) <= 0 {
		return false
	}
	b.last = key
	return true
}
