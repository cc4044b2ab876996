package main

import (
	"io"
	"sync"
	"syscall"
	"unsafe"
)

const (
	vsockDevice = "/dev/vsock"
	// vsockAgentPort is where the agent listens; the host's half is microvm/vsock.ts.
	vsockAgentPort = 1024
	vsockFamily    = 40
	vsockAnyCid    = 0xffffffff
)

// vsockAddress is the kernel's sockaddr_vm.
type vsockAddress struct {
	family uint16
	_      uint16
	port   uint32
	cid    uint32
	_      [4]byte
}

// vsockStream is the stream to the host of a machine that has no serial port: the agent listens, and one host after the
// other connects. After a restore the connection is reset and the listener is still there.
type vsockStream struct {
	listener int
	// mu is held while something is written, so that a closed descriptor's number never gets a stranger's bytes.
	mu   sync.Mutex
	host blockingFile // -1 while no host is there
}

func listenVsock() (*vsockStream, error) {
	fd, err := syscall.Socket(vsockFamily, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	address := vsockAddress{family: vsockFamily, port: vsockAgentPort, cid: vsockAnyCid}
	_, _, errno := syscall.Syscall(syscall.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&address)), unsafe.Sizeof(address))
	if errno != 0 {
		return nil, errno
	}
	return &vsockStream{listener: fd, host: -1}, syscall.Listen(fd, 4)
}

// Read answers the current host's bytes; at its end it waits for the next. Only one goroutine reads.
func (v *vsockStream) Read(into []byte) (int, error) {
	for {
		v.mu.Lock()
		host := v.host
		v.mu.Unlock()
		if host < 0 {
			if err := v.accept(); err != nil {
				return 0, err
			}
			continue
		}
		if n, err := host.Read(into); err == nil {
			return n, nil
		}
		// A writer that waits for the host's room is let go first.
		_ = syscall.Shutdown(int(host), syscall.SHUT_RDWR)
		v.mu.Lock()
		_ = syscall.Close(int(host))
		v.host = -1
		v.mu.Unlock()
	}
}

func (v *vsockStream) accept() error {
	for {
		fd, _, errno := syscall.Syscall6(syscall.SYS_ACCEPT4, uintptr(v.listener), 0, 0, syscall.SOCK_CLOEXEC, 0, 0)
		if errno == syscall.EINTR || errno == syscall.ECONNABORTED {
			continue
		}
		if errno != 0 {
			return errno
		}
		v.mu.Lock()
		v.host = blockingFile(fd)
		v.mu.Unlock()
		return nil
	}
}

func (v *vsockStream) Write(from []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.host < 0 {
		return 0, io.ErrClosedPipe
	}
	return v.host.Write(from)
}
