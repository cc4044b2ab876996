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
	out = append(append(out, header[:]...), f.payload...)
	sealFrame(out[start:], f.kind, f.flags, f.stream)
	return out
}

// sealFrame makes wire, whose payload stands behind room for a header, a frame.
func sealFrame(wire []byte, kind, flags byte, stream uint32) []byte {
	binary.BigEndian.PutUint16(wire[0:], protoMagic)
	wire[2] = kind
	wire[3] = flags
	binary.BigEndian.PutUint32(wire[4:], stream)
	binary.BigEndian.PutUint32(wire[8:], uint32(len(wire)-protoHeaderBytes))
	binary.BigEndian.PutUint32(wire[12:], checksum(wire))
	return wire
}

// checksum covers all of a frame but the checksum itself.
func checksum(wire []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(wire[:12]), crc32.IEEETable, wire[protoHeaderBytes:])
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
		wire := d.buffer[d.start : d.start+protoHeaderBytes+int(length)]
		d.start += len(wire)
		if checksum(wire) != binary.BigEndian.Uint32(wire[12:]) {
			d.hunting = true
			continue
		}
		stream := binary.BigEndian.Uint32(wire[4:])
		return frame{kind: wire[2], flags: wire[3], stream: stream, payload: wire[protoHeaderBytes:]}, resynced, nil
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
