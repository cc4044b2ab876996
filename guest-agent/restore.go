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

// setMachineID writes over the one that is there, without giving its block back first.
func setMachineID(id string) {
	file, err := os.OpenFile("/etc/machine-id", os.O_WRONLY|os.O_CREATE, 0o444)
	if err != nil {
		return
	}
	defer file.Close()
	if written, err := file.WriteString(id + "\n"); err == nil {
		_ = file.Truncate(int64(written))
	}
}

const (
	kernelBootID = "/proc/sys/kernel/random/boot_id"
	ownBootID    = "/run/casemate-boot-id"
)

// setKernelBootID gives programs another boot id than the one that all clones of a booted kernel have: the kernel makes it
// once, so a file lies over it. Nothing happens where the kernel has none, as gVisor's.
func setKernelBootID() {
	shown, err := os.ReadFile(kernelBootID)
	if err != nil {
		return
	}
	_ = os.MkdirAll(filepath.Dir(ownBootID), 0o755)
	id := newUUID() + "\n"
	if err := os.WriteFile(ownBootID, []byte(id), 0o444); err != nil {
		return
	}
	// Where it lies over the kernel's already, in a copy, the new words are seen at once.
	if now, err := os.ReadFile(kernelBootID); err == nil && string(now) == string(shown) {
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

// killAll ends every program but the agent itself, for a pause that keeps files only. When it answers, none is listed, and
// all files are on the disk.
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
	if params.Reboots {
		if err := a.bound.keep(); err != nil {
			return nil, err
		}
	}
	syscall.Sync()
	return nil, nil
}
