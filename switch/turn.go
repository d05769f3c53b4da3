package vswitch

// Ports share a worker by deficit round robin (Shreedhar and Varghese 1995), in bytes: in
// each round a port may have a quantum carried, and one that took more has less in the next.
// One that becomes ready with some of its quantum left goes before those that have been
// waiting, as new flows do in RFC 8290 §4.2: who sends little waits for one burst of who sends
// all the time. As its credit ends in each round, nobody's turn is put off for long.
const (
	// quantum is what a port may have carried in a round. A burst ends once it is carried.
	quantum = 1 << 18

	// frameCost and burstCost are how many bytes a frame and a burst cost beside their own.
	frameCost = 1 << 10
	burstCost = 1 << 12
)

// turns says which port is next.
type turns struct {
	round   uint32
	sparse  portQueue // became ready in this round, with credit left
	waiting portQueue // have not had their turn in this round
	spent   portQueue // have had it
	bulk    int       // bytes carried since no port was ready
}

// portQueue is a queue that does not allocate once it has grown.
type portQueue struct {
	ports []*Port
	head  int
}

func (q *portQueue) empty() bool { return q.head == len(q.ports) }

func (q *portQueue) push(p *Port) {
	if len(q.ports) == cap(q.ports) && q.head > 0 {
		n := copy(q.ports, q.ports[q.head:])
		clear(q.ports[n:])
		q.ports, q.head = q.ports[:n], 0
	}
	q.ports = append(q.ports, p)
}

// pop takes the first port. There must be one.
func (q *portQueue) pop() *Port {
	p := q.ports[q.head]
	q.ports[q.head] = nil
	if q.head++; q.head == len(q.ports) {
		q.ports, q.head = q.ports[:0], 0
	}
	return p
}

// idle reports whether no port is ready.
func (t *turns) idle() bool { return t.sparse.empty() && t.waiting.empty() && t.spent.empty() }

// renew gives p its credit of the rounds that have begun since it was last looked at, and
// returns it.
func (t *turns) renew(p *Port) int {
	if p.round != t.round {
		p.credit = min(quantum, p.credit+quantum*int(t.round-p.round))
		p.round = t.round
	}
	return p.credit
}

// add has a port take turns that has become ready.
func (t *turns) add(p *Port) {
	p.ready = true
	if t.renew(p) > 0 {
		t.sparse.push(p)
		return
	}
	t.spent.push(p)
}

// charge takes from p's credit what n frames cost that have size bytes together.
func (t *turns) charge(p *Port, n, size int) {
	p.credit -= size + n*frameCost
	t.bulk += size
}

// again has a port take turns that was served and may have more.
func (t *turns) again(p *Port) {
	p.ready = true
	if p.credit > 0 {
		t.waiting.push(p)
		return
	}
	t.spent.push(p)
}

// next takes the port whose turn it is, or nil when none is ready.
func (t *turns) next() *Port {
	if !t.sparse.empty() {
		return t.sparse.pop()
	}
	for {
		if t.waiting.empty() {
			if t.spent.empty() {
				return nil
			}
			t.waiting, t.spent = t.spent, t.waiting
			t.round++
		}
		p := t.waiting.pop()
		if t.renew(p) > 0 {
			return p
		}
		t.spent.push(p)
	}
}

// enlist has ports take turns that the poller reports.
func (w *worker) enlist(slots []uint32) {
	for _, slot := range slots {
		if p := w.port(slot); p != nil && !p.ready && !p.detached && p.worker == w {
			w.turns.add(p)
		}
	}
}

// turn gives the next port a burst.
func (w *worker) turn() {
	p := w.turns.next()
	p.ready = false
	if p.detached {
		return
	}
	p.credit -= burstCost
	more := w.burst(p)
	if w.refused > 0 && w.rests(p) {
		return
	}
	if more && !p.detached {
		w.turns.again(p)
	}
	w.relent()
}

// bulkBytes is from how many bytes on, carried without a pause, a worker yields.
const bulkBytes = 1 << 15

// relent yields to other threads when a queue with bulk traffic is drained: to those that fill
// it and to those that take what it held. They would share the other processors while the
// worker has one to look for more, and each look would find less than is there a little later.
func (w *worker) relent() {
	if !w.turns.idle() {
		return
	}
	if w.turns.bulk >= bulkBytes {
		w.poller.Yield()
	}
	w.turns.bulk = 0
}
