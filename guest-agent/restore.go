package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// restoreHooks are programs of the template or its user, run as root before anything else of a user runs in a copy:
	// the place to seed generators again that live in programs' memory.
	restoreHooks   = "/etc/casemate/on-restore.d/*"
	restoreHookMax = 5 * time.Second
	hooksMax       = 64
	killedMax      = 5 * time.Second
)

func soundMachineID(id string) bool {
	_, err := hex.DecodeString(id)
	return err == nil && len(id) == 32
}

func setMachineID(id string) {
	_ = overwrite("/etc/machine-id", id+"\n", 0o444)
}

// overwrite writes over what is there, without giving its block back first. Plain system calls: Go's files make more of
// them, and this is done in every clone before anything else.
func overwrite(path, text string, mode uint32) error {
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_CLOEXEC|syscall.O_NONBLOCK, mode)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	written, err := syscall.Pwrite(fd, []byte(text), 0)
	if err != nil {
		return err
	}
	var stat syscall.Stat_t
	if err := syscall.Fstat(fd, &stat); err != nil || stat.Size == int64(written) {
		return err
	}
	return syscall.Ftruncate(fd, int64(written))
}

const (
	kernelBootID = "/proc/sys/kernel/random/boot_id"
	// ownBootID lies in memory in a virtual machine: enterRoot.
	ownBootID = privateFolder + "/boot-id"
)

// setKernelBootID gives programs another boot id than the one that all clones of a booted kernel have: the kernel makes it
// once, so a file lies over it. Nothing happens where the kernel has none, as gVisor's.
func setKernelBootID() {
	var shown, own syscall.Stat_t
	if syscall.Stat(kernelBootID, &shown) != nil {
		return
	}
	id := newUUID() + "\n"
	if overwrite(ownBootID, id, 0o444) != nil {
		_ = os.MkdirAll(privateFolder, 0o755)
		if overwrite(ownBootID, id, 0o444) != nil {
			return
		}
	}
	// Where it lies over the kernel's already, in a copy, the new words are seen at once.
	if syscall.Stat(ownBootID, &own) == nil && (own.Dev != shown.Dev || own.Ino != shown.Ino) {
		_ = syscall.Mount(ownBootID, kernelBootID, "", syscall.MS_BIND, "")
	}
}

// newUUID is a random one, of version 4 (RFC 9562 §5.4).
func newUUID() string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

func newBootID() string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

// renew gives the agent another boot id: a copy is not the one that it was copied from.
func (a *agent) renew() {
	a.identity.Lock()
	a.bootID = newBootID()
	a.identity.Unlock()
}

func (a *agent) boot() string {
	a.identity.Lock()
	defer a.identity.Unlock()
	return a.bootID
}

// runRestoreHooks answers how that ended; a hook that hangs is killed.
func (a *agent) runRestoreHooks() string {
	hooks, _ := filepath.Glob(restoreHooks)
	if len(hooks) == 0 {
		return "none"
	}
	outcome := "ran"
	for i, hook := range hooks {
		if i == hooksMax || !a.runHook(hook) {
			outcome = "failed"
		}
	}
	return outcome
}

func (a *agent) runHook(path string) bool {
	attributes := &syscall.ProcAttr{
		Dir: "/", Env: []string{"PATH=" + defaultPath}, Sys: &syscall.SysProcAttr{Setsid: true},
	}
	pid, ended, err := a.reaper.start(func() (int, error) { return syscall.ForkExec(path, []string{path}, attributes) })
	if err != nil {
		return false
	}
	late := time.AfterFunc(restoreHookMax, func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
	defer late.Stop()
	status := <-ended
	return status.ExitStatus() == 0
}

// forgetShared empties /dev/shm, which is memory by another name.
func forgetShared() {
	entries, _ := os.ReadDir("/dev/shm")
	for _, entry := range entries {
		_ = os.RemoveAll(filepath.Join("/dev/shm", entry.Name()))
	}
}

// killAll ends every program but the agent itself, for a pause that keeps files only. When it answers, none is listed, and
// all files are on the disk; memory that programs share by name is given back.
func (a *agent) killAll(_ *stream, raw json.RawMessage) (interface{}, error) {
	var params struct {
		// Reboots says that the agent ends as well, and another one boots from the disk.
		Reboots bool `json:"reboots"`
	}
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	_ = syscall.Kill(-1, syscall.SIGKILL)
	late := time.NewTimer(killedMax)
	defer late.Stop()
	for _, p := range a.execs.all() {
		select {
		case <-p.done:
		case <-late.C:
			return nil, fail("timeout", "a program does not end, though it was killed")
		}
	}
	forgetShared()
	if params.Reboots {
		if err := a.bound.keep(); err != nil {
			return nil, err
		}
	}
	syscall.Sync()
	return nil, nil
}
