// The guest agent: the first process inside every sandbox. It runs programs, moves files and forwards ports for the
// host, over one byte stream (schema/guest-protocol.md).
package main

import (
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
)

func main() {
	// Small before fast: there is one of these in every sandbox.
	debug.SetGCPercent(50)
	if runtime.NumCPU() > 2 {
		runtime.GOMAXPROCS(2)
	}
	syscall.Umask(0o022)
	in, out, err := openStream(os.Args[1:])
	if err != nil {
		os.Stderr.WriteString("guest-agent: " + err.Error() + "\n")
		os.Exit(1)
	}
	_ = newAgent().serve(in, out)
	os.Exit(0)
}

// openStream answers the host's byte stream: standard input and output, or the device of "--port PATH", which opens
// once only. Programs never inherit it.
func openStream(arguments []string) (io.Reader, io.Writer, error) {
	if len(arguments) == 2 && arguments[0] == "--port" {
		fd, err := syscall.Open(arguments[1], syscall.O_RDWR|syscall.O_CLOEXEC, 0)
		if err != nil {
			return nil, nil, err
		}
		port := blockingFile(fd)
		return port, port, nil
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
		if n < 0 {
			n = 0
		}
		return n, err
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
