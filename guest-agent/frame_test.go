package main

import (
	"bytes"
	"io"
	"reflect"
	"testing"
	"testing/iotest"
)

func read(t *testing.T, wire []byte) []frame {
	t.Helper()
	var got []frame
	d := newDecoder(bytes.NewReader(wire))
	for {
		f, _, err := d.next()
		if err != nil {
			return got
		}
		f.payload = append([]byte(nil), f.payload...)
		got = append(got, f)
	}
}

func hello() []byte {
	return appendFrame([]byte(protoMarker), frame{kind: frameHello, payload: []byte("{}")})
}

func TestFramesComeBack(t *testing.T) {
	wire := hello()
	for i := 0; i < 50; i++ {
		wire = appendFrame(wire, frame{kind: frameData, stream: uint32(i), payload: bytes.Repeat([]byte{byte(i)}, i*1300)})
	}
	got := read(t, wire)
	if len(got) != 51 || len(got[50].payload) != 49*1300 {
		t.Fatalf("%d frames", len(got))
	}
}

// A host that was killed in the middle of a frame: the next one's padding fills the frame up, its CRC fails.
func TestResyncAfterHalfAFrame(t *testing.T) {
	whole := appendFrame(nil, frame{kind: frameData, stream: 3, payload: bytes.Repeat([]byte{9}, protoPayloadBytesMax)})
	for _, cut := range []int{1, 8, 15, 16, 17, 1000, len(whole) - 1} {
		wire := append(hello(), whole[:cut]...)
		wire = append(wire, make([]byte, protoResyncPaddingBytes)...)
		wire = append(wire, hello()...)
		got := read(t, wire)
		if len(got) != 2 || got[1].kind != frameHello {
			t.Fatalf("cut at %d: %d frames", cut, len(got))
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add(hello())
	f.Add([]byte(protoMarker))
	f.Add(appendFrame(hello(), frame{kind: frameData, stream: 7, payload: []byte("data")}))
	f.Fuzz(func(t *testing.T, wire []byte) {
		whole := decodeAll(t, bytes.NewReader(wire))
		cut := decodeAll(t, iotest.OneByteReader(bytes.NewReader(wire)))
		if !reflect.DeepEqual(whole, cut) {
			t.Fatalf("in one piece %q, byte by byte %q", whole, cut)
		}
		for _, f := range whole {
			if !bytes.Contains(wire, []byte(f)) {
				t.Fatalf("%q stands nowhere in the input", f)
			}
		}
	})
}

// decodeAll answers every frame in its wire form, which has to be the one that was read.
func decodeAll(t *testing.T, in io.Reader) []string {
	var all []string
	d := newDecoder(in)
	for {
		f, _, err := d.next()
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(appendFrame(nil, f)))
	}
}

func TestRingKeepsTheNewest(t *testing.T) {
	var r ring
	total := 0
	for i := 0; i < 400; i++ {
		piece := bytes.Repeat([]byte{byte(i)}, 10_000)
		r.add(piece)
		r.trim(ringBytesMax)
		total += len(piece)
	}
	kept := make([]byte, r.length)
	r.copyFrom(0, kept)
	if len(kept) != ringBytesMax {
		t.Fatalf("%d bytes kept", len(kept))
	}
	if int(r.truncated)+len(kept) != total || kept[len(kept)-1] != byte(399%256) {
		t.Fatalf("%d + %d of %d", r.truncated, len(kept), total)
	}
}

// A ring that is filled and emptied in any pieces gives back the bytes in their order, and its memory at the end.
func TestRingKeepsTheOrder(t *testing.T) {
	var r ring
	next, expected := byte(0), byte(0)
	for round := 1; round < 500; round++ {
		piece := make([]byte, round*37%5000)
		for i := range piece {
			piece[i] = next
			next++
		}
		r.add(piece)
		out := make([]byte, round*53%7000)
		out = out[:r.copyFrom(0, out)]
		for _, b := range out {
			if b != expected {
				t.Fatalf("round %d: %d instead of %d", round, b, expected)
			}
			expected++
		}
		r.discard(len(out))
	}
	r.discard(r.length)
	if cap(r.data) > ringBytesMin {
		t.Fatalf("an empty ring holds %d bytes", cap(r.data))
	}
}
