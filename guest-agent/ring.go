package main

const ringBytesMax = 1 << 20

// ring keeps the newest bytes of one output that nobody reads; it grows on demand up to 1 MiB.
type ring struct {
	data      []byte
	truncated int64
}

// add appends bytes; the oldest go when there are too many.
func (r *ring) add(bytes []byte) {
	if len(bytes) >= ringBytesMax {
		r.truncated += int64(len(r.data) + len(bytes) - ringBytesMax)
		r.data = append(r.data[:0], bytes[len(bytes)-ringBytesMax:]...)
		return
	}
	// Letting it grow to twice the bound makes the copying rare.
	if len(r.data)+len(bytes) > 2*ringBytesMax {
		keep := ringBytesMax - len(bytes)
		r.truncated += int64(len(r.data) - keep)
		copy(r.data, r.data[len(r.data)-keep:])
		r.data = r.data[:keep]
	}
	r.data = append(r.data, bytes...)
}

// prepend puts back what a reader was given but did not take.
func (r *ring) prepend(bytes []byte) {
	if len(bytes) == 0 {
		return
	}
	r.data = append(append(make([]byte, 0, len(bytes)+len(r.data)), bytes...), r.data...)
}

// take answers everything that is kept and empties the ring.
func (r *ring) take() []byte {
	if surplus := len(r.data) - ringBytesMax; surplus > 0 {
		r.truncated += int64(surplus)
		r.data = r.data[surplus:]
	}
	data := r.data
	r.data = nil
	return data
}
