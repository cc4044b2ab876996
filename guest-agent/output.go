package main

import (
	"io"
	"sync"
	"time"
)

// output is one stream of a program: it goes to the reader while there is one, else into the ring.
type output struct {
	channel byte

	mu     sync.Mutex
	kept   ring
	reader *stream
	// busy says that a write to the reader is under way; attach and detach wait for its end.
	busy bool
	free *sync.Cond
	// readingSince is when the pump began to wait for the program; zero while it delivers.
	readingSince time.Time
}

func newOutput(channel byte) *output {
	o := &output{channel: channel}
	o.free = sync.NewCond(&o.mu)
	return o
}

// pump moves a program's output until its end. With a reader it goes at the reader's pace, without it never waits.
func (o *output) pump(from io.Reader) {
	buffer := make([]byte, protoPayloadBytesMax)
	for {
		o.mark(time.Now())
		n, err := from.Read(buffer)
		o.mark(time.Time{})
		if n > 0 {
			o.deliver(buffer[:n])
		}
		if err != nil {
			o.mark(time.Unix(0, 0))
			return
		}
	}
}

func (o *output) deliver(data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reader == nil {
		o.kept.add(data)
		return
	}
	o.send(data)
}

// send gives data to the reader; what it does not take is kept for the next. o.mu is held, but not while it waits.
func (o *output) send(data []byte) {
	reader := o.reader
	o.busy = true
	o.mu.Unlock()
	err := reader.write(o.channel, data, false)
	o.mu.Lock()
	o.busy = false
	if err != nil {
		o.letGo(reader)
	}
	o.free.Broadcast()
}

// letGo ends a reader's time; what it was given but did not take goes back to the front of the ring. o.mu is held.
func (o *output) letGo(reader *stream) {
	if o.reader != reader {
		return
	}
	o.reader = nil
	o.kept.prepend(reader.takeUnread(o.channel))
}

// attach makes s the reader and first gives it what was kept. follow is false for a look at the ring alone.
func (o *output) attach(s *stream, follow bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.busy {
		o.free.Wait()
	}
	kept := o.kept.take()
	if !follow {
		o.kept.data = append([]byte(nil), kept...)
		o.mu.Unlock()
		_ = s.write(o.channel, kept, false)
		o.mu.Lock()
		return
	}
	o.reader = s
	if len(kept) > 0 {
		o.send(kept)
	}
}

// supersede ends the time of an earlier reader: its stream is closed with a conflict.
func (o *output) supersede() {
	o.mu.Lock()
	earlier := o.reader
	o.mu.Unlock()
	if earlier == nil {
		return
	}
	earlier.finish(nil, fail("conflict", "another reader attached"))
	earlier.cancel()
	o.detach(earlier)
}

// detach lets go of s, which was canceled.
func (o *output) detach(s *stream) {
	o.mu.Lock()
	for o.busy && o.reader == s {
		o.free.Wait()
	}
	o.letGo(s)
	o.mu.Unlock()
}

func (o *output) truncated() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	extra := int64(0)
	if surplus := len(o.kept.data) - ringBytesMax; surplus > 0 {
		extra = int64(surplus)
	}
	return o.kept.truncated + extra
}

func (o *output) mark(since time.Time) {
	o.mu.Lock()
	o.readingSince = since
	o.mu.Unlock()
}

// silentSince answers for how long after a moment the program has said nothing; 0 while its output is on the way.
func (o *output) silentSince(moment time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.readingSince.IsZero() {
		return 0
	}
	if o.readingSince.After(moment) {
		moment = o.readingSince
	}
	return time.Since(moment)
}
