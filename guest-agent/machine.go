package main

import (
	"encoding/binary"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	ioctlAddEntropy    = 0x40085203
	ioctlReseed        = 0x5207
	hostsFileBytesMax  = 64 * 1024
	clockToleranceMs   = 1000
	entropyHeaderBytes = 8
)

// setHostname names the sandbox, for the kernel and for programs that look names up.
func setHostname(name string) error {
	if err := syscall.Sethostname([]byte(name)); err != nil {
		return fail("unsupported", "the host name cannot be set: "+err.Error())
	}
	_ = overwrite("/etc/hostname", name+"\n", 0o644)
	hosts, _ := os.ReadFile("/etc/hosts")
	if len(hosts) > hostsFileBytesMax {
		return nil
	}
	const mark = "127.0.1.1\t"
	lines := []string{}
	for _, line := range strings.Split(strings.TrimRight(string(hosts), "\n"), "\n") {
		if !strings.HasPrefix(line, mark) && line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		lines = append(lines, "127.0.0.1\tlocalhost", "::1\tlocalhost")
	}
	_ = overwrite("/etc/hosts", strings.Join(append(lines, mark+name), "\n")+"\n", 0o644)
	return nil
}

// setClock steps the clock where it is more than a second off. A runtime that shares the host's clock refuses: fine.
func setClock(unixMs int64) string {
	off := time.Now().UnixMilli() - unixMs
	if off > -clockToleranceMs && off < clockToleranceMs {
		return "right"
	}
	now := syscall.NsecToTimeval(unixMs * int64(time.Millisecond))
	if syscall.Settimeofday(&now) != nil {
		return "unsupported"
	}
	return "set"
}

// addEntropy mixes bytes into the kernel's generator, credits them where the kernel lets it, and has it start anew from
// them at once: a clone must not go on with the numbers of its source.
func addEntropy(bytes []byte) string {
	device, err := syscall.Open("/dev/urandom", syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return "unsupported"
	}
	defer syscall.Close(device)
	request := make([]byte, entropyHeaderBytes, entropyHeaderBytes+len(bytes))
	binary.LittleEndian.PutUint32(request[0:], uint32(len(bytes)*8))
	binary.LittleEndian.PutUint32(request[4:], uint32(len(bytes)))
	request = append(request, bytes...)
	err = ioctl(device, ioctlAddEntropy, unsafe.Pointer(&request[0]))
	runtime.KeepAlive(request)
	if err == nil {
		_ = ioctl(device, ioctlReseed, nil)
		return "credited"
	}
	if _, err := syscall.Write(device, bytes); err != nil {
		return "unsupported"
	}
	return "mixed"
}
