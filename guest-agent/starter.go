package main

import (
	"encoding/json"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

// Descriptors of the process that becomes a program, after the program's own three.
const (
	startingFd = 3
	failureFd  = 4
)

// starting is what that process is told to become.
type starting struct {
	Program string
	Argv    []string
	Env     []string
	Dir     string
	User    *syscall.Credential
}

// spawn starts a child. A fork of this process stands still with it until the child runs its program; where the child may
// have to wait for a file of a volume until then (its folder, its program) and this very process carries the volume's
// requests, both would wait for each other. There a process of its own is started first, and becomes the program.
func (a *agent) spawn(program string, argv []string, attributes *syscall.ProcAttr) (int, <-chan syscall.WaitStatus, error) {
	if atomic.LoadInt32(&streamMounts) > 0 {
		return a.spawnApart(program, argv, attributes)
	}
	return a.reaper.start(func() (int, error) { return syscall.ForkExec(program, argv, attributes) })
}

func (a *agent) spawnApart(program string, argv []string, attributes *syscall.ProcAttr) (int, <-chan syscall.WaitStatus, error) {
	told, tell, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer tell.Close()
	failure, fails, err := os.Pipe()
	if err != nil {
		_ = told.Close()
		return 0, nil, err
	}
	defer failure.Close()
	system := *attributes.Sys
	user := system.Credential
	system.Credential = nil
	first := &syscall.ProcAttr{Dir: "/", Files: append(append([]uintptr{}, attributes.Files...), told.Fd(), fails.Fd()), Sys: &system}
	pid, ended, err := a.reaper.start(func() (int, error) {
		return syscall.ForkExec("/proc/self/exe", []string{"guest-agent", "start"}, first)
	})
	_ = told.Close()
	_ = fails.Close()
	if err != nil {
		return 0, nil, err
	}
	// It may end without having read all: then its failure says why.
	_ = json.NewEncoder(tell).Encode(starting{Program: program, Argv: argv, Env: attributes.Env, Dir: attributes.Dir, User: user})
	_ = tell.Close()
	words, err := io.ReadAll(io.LimitReader(failure, 16))
	if err == nil && len(words) == 0 {
		return pid, ended, nil
	}
	<-ended
	if number, err := strconv.Atoi(string(words)); err == nil {
		return 0, nil, syscall.Errno(number)
	}
	return 0, nil, fail("exec_failed", "what was to become the program has ended")
}

// startMain becomes the program that it is told of. It answers only where it cannot: with the number of the error.
func startMain() int {
	syscall.CloseOnExec(startingFd)
	syscall.CloseOnExec(failureFd)
	err := becomeProgram(os.NewFile(startingFd, "starting"))
	number := syscall.EINVAL
	if errno, ok := err.(syscall.Errno); ok {
		number = errno
	}
	_, _ = syscall.Write(failureFd, []byte(strconv.Itoa(int(number))))
	return 127
}

func becomeProgram(from io.Reader) error {
	var s starting
	if err := json.NewDecoder(from).Decode(&s); err != nil {
		return err
	}
	if s.User != nil {
		groups := make([]int, 0, len(s.User.Groups))
		for _, group := range s.User.Groups {
			groups = append(groups, int(group))
		}
		if err := syscall.Setgroups(groups); err != nil {
			return err
		}
		if err := syscall.Setgid(int(s.User.Gid)); err != nil {
			return err
		}
		if err := syscall.Setuid(int(s.User.Uid)); err != nil {
			return err
		}
	}
	if err := syscall.Chdir(s.Dir); err != nil {
		return err
	}
	return syscall.Exec(s.Program, s.Argv, s.Env)
}
