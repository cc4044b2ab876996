package main

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"sync"
)

const (
	controlFramesMax = 8192
	messageBytesMax  = protoPayloadBytesMax
)

// conn is one attached host: its streams, and a queue of frames to it. Control frames overtake queued data.
type conn struct {
	agent *agent
	out   io.Writer

	mu      sync.Mutex
	wake    *sync.Cond
	control [][]byte
	streams map[uint32]*stream
	highest uint32
	// ready holds streams that have data and credit, in turn.
	ready []*stream
	dead  bool
}

func newConn(a *agent, out io.Writer) *conn {
	c := &conn{agent: a, out: out, streams: map[uint32]*stream{}}
	c.wake = sync.NewCond(&c.mu)
	return c
}

// send queues a control frame (everything but DATA).
func (c *conn) send(f frame) {
	wire := appendFrame(nil, f)
	c.mu.Lock()
	if !c.dead && len(c.control) < controlFramesMax {
		c.control = append(c.control, wire)
		c.wake.Signal()
	}
	c.mu.Unlock()
}

// writeLoop writes until the connection is replaced. A host that does not read blocks it here and nothing else.
func (c *conn) writeLoop(writing *sync.Mutex) {
	buffer := make([]byte, 0, protoHeaderBytes+protoPayloadBytesMax)
	for {
		c.mu.Lock()
		for len(c.control) == 0 && len(c.ready) == 0 && !c.dead {
			c.wake.Wait()
		}
		if c.dead {
			c.mu.Unlock()
			return
		}
		var wire []byte
		if len(c.control) > 0 {
			wire = c.control[0]
			c.control = c.control[1:]
		} else {
			s := c.ready[0]
			c.ready = c.ready[1:]
			buffer = s.takeFrame(buffer[:0])
			wire = buffer
		}
		c.mu.Unlock()
		if len(wire) == 0 {
			continue
		}
		writing.Lock()
		_, err := c.out.Write(wire)
		writing.Unlock()
		if err != nil {
			c.kill()
			return
		}
	}
}

// kill ends the connection; its streams learn of it. Programs go on running.
func (c *conn) kill() {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return
	}
	c.dead = true
	streams := make([]*stream, 0, len(c.streams))
	for _, s := range c.streams {
		streams = append(streams, s)
	}
	c.streams = map[uint32]*stream{}
	c.control, c.ready = nil, nil
	c.wake.Broadcast()
	c.mu.Unlock()
	for _, s := range streams {
		s.cancel()
	}
}

// handle takes one frame from the host.
func (c *conn) handle(f frame) {
	switch f.kind {
	case framePing:
		c.send(frame{kind: framePong, payload: append([]byte(nil), f.payload...)})
	case frameOpen:
		c.open(f)
	case frameData, frameWindow, frameClose:
		c.mu.Lock()
		s := c.streams[f.stream]
		c.mu.Unlock()
		if s == nil {
			return // closed a moment ago: in flight
		}
		switch f.kind {
		case frameData:
			s.received(f.payload, f.flags&protoFlagEnd != 0)
		case frameWindow:
			if len(f.payload) == 4 {
				s.granted(int(binary.BigEndian.Uint32(f.payload)))
			}
		case frameClose:
			c.forget(s)
			s.cancel()
		}
	}
}

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
	handler, known := c.agent.methods[request.Method]
	if !known {
		s.finish(nil, fail("unsupported", "no method "+request.Method))
		return
	}
	if len(request.Params) == 0 {
		request.Params = json.RawMessage("{}")
	}
	go func() {
		result, err := handler(s, request.Params)
		s.finish(result, err)
	}()
}

func (c *conn) forget(s *stream) {
	c.mu.Lock()
	delete(c.streams, s.id)
	c.mu.Unlock()
}

func closeFrame(id uint32, result interface{}, failure *failure) frame {
	var body interface{}
	if failure != nil {
		body = map[string]interface{}{"error": failure}
	} else {
		if result == nil {
			result = struct{}{}
		}
		body = map[string]interface{}{"result": result}
	}
	payload, err := json.Marshal(body)
	if err != nil || len(payload) > messageBytesMax {
		payload = []byte(`{"error":{"code":"internal","message":"the answer does not fit a frame"}}`)
	}
	return frame{kind: frameClose, stream: id, payload: payload}
}
