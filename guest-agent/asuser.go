package main

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// asUser runs work with the effective rights of a user, on this thread only: the kernel then decides what it may do.
func (a *agent) asUser(name string, work func() error) error {
	user, err := a.userOr(name)
	if err != nil {
		return err
	}
	if os.Geteuid() == user.uid {
		return work()
	}
	done := make(chan error, 1)
	go func() {
		// A thread whose rights could not be given back must not serve anybody else: it stays locked and dies.
		runtime.LockOSThread()
		if err := become(user); err != nil {
			done <- fail("file_denied", "cannot act as "+user.name+": "+err.Error())
			return
		}
		result := work()
		if becomeRoot() == nil {
			runtime.UnlockOSThread()
		}
		done <- result
	}()
	return <-done
}

const keepID = ^uintptr(0)

func become(user account) error {
	if err := rawCall(syscall.SYS_SETGROUPS, uintptr(len(user.groups)), uintptr(unsafe.Pointer(&user.groups[0])), 0); err != nil {
		return err
	}
	if err := rawCall(syscall.SYS_SETRESGID, keepID, uintptr(user.gid), keepID); err != nil {
		return err
	}
	return rawCall(syscall.SYS_SETRESUID, keepID, uintptr(user.uid), keepID)
}

func becomeRoot() error {
	if err := rawCall(syscall.SYS_SETRESUID, keepID, 0, keepID); err != nil {
		return err
	}
	if err := rawCall(syscall.SYS_SETRESGID, keepID, 0, keepID); err != nil {
		return err
	}
	return rawCall(syscall.SYS_SETGROUPS, 0, 0, 0)
}

// rawCall goes around the syscall package, which would change all threads.
func rawCall(number, first, second, third uintptr) error {
	if _, _, errno := syscall.RawSyscall(number, first, second, third); errno != 0 {
		return errno
	}
	return nil
}

// userOr finds the named user, or the one that was bound at claim, or the agent's own.
func (a *agent) userOr(name string) (account, error) {
	if name == "" {
		name = a.bound.userName()
	}
	if name == "" {
		return a.users.find(itoa(os.Geteuid()))
	}
	return a.users.find(name)
}
