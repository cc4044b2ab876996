// Becomes runsc at the place where a sandbox belongs: its network namespace, its control groups, its streams. One small
// program instead of nsenter, unshare and a shell, for each of them costs a sandbox's start another millisecond.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// Namespaces and the filter of system calls belong to a thread: it is this one that becomes runsc.
func init() { runtime.LockOSThread() }

const usage = "usage: gvisor-launcher NETWORK-NAMESPACE STDIN STDOUT GROUP-FILES(,) PROGRAM ARGUMENT…"

func main() {
	if len(os.Args) < 6 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	// Kept apart, for the sandbox gets no way to what the caller reads here.
	complaints, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, 2, syscall.F_DUPFD_CLOEXEC, 3)
	failure := become(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5:])
	if errno == 0 {
		_, _ = syscall.Write(int(complaints), []byte("gvisor-launcher: "+failure.Error()+"\n"))
	}
	os.Exit(125)
}

// become answers only where it fails.
func become(network, stdin, stdout, groups string, argv []string) error {
	// The control groups first: all memory that runsc takes is the sandbox's.
	for _, file := range strings.Split(groups, ",") {
		if file == "" {
			continue
		}
		if err := os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			return err
		}
	}
	if err := enterNetwork(network); err != nil {
		return fmt.Errorf("network namespace %s: %w", network, err)
	}
	if err := hideNetworkDefaults(); err != nil {
		return fmt.Errorf("mounts: %w", err)
	}
	if err := leaveProcessorQuestionsAlone(); err != nil {
		return fmt.Errorf("system call filter: %w", err)
	}
	if err := standardStreams(stdin, stdout); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", argv[0], syscall.Exec(argv[0], argv, os.Environ()))
}

func enterNetwork(path string) error {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if _, _, errno := syscall.RawSyscall(setnsNumber, uintptr(fd), syscall.CLONE_NEWNET, 0); errno != 0 {
		return errno
	}
	return nil
}

// hideNetworkDefaults hides /proc/sys/net/core, by whose presence runsc believes that it stands in the root network
// namespace: kernels from 6.x show it in all of them.
func hideNetworkDefaults() error {
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		return err
	}
	if err := syscall.Mount("", "/", "", syscall.MS_SLAVE|syscall.MS_REC, ""); err != nil {
		return err
	}
	const defaults = "/proc/sys/net/core"
	if _, err := os.Stat(defaults); err != nil {
		return nil
	}
	return syscall.Mount("tmpfs", defaults, "tmpfs", 0, "")
}

// standardStreams opens both FIFOs for reading and writing, so that the agent never sees the end of its stream when the
// server goes away. The sandbox's stderr leads nowhere: whatever would be written there is hostile.
func standardStreams(stdin, stdout string) error {
	for number, path := range []string{stdin, stdout, os.DevNull} {
		fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := syscall.Dup3(fd, number, 0); err != nil {
			return err
		}
	}
	return nil
}
