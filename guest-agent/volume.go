package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// volumesFolder is where the host makes volumes appear, each under the number of its slot.
	volumesFolder = "/.casemate/volumes"
	volumeSlots   = 64
)

type volumeMountParams struct {
	Slot int    `json:"slot"`
	Path string `json:"path"`
	// Stream: no folder appears; the host serves its files over this connection.
	Stream   bool `json:"stream"`
	ReadOnly bool `json:"readOnly"`
}

// volumeMount puts a volume that the host has attached where it is wanted.
func (a *agent) volumeMount(_ *stream, raw json.RawMessage) (interface{}, error) {
	var params volumeMountParams
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	if params.Slot < 0 || params.Slot >= volumeSlots {
		return nil, fail("invalid_request", "there is no such slot")
	}
	if !mayMountAt(params.Path) {
		return nil, fail("invalid_request", "a volume cannot be mounted at "+params.Path)
	}
	if params.Stream {
		return nil, a.mountStream(params)
	}
	source := filepath.Join(volumesFolder, itoa(params.Slot))
	if _, err := os.Stat(source); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(params.Path, 0o755); err != nil {
		return nil, err
	}
	return nil, syscall.Mount(source, params.Path, "", syscall.MS_BIND, "")
}

// mayMountAt refuses places that the sandbox itself lives of.
func mayMountAt(path string) bool {
	if path == "/" || !filepath.IsAbs(path) || filepath.Clean(path) != path || len(path) > pathBytesMax {
		return false
	}
	for _, taken := range []string{"/proc", "/sys", "/dev", "/.casemate", volumesFolder} {
		if path == taken || strings.HasPrefix(path, taken+"/") {
			return false
		}
	}
	return true
}
