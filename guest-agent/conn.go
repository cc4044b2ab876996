package main

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"sync"
)

const (
	// controlFramesMax bounds the answers that wait for a host which asks and never reads; then it is cut off.
	controlFramesMax = 8192
	// messagesWaitingMax is where senders of MESSAGE begin to wait for the host.
	messagesWaitingMax = 256
	messageBytesMax    = protoPayloadBytesMax
)

// conn is one attached host: its streams, and the frames that wait for it. Its lock guards its streams too.
type conn struct {
	agent *agent
	out   io.Writer

	mu   sync.Mutex
	wake *sync.Cond // the writer waits here for work
	room *sync.Cond // senders of MESSAGE wait here for the writer
	// control frames (all but DATA) overtake data.
	control [][]byte
	// ready holds the streams that have data and credit, in turn.
	ready   []*stream
	streams map[uint32]*stream
	highest uint32
	// closing ends the connection once control is written; dead ends it now.
	closing bool
	dead    bool
}

// writeTurn lets one connection at a time write, and holds the frame that it writes.
type writeTurn struct {
	sync.Mutex
	buffer [protoHeaderBytes + protoPayloadBytesMax]byte
}

func newConn(a *agent, out io.Writer) *conn {
	c := &conn{agent: a, out: out, streams: map[uint32]*stream{}}
	c.wake = sync.NewCond(&c.mu)
	c.room = sync.NewCond(&c.mu)
	return c
}

// send queues a control frame.
func (c *conn) send(f frame) {
	c.mu.Lock()
	c.queue(f)
	overrun := len(c.control) > controlFramesMax
	c.mu.Unlock()
	if overrun {
		c.kill()
	}
}

// queue is send for callers that hold the lock.
func (c *conn) queue(f frame) {
	if c.dead {
		return
	}
	c.control = append(c.control, appendFrame(nil, f))
	c.wake.Signal()
}

// writeLoop writes until the connection ends. A host that does not read blocks it here, and nothing else.
// writing is held from the choice of a frame to its last byte, so that nothing of an old connection follows a HELLO.
func (c *conn) writeLoop(writing *writeTurn) {
	for c.waitForWork() {
		writing.Lock()
		var err error
		if wire := c.nextWire(writing.buffer[:]); wire != nil {
			_, err = c.out.Write(wire)
		}
		writing.Unlock()
		if err != nil {
			c.kill()
		}
	}
}

func (c *conn) waitForWork() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.control) == 0 && len(c.ready) == 0 && !c.dead {
		if c.closing {
			return false
		}
		c.wake.Wait()
	}
	return !c.dead
}

// nextWire takes the next frame out of the queues; nil when it went away meanwhile.
func (c *conn) nextWire(buffer []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return nil
	}
	if len(c.control) > 0 {
		wire := c.control[0]
		c.control[0] = nil
		c.control = c.control[1:]
		c.room.Broadcast()
		return wire
	}
	if len(c.ready) == 0 {
		return nil
	}
	s := c.ready[0]
	c.ready = c.ready[1:]
	return s.takeFrame(buffer)
}

// kill ends the connection; its streams learn of it. Programs go on running.
func (c *conn) kill() {
	c.mu.Lock()
	streams := c.streams
	c.streams = map[uint32]*stream{}
	c.dead = true
	c.control, c.ready = nil, nil
	c.wake.Broadcast()
	c.room.Broadcast()
	c.mu.Unlock()
	for _, s := range streams {
		s.end(nil)
	}
}

// handle takes one frame from the host.
func (c *conn) handle(f frame) {
	switch f.kind {
	case framePing:
		if len(f.payload) == 8 {
			c.send(frame{kind: framePong, payload: f.payload})
		}
	case frameOpen:
		c.open(f)
	case frameData, frameWindow, frameClose:
		c.mu.Lock()
		s := c.streams[f.stream]
		c.mu.Unlock()
		if s == nil {
			return // closed a moment ago: in flight
		}
		switch {
		case f.kind == frameData:
			s.received(f.payload, f.flags&protoFlagEnd != 0)
		case f.kind == frameClose:
			s.end(nil)
		case len(f.payload) == 4:
			s.granted(binary.BigEndian.Uint32(f.payload))
		}
	}
}

// open starts what a new stream asks for.
func (c *conn) open(f frame) {
	var request struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	s := newStream(c, f.stream)
	c.mu.Lock()
	fresh := f.stream > c.highest && len(c.streams) < protoStreamsMax && !c.dead
	if fresh {
		c.highest = f.stream
		c.streams[f.stream] = s
	}
	c.mu.Unlock()
	if !fresh {
		c.send(closeFrame(f.stream, nil, fail("invalid_request", "too many streams, or a stream id again")))
		return
	}
	if err := json.Unmarshal(f.payload, &request); err != nil {
		s.finish(nil, fail("invalid_request", "OPEN holds no request"))
		return
	}
	method, known := c.agent.methods[request.Method]
	if !known {
		s.finish(nil, fail("unsupported", "no method "+request.Method))
		return
	}
	if len(request.Params) == 0 {
		request.Params = json.RawMessage("{}")
	}
	go func() {
		result, err := guarded(method, s, request.Params)
		s.finish(result, err)
	}()
}

// guarded keeps a defect in one method from ending the sandbox.
func guarded(method handler, s *stream, params json.RawMessage) (result interface{}, err error) {
	defer func() {
		if recover() != nil {
			result, err = nil, fail("internal", "the guest agent failed in this call")
		}
	}()
	return method(s, params)
}

func closeFrame(id uint32, result interface{}, why *failure) frame {
	body := map[string]interface{}{"result": result}
	if why != nil {
		body = map[string]interface{}{"error": why}
	} else if result == nil {
		body["result"] = struct{}{}
	}
	payload, err := json.Marshal(body)
	if err != nil || len(payload) > messageBytesMax {
		payload = []byte(`{"error":{"code":"internal","message":"the answer does not fit a frame"}}`)
	}
	return frame{kind: frameClose, stream: id, payload: payload}
}
