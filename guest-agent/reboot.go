package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
)

// keptBinding is where an agent whose machine is to end leaves what it was told at claim: on the sandbox's own disk, root's
// alone, and gone as soon as the agent that boots from that disk has read it.
const keptBinding = "/etc/casemate/kept-binding.json"

type keptParams struct {
	Env      map[string]string `json:"env"`
	User     string            `json:"user"`
	Cwd      string            `json:"cwd"`
	Cpus     int               `json:"cpus"`
	Hostname string            `json:"hostname"`
}

// keep writes it down.
func (b *binding) keep() error {
	b.mu.Lock()
	kept := keptParams{Env: b.env, User: b.user, Cwd: b.cwd, Cpus: b.cpus}
	b.mu.Unlock()
	kept.Hostname, _ = os.Hostname()
	text, err := json.Marshal(kept)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(keptBinding), 0o755)
	}
	if err == nil {
		_ = os.Remove(keptBinding) // also where it is a link to something else
		err = os.WriteFile(keptBinding, text, 0o600)
	}
	if err != nil {
		return fail("internal", "what was bound cannot be kept: "+err.Error())
	}
	return nil
}

// recall reads it back, once. A sandbox's root may have changed it, which tells its own programs something else.
func (a *agent) recall() {
	file, err := os.OpenFile(keptBinding, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer file.Close()
	_ = os.Remove(keptBinding)
	text := make([]byte, 8*boundEnvironmentBytesMax) // JSON writes some letters as six
	read, _ := file.Read(text)
	var kept keptParams
	if json.Unmarshal(text[:read], &kept) != nil || checkEnvironment(kept.Env) != nil {
		return
	}
	_ = a.bound.merge(bindParams{Env: kept.Env, User: kept.User, Cwd: kept.Cwd, Cpus: float64(kept.Cpus)})
	if len(kept.Env) > 0 {
		a.tellEnvironment() // what told it lay in memory
	}
	if soundID(kept.Hostname) {
		_ = setHostname(kept.Hostname)
	}
}
