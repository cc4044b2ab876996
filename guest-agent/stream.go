package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"sync"
)

var errGone = errors.New("the host closed the stream")

const (
	// grantBytes: credit is given back in pieces of at least this, not per frame.
	grantBytes = protoWindowBytes / 4
	creditMax  = 1 << 30
)

// source is where a stream's DATA comes from. It is called with the connection's lock held and must not block.
type source interface {
	// waiting says whether bytes, and whether an END, wait to be sent.
	waiting() (bytes, end bool)
	// take fills into with waiting bytes of one channel; end when they are the last.
	take(into []byte) (n int, channel byte, end bool)
	// credited says that the host's consumer has taken so many of the bytes that were sent.
	credited(bytes int)
}

// stream is one request of the host: credit both ways, what came in, and its end. All fields are guarded by conn.mu.
type stream struct {
	conn *conn
	id   uint32
	// gone is closed with the stream, whoever closes it.
	gone chan struct{}

	changed *sync.Cond
	credit  int
	source  source
	listed  bool // in conn.ready

	incoming    [][]byte
	incomingLen int
	ungranted   int
	ended       bool // the host sent END
	closed      bool
	onClose     []func()
}

func newStream(c *conn, id uint32) *stream {
	return &stream{conn: c, id: id, credit: protoWindowBytes, gone: make(chan struct{}), changed: sync.NewCond(&c.mu)}
}

// kick puts the stream into the writer's turn when it has something that may be sent.
func (s *stream) kick() {
	s.conn.mu.Lock()
	s.list()
	s.conn.mu.Unlock()
}

func (s *stream) list() {
	if s.listed || s.closed || s.conn.dead || s.source == nil {
		return
	}
	if bytes, end := s.source.waiting(); bytes && s.credit > 0 || !bytes && end {
		s.listed = true
		s.conn.ready = append(s.conn.ready, s)
		s.conn.wake.Signal()
	}
}

// takeFrame builds the stream's next DATA frame in buffer; nil when there is none.
func (s *stream) takeFrame(buffer []byte) []byte {
	s.listed = false
	if s.closed {
		return nil
	}
	space := protoPayloadBytesMax
	if space > s.credit {
		space = s.credit
	}
	n, channel, end := s.source.take(buffer[protoHeaderBytes : protoHeaderBytes+space])
	s.credit -= n
	s.changed.Broadcast()
	s.list()
	if n == 0 && !end {
		return nil
	}
	flags := channel << 4
	if end {
		flags |= protoFlagEnd
	}
	return sealFrame(buffer[:protoHeaderBytes+n], frameData, flags, s.id)
}

// feed makes from the origin of the stream's data.
func (s *stream) feed(from source) {
	s.conn.mu.Lock()
	s.source = from
	s.list()
	s.conn.mu.Unlock()
}

// message sends JSON; it waits while the host lets too many of them wait.
func (s *stream) message(value interface{}) error {
	payload, err := json.Marshal(value)
	if err != nil || len(payload) > messageBytesMax {
		return errors.New("the message does not fit a frame")
	}
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	for len(s.conn.control) >= messagesWaitingMax && !s.closed && !s.conn.dead {
		s.conn.room.Wait()
	}
	if s.closed || s.conn.dead {
		return errGone
	}
	s.conn.queue(frame{kind: frameMessage, stream: s.id, payload: payload})
	return nil
}

// finish closes the stream with an answer.
func (s *stream) finish(result interface{}, err error) {
	var why *failure
	if err != nil {
		why = failureOf(err)
	}
	f := closeFrame(s.id, result, why)
	s.end(&f)
}

// end closes the stream once: with a CLOSE to the host, or without where the host closed it or is gone.
func (s *stream) end(answer *frame) {
	s.conn.mu.Lock()
	if s.closed {
		s.conn.mu.Unlock()
		return
	}
	s.closed = true
	delete(s.conn.streams, s.id)
	if answer != nil {
		s.conn.queue(*answer)
	}
	callbacks := s.onClose
	s.incoming, s.onClose = nil, nil
	s.changed.Broadcast()
	s.conn.room.Broadcast()
	close(s.gone)
	s.conn.mu.Unlock()
	for _, callback := range callbacks {
		callback()
	}
}

// whenClosed calls back once the stream is closed, at once if it is already.
func (s *stream) whenClosed(callback func()) {
	s.conn.mu.Lock()
	closed := s.closed
	if !closed {
		s.onClose = append(s.onClose, callback)
	}
	s.conn.mu.Unlock()
	if closed {
		callback()
	}
}

// granted takes credit from the host.
func (s *stream) granted(bytes uint32) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if bytes > creditMax || s.credit+int(bytes) > creditMax {
		return
	}
	s.credit += int(bytes)
	if s.source != nil {
		s.source.credited(int(bytes))
	}
	s.list()
}

// received takes data from the host. A window that it oversteps would be memory, or a gap: the stream ends.
func (s *stream) received(data []byte, end bool) {
	s.conn.mu.Lock()
	overrun := s.incomingLen+s.ungranted+len(data) > protoWindowBytes || s.ended && len(data) > 0
	if !overrun && !s.closed {
		if len(data) > 0 {
			s.incoming = append(s.incoming, append([]byte(nil), data...))
			s.incomingLen += len(data)
		}
		s.ended = s.ended || end
		s.changed.Broadcast()
	}
	s.conn.mu.Unlock()
	if overrun {
		s.finish(nil, fail("invalid_request", "more data than there was credit for"))
	}
}

// read answers the next bytes from the host and gives their credit back; io.EOF after END.
func (s *stream) read() ([]byte, error) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	for len(s.incoming) == 0 && !s.ended && !s.closed {
		s.changed.Wait()
	}
	if s.closed {
		return nil, errGone
	}
	if len(s.incoming) == 0 {
		return nil, io.EOF
	}
	data := s.incoming[0]
	s.incoming = s.incoming[1:]
	s.incomingLen -= len(data)
	s.ungranted += len(data)
	if s.ungranted >= grantBytes {
		var grant [4]byte
		binary.BigEndian.PutUint32(grant[:], uint32(s.ungranted))
		s.ungranted = 0
		s.conn.queue(frame{kind: frameWindow, stream: s.id, payload: grant[:]})
	}
	return data, nil
}
