package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

// fuseMount is a volume of a sandbox that no folder of the host can appear in: its kernel's requests go to the host as they
// are, and answers come back. Nothing of them is understood here but their length, their number and whether there is an answer.
type fuseMount struct {
	device int
	// requests come from the kernel, one by one.
	requests chan []byte
	mu       sync.Mutex
	// waiting are those that have no answer yet: a host that comes after another one gets them again.
	waiting map[uint64][]byte
	// serving is closed when a newer stream takes over.
	serving chan struct{}
}

// volumeTable holds the mounts by their slots.
type volumeTable struct {
	mu     sync.Mutex
	mounts map[int]*fuseMount
}

// streamMounts is how many volumes this process carries the requests of.
var streamMounts int32

// mountStream mounts a volume whose requests a later `volume.serve` carries.
func (a *agent) mountStream(params volumeMountParams) error {
	// Not through package os: its poller would make the device non-blocking, and a reader that is killed then loses requests.
	device, err := syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fail("unsupported", "there is no /dev/fuse: "+err.Error())
	}
	if err := os.MkdirAll(params.Path, 0o755); err != nil {
		_ = syscall.Close(device)
		return err
	}
	flags := uintptr(syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOATIME)
	if params.ReadOnly {
		flags |= syscall.MS_RDONLY
	}
	options := "fd=" + strconv.Itoa(device) + ",rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other"
	if err := syscall.Mount("volume", params.Path, "fuse", flags, options); err != nil {
		_ = syscall.Close(device)
		return err
	}
	atomic.AddInt32(&streamMounts, 1)
	m := &fuseMount{device: device, requests: make(chan []byte), waiting: map[uint64][]byte{}}
	a.volumes.mu.Lock()
	if a.volumes.mounts == nil {
		a.volumes.mounts = map[int]*fuseMount{}
	}
	a.volumes.mounts[params.Slot] = m
	a.volumes.mu.Unlock()
	go m.pump()
	return nil
}

// pump reads the kernel's requests until the volume is unmounted.
func (m *fuseMount) pump() {
	defer close(m.requests)
	buffer := make([]byte, fuseMessageBytesMax)
	for {
		n, err := syscall.Read(m.device, buffer)
		if isOneOf(err, syscall.EINTR, syscall.EAGAIN, syscall.ENOENT) {
			continue
		}
		if err != nil || n < fuseInHeaderBytes {
			return
		}
		m.requests <- append([]byte(nil), buffer[:n]...)
	}
}

// volumeServe carries a mount's requests to the host as the stream's data, and the answers back.
func (a *agent) volumeServe(s *stream, raw json.RawMessage) (interface{}, error) {
	var params struct {
		Slot int `json:"slot"`
	}
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	a.volumes.mu.Lock()
	m := a.volumes.mounts[params.Slot]
	a.volumes.mu.Unlock()
	if m == nil {
		return nil, fail("invalid_request", "no volume is mounted from that slot")
	}
	taken := m.takeOver()
	if err := s.message(map[string]bool{"ready": true}); err != nil {
		return nil, err
	}
	go func() {
		_ = m.takeAnswers(s)
		s.end(nil)
	}()
	to := newSender(s)
	for _, request := range m.unanswered() {
		if err := to.write(0, request, false); err != nil {
			return nil, err
		}
	}
	for {
		select {
		case <-s.gone:
			return nil, errGone
		case <-taken:
			return nil, fail("conflict", "another stream carries this volume now")
		case request, open := <-m.requests:
			if !open {
				return nil, nil
			}
			m.expectAnswer(request)
			if err := to.write(0, request, false); err != nil {
				return nil, err
			}
		}
	}
}

func (m *fuseMount) takeOver() chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.serving != nil {
		close(m.serving)
	}
	m.serving = make(chan struct{})
	return m.serving
}

func (m *fuseMount) expectAnswer(request []byte) {
	switch binary.LittleEndian.Uint32(request[4:]) {
	case fuseForget, fuseBatchForget, fuseInterrupt:
		return
	}
	m.mu.Lock()
	m.waiting[binary.LittleEndian.Uint64(request[8:])] = request
	m.mu.Unlock()
}

// unanswered is what another host may have got and not answered, in the kernel's order.
func (m *fuseMount) unanswered() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	var numbers []uint64
	for unique := range m.waiting {
		numbers = append(numbers, unique)
	}
	sort.Slice(numbers, func(i, j int) bool { return numbers[i] < numbers[j] })
	var requests [][]byte
	for _, unique := range numbers {
		requests = append(requests, m.waiting[unique])
	}
	return requests
}

func (m *fuseMount) takeAnswers(s *stream) error {
	in := &streamReader{stream: s}
	for {
		answer, err := readFuse(in)
		if err != nil {
			return err
		}
		unique := binary.LittleEndian.Uint64(answer[8:])
		m.mu.Lock()
		delete(m.waiting, unique)
		m.mu.Unlock()
		// ENOENT: whoever asked was killed meanwhile.
		_, _ = syscall.Write(m.device, answer)
	}
}
