package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// frame is one unit of the guest protocol (schema/guest-protocol.md).
type frame struct {
	kind    byte
	flags   byte
	stream  uint32
	payload []byte
}

// appendFrame adds the wire form of f to out.
func appendFrame(out []byte, f frame) []byte {
	start := len(out)
	var header [protoHeaderBytes]byte
	binary.BigEndian.PutUint16(header[0:], protoMagic)
	header[2] = f.kind
	header[3] = f.flags
	binary.BigEndian.PutUint32(header[4:], f.stream)
	binary.BigEndian.PutUint32(header[8:], uint32(len(f.payload)))
	out = append(out, header[:]...)
	out = append(out, f.payload...)
	sum := crc32.ChecksumIEEE(out[start : start+12])
	sum = crc32.Update(sum, crc32.IEEETable, f.payload)
	binary.BigEndian.PutUint32(out[start+12:], sum)
	return out
}

// decoder reads frames. After anything that is not a frame it hunts for the marker of a new attach.
type decoder struct {
	in      io.Reader
	buffer  []byte
	start   int
	end     int
	hunting bool
}

func newDecoder(in io.Reader) *decoder {
	return &decoder{in: in, buffer: make([]byte, protoHeaderBytes+protoPayloadBytesMax), hunting: true}
}

// fill makes at least need bytes available behind start.
func (d *decoder) fill(need int) error {
	for d.end-d.start < need {
		if d.start > 0 && d.start+need > len(d.buffer) {
			copy(d.buffer, d.buffer[d.start:d.end])
			d.end -= d.start
			d.start = 0
		}
		n, err := d.in.Read(d.buffer[d.end:])
		d.end += n
		if err != nil && d.end-d.start < need {
			return err
		}
	}
	return nil
}

// next answers the next sound frame. Its payload is valid until the following call.
// resynced tells that a marker stood right before it, which only HELLO may follow.
func (d *decoder) next() (f frame, resynced bool, err error) {
	for {
		if d.hunting {
			if err := d.hunt(); err != nil {
				return frame{}, false, err
			}
			d.hunting = false
			resynced = true
		}
		if err := d.fill(protoHeaderBytes); err != nil {
			return frame{}, false, err
		}
		header := d.buffer[d.start : d.start+protoHeaderBytes]
		length := binary.BigEndian.Uint32(header[8:])
		if binary.BigEndian.Uint16(header) != protoMagic || length > protoPayloadBytesMax {
			d.hunting = true
			continue
		}
		if err := d.fill(protoHeaderBytes + int(length)); err != nil {
			return frame{}, false, err
		}
		header = d.buffer[d.start : d.start+protoHeaderBytes]
		payload := d.buffer[d.start+protoHeaderBytes : d.start+protoHeaderBytes+int(length)]
		sum := crc32.ChecksumIEEE(header[:12])
		sum = crc32.Update(sum, crc32.IEEETable, payload)
		d.start += protoHeaderBytes + int(length)
		if sum != binary.BigEndian.Uint32(header[12:]) {
			d.hunting = true
			continue
		}
		f := frame{kind: header[2], flags: header[3], stream: binary.BigEndian.Uint32(header[4:]), payload: payload}
		return f, resynced, nil
	}
}

// hunt skips everything up to and including the marker.
func (d *decoder) hunt() error {
	marker := []byte(protoMarker)
	for {
		if err := d.fill(len(marker)); err != nil {
			return err
		}
		at := bytes.Index(d.buffer[d.start:d.end], marker)
		if at >= 0 {
			d.start += at + len(marker)
			return nil
		}
		d.start = d.end - len(marker) + 1
	}
}
