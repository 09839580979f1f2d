package bench

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"time"
)

// A sender is one client of a load. It writes what its window has room for in one
// write, reads what has come, and so on, on one goroutine.
type sender struct {
	load        *Load
	nc          net.Conn
	packet      []byte // a PUBLISH
	id          int    // where its identifier stands
	from, until time.Time

	sent     []time.Time // by slot: when what is in flight was sent, or due
	free     []uint16    // slots; a packet identifier is its slot and 1
	inFlight int
	out, in  []byte // what is written, and what was read and is no whole packet yet

	every time.Duration // between messages; 0 without a rate
	due   time.Time     // of the next

	latencies Latencies
	last      time.Time // of the last acknowledgement that counts
	err       error
}

func (l *Load) newSender(n int, nc net.Conn, login Login, from, until time.Time) *sender {
	s := &sender{load: l, nc: nc, from: from, until: until, sent: make([]time.Time, l.Window), in: make([]byte, 0, 4096)}
	s.packet, s.id = newPublish(login.Topic, payload(l.Size))
	for slot := range uint16(l.Window) {
		s.free = append(s.free, slot)
	}
	if l.Rate > 0 {
		s.every = time.Duration(float64(l.Clients) / l.Rate * float64(time.Second))
		s.due = time.Now().Add(s.every * time.Duration(n) / time.Duration(l.Clients)) // not all at once
	}
	return s
}

// payload is text of some size that compresses no better than telemetry does.
func payload(size int) []byte {
	b := make([]byte, size)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = "0123456789abcdef"[x>>28]
	}
	return b
}

// run sends until the end and waits for what is in flight then.
func (s *sender) run() {
	defer s.nc.Close()
	ended := time.Time{}
	for {
		now := time.Now()
		if ended.IsZero() && s.over(now) {
			ended = now
		}
		if ended.IsZero() {
			if s.err = s.write(now); s.err != nil {
				return
			}
		}
		if s.inFlight == 0 && (!ended.IsZero() || s.over(now)) {
			_, s.err = s.nc.Write([]byte{0xe0, 0}) // DISCONNECT
			return
		}
		if s.err = s.read(s.patience(ended)); s.err != nil {
			return
		}
	}
}

// over reports whether nothing more is to be sent.
func (s *sender) over(now time.Time) bool {
	if s.load.Count > 0 {
		return s.load.left.Load() <= 0
	}
	return now.After(s.until)
}

// answerTime is how long a server may take for an acknowledgement.
const answerTime = 30 * time.Second

// patience is until when the next read waits.
func (s *sender) patience(ended time.Time) time.Time {
	if !ended.IsZero() {
		return ended.Add(answerTime)
	}
	if s.every > 0 && len(s.free) > 0 {
		return s.due
	}
	return time.Now().Add(answerTime)
}

// write sends what there is room for and what is due.
func (s *sender) write(now time.Time) error {
	s.out = s.out[:0]
	for len(s.free) > 0 {
		at := now
		if s.every > 0 {
			if s.due.After(now) {
				break
			}
			at, s.due = s.due, s.due.Add(s.every)
		}
		if s.load.Count > 0 && s.load.left.Add(-1) < 0 {
			break
		}
		slot := s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		s.sent[slot] = at
		s.inFlight++
		begin := len(s.out)
		s.out = append(s.out, s.packet...)
		binary.BigEndian.PutUint16(s.out[begin+s.id:], slot+1)
	}
	if len(s.out) == 0 {
		return nil
	}
	if err := s.nc.SetWriteDeadline(now.Add(answerTime)); err != nil {
		return err
	}
	_, err := s.nc.Write(s.out)
	return err
}

// read takes what has come, and waits for something until then.
func (s *sender) read(until time.Time) error {
	if err := s.nc.SetReadDeadline(until); err != nil {
		return err
	}
	n, err := s.nc.Read(s.in[len(s.in):cap(s.in)])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if s.every > 0 && !time.Now().Before(s.due) && len(s.free) > 0 {
			return nil // the next is due
		}
		return errUnanswered
	}
	if err != nil {
		return err
	}
	now := time.Now()
	rest := s.in[:len(s.in)+n]
	for len(rest) > 0 {
		kind, body, after, err := cutPacket(rest)
		if err != nil {
			return err
		}
		if after == nil {
			break
		}
		rest = after
		if kind == packetPuback {
			if err := s.acknowledged(body, now); err != nil {
				return err
			}
		}
	}
	s.in = s.in[:copy(s.in[:cap(s.in)], rest)]
	if len(s.in) == cap(s.in) {
		return errMalformed // longer than anything that was asked for
	}
	return nil
}

func (s *sender) acknowledged(body []byte, now time.Time) error {
	if len(body) != 2 {
		return errMalformed
	}
	slot := int(binary.BigEndian.Uint16(body)) - 1
	if slot < 0 || slot >= len(s.sent) || s.sent[slot].IsZero() {
		return errors.New("the server acknowledged what was not sent")
	}
	s.load.acked.Add(1)
	if !now.Before(s.from) && (s.load.Count > 0 || now.Before(s.until)) {
		s.latencies.Add(now.Sub(s.sent[slot]))
		s.last = now
	}
	s.sent[slot] = time.Time{}
	s.free = append(s.free, uint16(slot))
	s.inFlight--
	return nil
}
