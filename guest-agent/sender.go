package main

// sender is the source of a stream that one goroutine writes: it holds one piece at a time, so that the writer feels
// the host's pace.
type sender struct {
	stream  *stream
	data    []byte
	channel byte
	end     bool
}

func newSender(s *stream) *sender {
	from := &sender{stream: s}
	s.feed(from)
	return from
}

// write sends data and returns when the last of it is on its way. data must not change until then.
func (w *sender) write(channel byte, data []byte, end bool) error {
	s := w.stream
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	w.data, w.channel, w.end = data, channel, end
	s.list()
	for (len(w.data) > 0 || w.end) && !s.closed {
		s.changed.Wait()
	}
	if s.closed {
		return errGone
	}
	return nil
}

func (w *sender) waiting() (bytes, end bool) { return len(w.data) > 0, w.end }

func (w *sender) take(into []byte) (n int, channel byte, end bool) {
	n = copy(into, w.data)
	w.data = w.data[n:]
	end = w.end && len(w.data) == 0
	w.end = w.end && !end
	return n, w.channel, end
}

func (w *sender) credited(int) {}
