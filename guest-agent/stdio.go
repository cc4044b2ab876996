package main

import (
	"io"
	"syscall"
	"time"
)

// openStream answers the host's byte stream: standard input and output, or the serial port or vsock of a virtual machine
// that "--init" brings up first; a port opens once only. Programs never inherit it.
func (a *agent) openStream(arguments []string) (io.Reader, io.Writer, error) {
	boot := map[string]func() (string, error){"--init": a.bootMachine, "--probe": wakeMachine}
	if len(arguments) == 1 && boot[arguments[0]] != nil {
		port, err := boot[arguments[0]]()
		if err != nil {
			return nil, nil, err
		}
		if port == vsockDevice {
			stream, err := listenVsock()
			return stream, stream, err
		}
		fd, err := syscall.Open(port, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
		if err != nil {
			return nil, nil, err
		}
		return patientPort{blockingFile(fd)}, blockingFile(fd), nil
	}
	in, err := moveAway(0)
	if err != nil {
		return nil, nil, err
	}
	out, err := moveAway(1)
	return in, out, err
}

// moveAway takes a standard descriptor for the agent alone and leaves /dev/null in its place.
func moveAway(standard int) (blockingFile, error) {
	moved, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(standard), syscall.F_DUPFD_CLOEXEC, 100)
	if errno != 0 {
		return 0, errno
	}
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	_ = syscall.SetNonblock(int(moved), false)
	return blockingFile(moved), syscall.Dup3(null, standard, 0)
}

// blockingFile reads and writes a descriptor with plain system calls: one stream needs no poller.
type blockingFile int

func (f blockingFile) Read(into []byte) (int, error) {
	for {
		n, err := syscall.Read(int(f), into)
		if err == syscall.EINTR {
			continue
		}
		if n == 0 && err == nil {
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		return n, nil
	}
}

func (f blockingFile) Write(from []byte) (int, error) {
	written := 0
	for written < len(from) {
		n, err := syscall.Write(int(f), from[written:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// portRetry is how often a port is asked again while no host has it open.
const portRetry = 20 * time.Millisecond

// patientPort reads a virtio-serial port, which says "end" as long as no host is there; one will come again.
type patientPort struct{ blockingFile }

func (p patientPort) Read(into []byte) (int, error) {
	for {
		n, err := p.blockingFile.Read(into)
		if err != io.EOF {
			return n, err
		}
		time.Sleep(portRetry)
	}
}
