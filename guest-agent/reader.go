package main

// reader is the source of a stream that follows a program: both its outputs, fairly, and what was sent of them in
// which order, because the host's credit counts both together.
type reader struct {
	stream  *stream
	outputs [2]*output
	turn    int
	sent    []sentPiece
}

type sentPiece struct {
	output *output
	bytes  int
}

func (r *reader) waiting() (bytes, end bool) {
	for _, o := range r.outputs {
		o.mu.Lock()
		bytes = bytes || o.reader == r.stream && o.kept.length > o.sent
		o.mu.Unlock()
	}
	return bytes, false
}

func (r *reader) take(into []byte) (n int, channel byte, end bool) {
	for range r.outputs {
		o := r.outputs[r.turn]
		r.turn = 1 - r.turn
		o.mu.Lock()
		if o.reader == r.stream {
			n = o.kept.copyFrom(o.sent, into)
			o.sent += n
			o.room.Signal()
		}
		o.mu.Unlock()
		if n > 0 {
			r.sent = append(r.sent, sentPiece{o, n})
			return n, o.channel, false
		}
	}
	return 0, 0, false
}

func (r *reader) credited(bytes int) {
	for bytes > 0 && len(r.sent) > 0 {
		first := &r.sent[0]
		n := first.bytes
		if n > bytes {
			n = bytes
		}
		first.output.credit(r.stream, n)
		bytes -= n
		first.bytes -= n
		if first.bytes == 0 {
			r.sent = r.sent[1:]
		}
	}
}

// credit lets go of bytes that the reader's consumer has taken.
func (o *output) credit(s *stream, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reader == s {
		o.sent -= bytes
		o.kept.discard(bytes)
	}
}

// waitSent blocks until the reader was sent everything up to the program's end; false when the reader is gone.
func (r *reader) waitSent() bool {
	s := r.stream
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	for !s.closed && !(r.outputs[0].allSent() && r.outputs[1].allSent()) {
		s.changed.Wait()
	}
	return !s.closed
}
