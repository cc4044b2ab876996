package main

const (
	ringBytesMax = 1 << 20
	ringBytesMin = 4096
)

// ring keeps the bytes of one output in order; it grows on demand and gives its memory back when it is empty.
type ring struct {
	data   []byte
	start  int
	length int
	// truncated counts the bytes that were dropped unread.
	truncated int64
}

// add appends bytes, whatever that costs; trim bounds it.
func (r *ring) add(bytes []byte) {
	r.reserve(r.length + len(bytes))
	at := (r.start + r.length) % len(r.data)
	n := copy(r.data[at:], bytes)
	copy(r.data, bytes[n:])
	r.length += len(bytes)
}

func (r *ring) reserve(need int) {
	if need <= len(r.data) && len(r.data) > 0 {
		return
	}
	size := ringBytesMin
	for size < need {
		size *= 2
	}
	grown := make([]byte, size)
	r.copyFrom(0, grown[:r.length])
	r.data, r.start = grown, 0
}

// trim drops the oldest bytes above a bound.
func (r *ring) trim(bound int) {
	if surplus := r.length - bound; surplus > 0 {
		r.truncated += int64(surplus)
		r.discard(surplus)
	}
}

// copyFrom fills into with the bytes from an offset on and answers how many there were.
func (r *ring) copyFrom(offset int, into []byte) int {
	if rest := r.length - offset; len(into) > rest {
		into = into[:rest]
	}
	if len(into) == 0 {
		return 0
	}
	n := copy(into, r.data[(r.start+offset)%len(r.data):])
	copy(into[n:], r.data)
	return len(into)
}

// discard takes the oldest n bytes away.
func (r *ring) discard(n int) {
	r.length -= n
	if r.length > 0 {
		r.start = (r.start + n) % len(r.data)
		return
	}
	r.start = 0
	if len(r.data) > ringBytesMin {
		r.data = nil
	}
}
