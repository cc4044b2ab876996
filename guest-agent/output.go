package main

import (
	"os"
	"sync"
	"syscall"
	"unsafe"
)

const (
	// unsentBytesMax is how far the agent reads ahead of a reader; beyond, the program feels the back-pressure.
	unsentBytesMax  = 64 * 1024
	pumpBufferBytes = 32 * 1024
	ioctlReadable   = 0x541b
)

// pumpBuffers are shared: a program that is silent costs none.
var pumpBuffers = sync.Pool{New: func() interface{} { return new([pumpBufferBytes]byte) }}

// output is one stream of a program. Its ring holds what nobody read: with a reader that is a little, and what the
// reader was sent without giving credit yet; without a reader up to 1 MiB.
type output struct {
	channel byte

	mu     sync.Mutex
	room   *sync.Cond // the pump waits here for its reader
	kept   ring
	reader *stream
	// sent bytes at the front of kept are on their way to the reader.
	sent int
	// total counts all that the program has said; final is what it had said by its end.
	total int64
	final int64
	// reached is closed when total comes up to final, or at the end of the pipe.
	reached   chan struct{}
	ended     bool
	forgotten bool
}

func newOutput(channel byte) *output {
	o := &output{channel: channel}
	o.room = sync.NewCond(&o.mu)
	return o
}

// pump moves a program's output until its end: at the reader's pace, without one as fast as it comes.
func (o *output) pump(from *os.File) {
	raw, err := from.SyscallConn()
	for err == nil && !o.isEnded() {
		err = raw.Read(o.readSome)
	}
	o.mu.Lock()
	o.ended = true
	o.checkReached()
	o.mu.Unlock()
}

// isEnded waits until more may be read, and says whether nothing more will come.
func (o *output) isEnded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.reader != nil && o.kept.length-o.sent >= unsentBytesMax {
		o.room.Wait()
	}
	return o.ended
}

// readSome reads what is there; false when the poller shall call again. The lock makes reading and counting one step.
func (o *output) readSome(fd uintptr) bool {
	buffer := pumpBuffers.Get().(*[pumpBufferBytes]byte)
	defer pumpBuffers.Put(buffer)
	o.mu.Lock()
	n, err := syscall.Read(int(fd), buffer[:])
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), buffer[:])
	}
	if n > 0 {
		o.keep(buffer[:n])
	}
	o.ended = n <= 0 && err != syscall.EAGAIN
	reader := o.reader
	o.mu.Unlock()
	if n > 0 && reader != nil {
		reader.kick() // takes the connection's lock, which comes before ours
	}
	return err != syscall.EAGAIN
}

func (o *output) keep(bytes []byte) {
	o.total += int64(len(bytes))
	o.checkReached()
	if o.forgotten && o.reader == nil {
		return
	}
	o.kept.add(bytes)
	if o.reader == nil {
		o.kept.trim(ringBytesMax)
	}
}

// markFinal is called when the program has ended: what lies in the pipe now is the last of it (or of its children).
// It answers a channel that is closed when all of it was read.
func (o *output) markFinal(from *os.File) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	var readable int32
	if raw, err := from.SyscallConn(); err == nil && !o.ended {
		_ = raw.Control(func(fd uintptr) { _ = ioctl(int(fd), ioctlReadable, unsafe.Pointer(&readable)) })
	}
	o.final = o.total + int64(readable)
	o.reached = make(chan struct{})
	o.checkReached()
	return o.reached
}

func (o *output) checkReached() {
	if o.reached == nil || !o.ended && o.total < o.final {
		return
	}
	select {
	case <-o.reached:
	default:
		close(o.reached)
	}
}

// settle fixes what a reader gets before it is told of the program's end: all that was read by now.
func (o *output) settle() {
	o.mu.Lock()
	o.final = o.total
	o.mu.Unlock()
}

// allSent says whether the reader was sent everything up to the program's end.
func (o *output) allSent() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total-int64(o.kept.length-o.sent) >= o.final
}

// attach makes s the reader; release ends the time of whoever was it before.
func (o *output) attach(s *stream) {
	o.mu.Lock()
	o.reader = s
	o.mu.Unlock()
}

// release ends a reader's time. What it was sent without giving credit stays in the ring for the next one.
func (o *output) release(s *stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reader != s {
		return
	}
	o.reader, o.sent = nil, 0
	o.kept.trim(ringBytesMax)
	if o.forgotten {
		o.kept = ring{}
	}
	o.room.Broadcast()
}

// forget lets the memory go; a daemon that still writes is read into nothing.
func (o *output) forget() {
	o.mu.Lock()
	o.forgotten = true
	if o.reader == nil {
		o.kept = ring{}
	}
	o.mu.Unlock()
}

// snapshot copies what is kept.
func (o *output) snapshot() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	bytes := make([]byte, o.kept.length)
	o.kept.copyFrom(0, bytes)
	return bytes
}

func (o *output) truncated() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.truncated
}
