package main

import (
	"os"
	"syscall"
	"unsafe"
)

const (
	ioctlPtyNumber = 0x80045430
	ioctlPtyUnlock = 0x40045431
	ioctlSetSize   = 0x5414
)

// openPty makes a terminal: the agent reads and writes its controller, the program has the other end as 0, 1 and 2.
func (p *process) openPty(l launch) (sources []*os.File, child []int, err error) {
	controller, err := syscall.Open("/dev/ptmx", syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	var number uint32
	var unlock int32
	if err = ioctl(controller, ioctlPtyUnlock, unsafe.Pointer(&unlock)); err == nil {
		err = ioctl(controller, ioctlPtyNumber, unsafe.Pointer(&number))
	}
	if err != nil {
		syscall.Close(controller)
		return nil, nil, err
	}
	name := "/dev/pts/" + itoa(int(number))
	terminal, err := syscall.Open(name, syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NOCTTY, 0)
	if err != nil {
		syscall.Close(controller)
		return nil, nil, err
	}
	_ = os.Chown(name, l.user.uid, l.user.gid)
	_ = setSize(controller, l.rows, l.cols)
	file := pollable(controller, "pty")
	p.pty, p.stdin = file, file
	return []*os.File{file}, []int{terminal}, nil
}

func setSize(fd int, rows, cols uint16) error {
	size := [4]uint16{rows, cols, 0, 0}
	return ioctl(fd, ioctlSetSize, unsafe.Pointer(&size[0]))
}

func ioctl(fd int, request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}
