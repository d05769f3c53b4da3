package vswitch

import "vswitch/internal/frame"

// RaceEnabled says whether the race detector slows the tests down.
const RaceEnabled = raceEnabled

// Carry has p's worker carry raw as if read from p's device, and returns when
// that is done. Nothing else runs meanwhile, so that a fuzzer sees the same way
// taken whenever it tries the same bytes.
func Carry(p *Port, raw []byte) {
	w := p.worker
	w.do(func() {
		buf := w.frames[0][:bufferSize]
		n := copy(buf, raw)
		w.tally.rxFrames++
		w.tally.rxBytes += uint64(max(n-frame.VNetHeaderLen, 0))
		w.ingress(p, buf[:n])
		w.send()
		w.flush(p)
	})
}
