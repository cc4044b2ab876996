package main

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"sync"
)

const (
	boundEnvironmentBytesMax = 256 * 1024
	entropyBytesMax          = 4096
)

// binding is what was attached to the sandbox at claim.
type binding struct {
	mu   sync.Mutex
	env  map[string]string
	user string
	cwd  string
	cpus int
}

type bindParams struct {
	Env           map[string]string `json:"env"`
	User          string            `json:"user"`
	Hostname      string            `json:"hostname"`
	Cwd           string            `json:"cwd"`
	ClockUnixMs   int64             `json:"clockUnixMs"`
	EntropyBase64 string            `json:"entropyBase64"`
	Cpus          float64           `json:"cpus"`
	// Restored says that memory and files are those of a snapshot: what has to be another one in each copy is renewed.
	Restored bool `json:"restored"`
	// MachineID makes it another machine than the one that the snapshot was taken of.
	MachineID string `json:"machineId"`
}

func (b *binding) userName() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.user
}

// reset binds nothing any more.
func (b *binding) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.env, b.user, b.cwd, b.cpus = nil, "", "", 0
}

// directory is where programs start that name none; empty for their user's home.
func (b *binding) directory() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cwd
}

// snapshot answers the environment, which must not be changed, and the processors of later programs.
func (b *binding) snapshot() (map[string]string, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.env, b.cpus
}

// merge replaces the environment by a bigger one, because programs that start now read the old one.
func (b *binding) merge(params bindParams) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	merged, size := map[string]string{}, 0
	for _, layer := range []map[string]string{b.env, params.Env} {
		for name, value := range layer {
			merged[name] = value
		}
	}
	for name, value := range merged {
		size += len(name) + len(value) + 2
	}
	if size > boundEnvironmentBytesMax {
		return fail("invalid_request", "the environment is too big")
	}
	b.env = merged
	if params.User != "" {
		b.user = params.User
	}
	if params.Cwd != "" {
		b.cwd = params.Cwd
	}
	if params.Cpus > 0 {
		b.cpus = int(math.Ceil(params.Cpus))
	}
	return nil
}

func (a *agent) bind(_ *stream, raw json.RawMessage) (interface{}, error) {
	var params bindParams
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	entropy, err := base64.StdEncoding.DecodeString(params.EntropyBase64)
	if err != nil || len(entropy) > entropyBytesMax {
		return nil, fail("invalid_request", "entropyBase64 does not hold at most 4096 bytes")
	}
	if params.Cpus < 0 || params.Cpus > 1024 {
		return nil, fail("invalid_request", "cpus is 0 to 1024")
	}
	if params.MachineID != "" && !soundMachineID(params.MachineID) {
		return nil, fail("invalid_request", "machineId has 32 hex digits")
	}
	if params.Hostname != "" && !soundID(params.Hostname) {
		return nil, fail("invalid_request", "hostname is 1 to 64 letters, digits, '-' or '.'")
	}
	if params.Cwd != "" && (!filepath.IsAbs(params.Cwd) || strings.IndexByte(params.Cwd, 0) >= 0) {
		return nil, fail("invalid_request", "cwd is an absolute path")
	}
	if err := checkEnvironment(params.Env); err != nil {
		return nil, err
	}
	if params.User != "" {
		if _, err := a.users.find(params.User); err != nil {
			return nil, err
		}
	}
	if err := a.bound.merge(params); err != nil {
		return nil, err
	}
	if len(params.Env) > 0 {
		a.tellEnvironment()
	}
	answer := map[string]string{}
	if params.ClockUnixMs != 0 {
		answer["clock"] = setClock(params.ClockUnixMs)
	}
	if len(entropy) > 0 {
		answer["entropy"] = addEntropy(entropy)
	}
	if params.Hostname != "" {
		err = setHostname(params.Hostname)
	}
	if params.MachineID != "" {
		setMachineID(params.MachineID)
		setKernelBootID()
	}
	if params.Restored {
		a.renew()
		answer["hooks"] = a.runRestoreHooks()
	}
	return answer, err
}
