package conformance

import (
	"time"
)

// learningChecks are about what a switch remembers (IEEE 802.1Q-2022 §8.7, §8.8).
func learningChecks() []check {
	return []check{
		{"unknown unicast floods, known goes one way", "", checkLearning},
		{"a station that moves is found again", "", checkMove},
		{"an address is forgotten after the ageing time", "", checkAgeing},
		{"static entries win over learning", "", checkStaticWins},
		{"a static entry replaces a learned one", "", checkStaticReplaces},
		{"flush forgets what was learned only", "", checkFlush},
		{"segments learn apart", "", checkSegmentsLearnApart},
	}
}

func checkLearning(l *topology) {
	a, b, c := l.trio(nil)
	host := others(1)
	l.isNowhere(host, "lan")
	l.expect("a frame to an unknown station", a, l.probe(host, a.MAC), b, c)
	l.isNowhere(host, "lan") // a destination teaches nothing
	l.learn(host, b)
	l.isAt(host, b, false)
	l.expect("a frame to a known station", a, l.probe(host, a.MAC), b)
	l.expect("a frame to a known station", c, l.probe(host, c.MAC), b)
	l.expect("a frame back", b, l.probe(a.MAC, host), a)
}

func checkMove(l *topology) {
	a, b, c := l.trio(nil)
	host := others(1)
	for range 3 {
		l.learn(host, b)
		l.expect("a frame to a station", a, l.probe(host, a.MAC), b)
		l.learn(host, c)
		l.isAt(host, c, false)
		l.expect("a frame to a station that has moved", a, l.probe(host, a.MAC), c)
	}
	// It may as well move to where frames for it come from.
	l.learn(host, a)
	l.expect("a frame to a station that has moved", b, l.probe(host, b.MAC), a)
}

func checkAgeing(l *topology) {
	l.must(l.sw.SetAgeing(time.Second))
	a, b, c := l.trio(nil)
	host, pinned := others(1), others(2)
	l.learn(host, b)
	l.must(l.sw.AddStatic("lan", pinned, c.spec.Name))
	l.await("the address is forgotten", func() (bool, error) {
		_, ok := l.entry("lan", host)
		return !ok, nil
	})
	l.isAt(pinned, c, true)
	l.expect("a frame to a forgotten station", a, l.probe(host, a.MAC), b, c)
	l.expect("a frame to a static entry", a, l.probe(pinned, a.MAC), c)
	l.learn(host, b)
	l.expect("a frame to a station learned again", a, l.probe(host, a.MAC), b)
}

func checkStaticWins(l *topology) {
	a, b, c := l.trio(nil)
	host := others(1)
	l.must(l.sw.AddStatic("lan", host, b.spec.Name))
	l.isAt(host, b, true)
	l.expect("a frame to a static entry", a, l.probe(host, a.MAC), b)
	l.learn(host, c)
	l.isAt(host, b, true)
	l.expect("a frame to a static entry that another has used", a, l.probe(host, a.MAC), b)
	l.expect("a frame of the other's to it", c, l.probe(host, c.MAC), b)
}

func checkStaticReplaces(l *topology) {
	a, b, c := l.trio(nil)
	host := others(1)
	l.learn(host, c)
	l.expect("a frame to a known station", a, l.probe(host, a.MAC), c)
	l.must(l.sw.AddStatic("lan", host, b.spec.Name))
	l.isAt(host, b, true)
	l.expect("a frame to a static entry", a, l.probe(host, a.MAC), b)
}

func checkFlush(l *topology) {
	a, b, c := l.trio(nil)
	host, pinned := others(1), others(2)
	l.learn(host, b)
	l.must(l.sw.AddStatic("lan", pinned, c.spec.Name))
	l.expect("a frame to a known station", a, l.probe(host, a.MAC), b)
	l.must(l.sw.Flush("lan"))
	l.isNowhere(host, "lan")
	l.isAt(pinned, c, true)
	l.expect("a frame to a flushed station", a, l.probe(host, a.MAC), b, c)
	l.expect("a frame to a static entry", a, l.probe(pinned, a.MAC), c)
}

// checkSegmentsLearnApart has the same address in two segments.
func checkSegmentsLearnApart(l *topology) {
	l.segment("left")
	l.segment("right")
	left := l.attach("left", []string{"l1", "l2", "l3"}, nil)
	right := l.attach("right", []string{"r1", "r2", "r3"}, nil)
	host := others(1)
	l.learn(host, left[1])
	l.isNowhere(host, "right")
	l.expect("a frame to a station known elsewhere", right[0], l.probe(host, right[0].MAC), right[1], right[2])
	l.learn(host, right[2])
	l.isAt(host, left[1], false)
	l.isAt(host, right[2], false)
	l.expect("a frame to the left one", left[0], l.probe(host, left[0].MAC), left[1])
	l.expect("a frame to the right one", right[0], l.probe(host, right[0].MAC), right[2])
}
