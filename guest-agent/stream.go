package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"sync"
)

var errCanceled = errors.New("the host closed the stream")

// chunk is data that waits to be sent.
type chunk struct {
	channel byte
	data    []byte
	end     bool
}

// stream is one request of the host. Outgoing data waits here for credit; write blocks while too much waits.
type stream struct {
	conn *conn
	id   uint32

	mu       sync.Mutex
	changed  *sync.Cond
	credit   int
	queue    []chunk
	listed   bool // in conn.ready
	canceled bool
	// A program's output must not be lost with a reader: what was sent but not credited yet is kept (256 kB at most).
	keepUncredited bool
	uncredited     []chunk

	incoming    [][]byte
	incomingLen int
	ended       bool
	onCancel    func()
}

func newStream(c *conn, id uint32) *stream {
	s := &stream{conn: c, id: id, credit: protoWindowBytes}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// write sends data on a channel; it blocks until all of it has credit, so that the caller feels the host's pace.
// It copies nothing: data must not change until it returns.
func (s *stream) write(channel byte, data []byte, end bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.canceled {
		return errCanceled
	}
	s.queue = append(s.queue, chunk{channel, data, end})
	s.list()
	for len(s.queue) > 0 && !s.canceled {
		s.changed.Wait()
	}
	if s.canceled {
		return errCanceled
	}
	return nil
}

// takeUnread answers what the reader of a channel was given but did not take; for the ring of the next reader.
func (s *stream) takeUnread(channel byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var unread []byte
	for _, list := range []*[]chunk{&s.uncredited, &s.queue} {
		kept := (*list)[:0:0]
		for _, piece := range *list {
			if piece.channel == channel {
				unread = append(unread, piece.data...)
			} else {
				kept = append(kept, piece)
			}
		}
		*list = kept
	}
	return unread
}

// list puts the stream into the connection's turn when it has something to send. s.mu is held.
func (s *stream) list() {
	sendable := len(s.queue) > 0 && (s.credit > 0 || len(s.queue[0].data) == 0)
	if s.listed || s.canceled || !sendable {
		return
	}
	s.listed = true
	go s.enqueue()
}

// enqueue takes the locks in the order that writeLoop does: connection first.
func (s *stream) enqueue() {
	s.conn.mu.Lock()
	if !s.conn.dead {
		s.conn.ready = append(s.conn.ready, s)
		s.conn.wake.Signal()
	}
	s.conn.mu.Unlock()
}

// takeFrame adds the next frame of the stream to out; nothing when there is none. The connection's lock is held.
func (s *stream) takeFrame(out []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = false
	if s.canceled || len(s.queue) == 0 {
		return out
	}
	first := &s.queue[0]
	size := len(first.data)
	if size > protoPayloadBytesMax {
		size = protoPayloadBytesMax
	}
	if size > s.credit {
		size = s.credit
	}
	if size == 0 && len(first.data) > 0 {
		return out // the credit went meanwhile; WINDOW lists it again
	}
	flags := first.channel << 4
	last := size == len(first.data)
	if last && first.end {
		flags |= protoFlagEnd
	}
	out = appendFrame(out, frame{kind: frameData, flags: flags, stream: s.id, payload: first.data[:size]})
	s.credit -= size
	if s.keepUncredited && size > 0 {
		s.uncredited = append(s.uncredited, chunk{channel: first.channel, data: append([]byte(nil), first.data[:size]...)})
	}
	first.data = first.data[size:]
	if last {
		s.queue = s.queue[1:]
		if len(s.queue) == 0 {
			s.queue = nil
			s.changed.Broadcast()
		}
	}
	s.list()
	return out
}

// message sends JSON. It stays behind data that was written before, because write returns only when that is sent.
func (s *stream) message(value interface{}) error {
	payload, err := json.Marshal(value)
	if err != nil || len(payload) > messageBytesMax {
		return errors.New("the message does not fit a frame")
	}
	s.mu.Lock()
	canceled := s.canceled
	s.mu.Unlock()
	if canceled {
		return errCanceled
	}
	s.conn.send(frame{kind: frameMessage, stream: s.id, payload: payload})
	return nil
}

// finish closes the stream with an answer.
func (s *stream) finish(result interface{}, err error) {
	var why *failure
	if err != nil {
		why = failureOf(err)
	}
	s.mu.Lock()
	if s.canceled {
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.conn.forget(s)
	s.conn.send(closeFrame(s.id, result, why))
}

// granted adds credit.
func (s *stream) granted(bytes int) {
	s.mu.Lock()
	if s.credit+bytes < 1<<30 {
		s.credit += bytes
	}
	for bytes > 0 && len(s.uncredited) > 0 {
		first := &s.uncredited[0]
		if bytes < len(first.data) {
			first.data = first.data[bytes:]
			break
		}
		bytes -= len(first.data)
		s.uncredited = s.uncredited[1:]
	}
	s.list()
	s.mu.Unlock()
}

// received takes data from the host. The host is ours, but a window that it oversteps would be memory.
func (s *stream) received(data []byte, end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.canceled || s.incomingLen+len(data) > protoWindowBytes {
		return
	}
	if len(data) > 0 {
		s.incoming = append(s.incoming, append([]byte(nil), data...))
		s.incomingLen += len(data)
	}
	s.ended = s.ended || end
	s.changed.Broadcast()
}

// read answers the next bytes from the host and grants their credit back; io.EOF after END.
func (s *stream) read() ([]byte, error) {
	s.mu.Lock()
	for len(s.incoming) == 0 && !s.ended && !s.canceled {
		s.changed.Wait()
	}
	if s.canceled {
		s.mu.Unlock()
		return nil, errCanceled
	}
	if len(s.incoming) == 0 {
		s.mu.Unlock()
		return nil, io.EOF
	}
	data := s.incoming[0]
	s.incoming = s.incoming[1:]
	s.incomingLen -= len(data)
	s.mu.Unlock()
	var grant [4]byte
	binary.BigEndian.PutUint32(grant[:], uint32(len(data)))
	s.conn.send(frame{kind: frameWindow, stream: s.id, payload: grant[:]})
	return data, nil
}

// cancel wakes everything that waits on the stream. Safe to call twice.
func (s *stream) cancel() {
	s.mu.Lock()
	if s.canceled {
		s.mu.Unlock()
		return
	}
	s.canceled = true
	callback := s.onCancel
	s.changed.Broadcast()
	s.mu.Unlock()
	if callback != nil {
		callback()
	}
}

// whenCanceled calls back once the stream is canceled, at once if it is already.
func (s *stream) whenCanceled(callback func()) {
	s.mu.Lock()
	if !s.canceled {
		s.onCancel = callback
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	callback()
}

// waitCanceled blocks until the host closes the stream.
func (s *stream) waitCanceled() {
	s.mu.Lock()
	for !s.canceled {
		s.changed.Wait()
	}
	s.mu.Unlock()
}
