package main

import (
	"os"
	"syscall"
)

// ends are both ends of a program's streams: the agent's files, and the child's descriptors for 0, 1 and 2.
type ends struct {
	stdin   *os.File
	pty     *os.File
	outputs []*os.File
	child   [3]uintptr
	opened  []int // the child's, to be closed once it has them
}

func openEnds(l launch) (*ends, error) {
	e := &ends{}
	open := e.openPipes
	if l.pty {
		open = e.openPty
	}
	if err := open(l); err != nil {
		e.closeChild()
		e.closeAgent()
		return nil, err
	}
	return e, nil
}

func (e *ends) openPipes(l launch) error {
	if l.stdin {
		write, err := e.pipe(0, true)
		if err != nil {
			return err
		}
		e.stdin = write
	} else {
		null, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		e.give(0, null)
	}
	for number := 1; number <= 2; number++ {
		read, err := e.pipe(number, false)
		if err != nil {
			return err
		}
		e.outputs = append(e.outputs, read)
	}
	return nil
}

// pipe makes the child's descriptor of that number and answers the agent's end.
func (e *ends) pipe(number int, childReads bool) (*os.File, error) {
	var both [2]int
	if err := syscall.Pipe2(both[:], syscall.O_CLOEXEC); err != nil {
		return nil, err
	}
	childs, ours := both[1], both[0]
	if childReads {
		childs, ours = ours, childs
	}
	e.give(number, childs)
	return pollable(ours), nil
}

func (e *ends) give(number, fd int) {
	e.opened = append(e.opened, fd)
	e.child[number] = uintptr(fd)
}

// pollable wraps the agent's own end; the other end stays blocking, as programs expect.
func pollable(fd int) *os.File {
	_ = syscall.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), "program")
}

func (e *ends) closeChild() {
	for _, fd := range e.opened {
		_ = syscall.Close(fd)
	}
	e.opened = nil
}

func (e *ends) closeAgent() {
	for _, file := range append(e.outputs, e.stdin) {
		if file != nil {
			_ = file.Close()
		}
	}
}
