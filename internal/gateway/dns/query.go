package dns

import (
	"encoding/binary"
	"net/netip"

	mdns "github.com/miekg/dns"
)

// query is a client's message and what its answer must respect.
type query struct {
	msg  *mdns.Msg
	opt  *mdns.OPT // nil without EDNS (RFC 6891)
	room int       // bytes of an answer
	bad  bool      // its header alone could be read
}

// Places in a message's header (RFC 1035 §4.1.1).
const (
	headerLen    = 12
	responseFlag = 0x80 // in the third byte
)

// read takes a query apart. nil is one that gets no answer: it comes from
// elsewhere, is a response itself, or has no header.
func (r *Resolver) read(b []byte, from netip.Addr) *query {
	if !r.inSegment(from) || len(b) < headerLen || b[2]&responseFlag != 0 {
		return nil
	}
	q := &query{msg: new(mdns.Msg), room: mdns.MinMsgSize}
	if err := q.msg.Unpack(b); err != nil {
		q.bad = true
		q.msg = &mdns.Msg{MsgHdr: mdns.MsgHdr{Id: binary.BigEndian.Uint16(b), Opcode: int(b[2]>>3) & 15}}
		return q
	}
	if q.opt = q.msg.IsEdns0(); q.opt != nil {
		q.room = min(max(int(q.opt.UDPSize()), mdns.MinMsgSize), maxUDP)
		q.opt.Option = nil
	}
	q.msg.Answer, q.msg.Ns, q.msg.Extra = nil, nil, nil // it may wait, and is to be small
	return q
}

// refusal is the code for what no resolver is asked.
func (q *query) refusal() int {
	switch {
	case q.msg.Opcode != mdns.OpcodeQuery:
		return mdns.RcodeNotImplemented
	case q.bad || len(q.msg.Question) != 1:
		return mdns.RcodeFormatError
	case q.opt != nil && q.opt.Version() != 0:
		return mdns.RcodeBadVers
	}
	switch question := q.msg.Question[0]; {
	case question.Qclass != mdns.ClassINET:
		return mdns.RcodeRefused
	case question.Qtype == mdns.TypeAXFR || question.Qtype == mdns.TypeIXFR:
		return mdns.RcodeRefused
	}
	return mdns.RcodeSuccess
}

// failure is the answer that bears a code and nothing else.
func (q *query) failure(code int) *mdns.Msg {
	m := new(mdns.Msg).SetRcode(q.msg, code)
	m.RecursionAvailable = true
	return m
}

// addresses answers for a name of the segment. A name without a record of the type
// that is asked for is there all the same: the answer is then empty, and no error
// (RFC 2308 §2.2, RFC 4074 §3 for AAAA).
func (q *query) addresses(all addresses) *mdns.Msg {
	m := q.own()
	kind := q.msg.Question[0].Qtype
	if kind == mdns.TypeA || kind == mdns.TypeANY {
		for _, a := range shuffled(all.v4) {
			m.Answer = append(m.Answer, &mdns.A{Hdr: q.header(mdns.TypeA), A: a.AsSlice()})
		}
	}
	if kind == mdns.TypeAAAA || kind == mdns.TypeANY {
		for _, a := range shuffled(all.v6) {
			m.Answer = append(m.Answer, &mdns.AAAA{Hdr: q.header(mdns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	return m
}

// pointer answers for an address of the segment.
func (q *query) pointer(name string) *mdns.Msg {
	m := q.own()
	switch question := q.msg.Question[0]; {
	case name == "":
		m.Rcode = mdns.RcodeNameError
	case question.Qtype == mdns.TypePTR || question.Qtype == mdns.TypeANY:
		m.Answer = append(m.Answer, &mdns.PTR{Hdr: q.header(mdns.TypePTR), Ptr: name})
	}
	return m
}

// own is an answer that comes from us, who know best.
func (q *query) own() *mdns.Msg {
	m := q.failure(mdns.RcodeSuccess)
	m.Authoritative = true
	return m
}

func (q *query) header(kind uint16) mdns.RR_Header {
	return mdns.RR_Header{Name: q.msg.Question[0].Name, Rrtype: kind, Class: mdns.ClassINET, Ttl: ttl}
}

// upstream is the question as it is passed on: with another id, without what only
// concerns the way between the client and us.
func (q *query) upstream() *mdns.Msg {
	m := new(mdns.Msg)
	m.Id = mdns.Id()
	m.RecursionDesired = q.msg.RecursionDesired
	m.CheckingDisabled, m.AuthenticatedData = q.msg.CheckingDisabled, q.msg.AuthenticatedData
	m.Question = q.msg.Question
	if q.opt != nil {
		m.SetEdns0(maxUDP, q.opt.Do())
	}
	return m
}

// pack makes the bytes of an answer, cut to what the client takes and marked as
// such. nil is an answer that cannot be expressed.
func (q *query) pack(m *mdns.Msg) []byte {
	answer := *m
	answer.Id, answer.Question = q.msg.Id, q.msg.Question
	answer.Response, answer.RecursionAvailable = true, true
	answer.Extra = nil
	for _, rr := range m.Extra {
		if rr.Header().Rrtype != mdns.TypeOPT { // it concerns the way between the server and us
			answer.Extra = append(answer.Extra, rr)
		}
	}
	if q.opt != nil {
		answer.SetEdns0(maxUDP, q.opt.Do())
	}
	answer.Truncate(q.room)
	b, err := answer.Pack()
	if err != nil {
		return nil
	}
	return b
}
