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
func (e *ends) openPty(l launch) error {
	controller, err := syscall.Open("/dev/ptmx", syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	e.pty = pollable(controller)
	e.stdin, e.outputs = e.pty, []*os.File{e.pty}
	var number uint32
	var unlock int32
	if err := ioctl(controller, ioctlPtyUnlock, unsafe.Pointer(&unlock)); err != nil {
		return err
	}
	if err := ioctl(controller, ioctlPtyNumber, unsafe.Pointer(&number)); err != nil {
		return err
	}
	terminal, err := syscall.Open("/dev/pts/"+itoa(int(number)), syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	for number := 0; number <= 2; number++ {
		e.child[number] = uintptr(terminal)
	}
	e.opened = append(e.opened, terminal)
	_ = syscall.Fchown(terminal, l.user.uid, -1)
	return setSize(controller, l.rows, l.cols)
}

func setSize(fd int, rows, cols uint16) error {
	size := [4]uint16{rows, cols, 0, 0}
	return ioctl(fd, ioctlSetSize, unsafe.Pointer(&size[0]))
}

// resize tells the terminal's programs its new size (SIGWINCH comes from the kernel).
func (p *process) resize(rows, cols uint16) error {
	control, err := p.pty.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := control.Control(func(fd uintptr) { result = setSize(int(fd), rows, cols) }); err != nil {
		return err
	}
	return result
}

func ioctl(fd int, request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}
