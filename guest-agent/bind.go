package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// binding is what was attached to the sandbox at claim.
type binding struct {
	mu   sync.Mutex
	env  map[string]string
	user string
	cpus int
}

func (b *binding) userName() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.user
}

func (b *binding) snapshot() (map[string]string, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	env := make(map[string]string, len(b.env))
	for name, value := range b.env {
		env[name] = value
	}
	return env, b.cpus
}

func (a *agent) bind(_ *stream, raw json.RawMessage) (interface{}, error) {
	var params struct {
		Env           map[string]string `json:"env"`
		User          string            `json:"user"`
		Hostname      string            `json:"hostname"`
		ClockUnixMs   int64             `json:"clockUnixMs"`
		EntropyBase64 string            `json:"entropyBase64"`
		Cpus          float64           `json:"cpus"`
	}
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	if params.User != "" {
		if _, err := a.users.find(params.User); err != nil {
			return nil, err
		}
	}
	a.bound.mu.Lock()
	if a.bound.env == nil {
		a.bound.env = map[string]string{}
	}
	for name, value := range params.Env {
		a.bound.env[name] = value
	}
	if params.User != "" {
		a.bound.user = params.User
	}
	if params.Cpus > 0 {
		a.bound.cpus = int(params.Cpus)
		if float64(a.bound.cpus) < params.Cpus {
			a.bound.cpus++
		}
	}
	a.bound.mu.Unlock()
	answer := map[string]string{}
	if params.Hostname != "" {
		if err := syscall.Sethostname([]byte(params.Hostname)); err != nil {
			return nil, fail("unsupported", "the host name cannot be set: "+err.Error())
		}
		_ = os.WriteFile("/etc/hostname", []byte(params.Hostname+"\n"), 0o644)
		_ = os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost "+params.Hostname+"\n::1 localhost\n"), 0o644)
	}
	if params.ClockUnixMs != 0 {
		answer["clock"] = setClock(params.ClockUnixMs)
	}
	if params.EntropyBase64 != "" {
		entropy, err := base64.StdEncoding.DecodeString(params.EntropyBase64)
		if err != nil || len(entropy) > 4096 {
			return nil, fail("invalid_request", "entropyBase64 does not hold at most 4096 bytes")
		}
		answer["entropy"] = addEntropy(entropy)
	}
	return answer, nil
}

// setClock steps the clock where it is more than a second off. A runtime that shares the host's clock refuses: fine.
func setClock(unixMs int64) string {
	off := time.Now().UnixMilli() - unixMs
	if off > -1000 && off < 1000 {
		return "right"
	}
	now := syscall.NsecToTimeval(unixMs * int64(time.Millisecond))
	if syscall.Settimeofday(&now) != nil {
		return "unsupported"
	}
	return "set"
}

const ioctlAddEntropy = 0x40085203

// addEntropy mixes bytes into the kernel's generator and credits them where the kernel lets it.
func addEntropy(bytes []byte) string {
	device, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return "unsupported"
	}
	defer device.Close()
	request := make([]byte, 8+len(bytes))
	*(*int32)(unsafe.Pointer(&request[0])) = int32(len(bytes) * 8)
	*(*int32)(unsafe.Pointer(&request[4])) = int32(len(bytes))
	copy(request[8:], bytes)
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, device.Fd(), ioctlAddEntropy, uintptr(unsafe.Pointer(&request[0])))
	runtime.KeepAlive(request)
	if errno == 0 {
		return "credited"
	}
	if _, err := device.Write(bytes); err != nil {
		return "unsupported"
	}
	return "mixed"
}

func itoa(number int) string { return strconv.Itoa(number) }
