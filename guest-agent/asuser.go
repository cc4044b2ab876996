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
		err := become(user)
		if err == nil {
			err = guardedWork(work)
		} else {
			err = fail("file_denied", "cannot act as "+user.name+": "+err.Error())
		}
		if becomeRoot() == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// guardedWork keeps a defect in work from ending the sandbox: the caller's own guard is on another goroutine.
func guardedWork(work func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = fail("internal", "the guest agent failed in this call")
		}
	}()
	return work()
}

const keepID = ^uintptr(0)

// become sets effective ids only, so that they can be given back; the rights that root has go with them.
func become(user account) error {
	groups := uintptr(unsafe.Pointer(&user.groups[0]))
	err := rawCall(syscall.SYS_SETGROUPS, uintptr(len(user.groups)), groups, 0)
	runtime.KeepAlive(user)
	if err != nil {
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
		name = itoa(os.Getuid())
	}
	return a.users.find(name)
}
