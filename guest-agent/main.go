// The guest agent: the first process inside every sandbox. It runs programs, moves files and forwards ports for the
// host, over one byte stream (schema/guest-protocol.md).
package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
)

func main() {
	if filepath.Base(os.Args[0]) == "sudo" {
		os.Exit(sudoMain(os.Args[1:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "layer" {
		os.Exit(layerMain(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "volume" {
		os.Exit(volumeMain(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "start" {
		os.Exit(startMain())
	}
	// Small before fast: there is one of these in every sandbox.
	debug.SetGCPercent(25)
	if runtime.NumCPU() > 2 {
		runtime.GOMAXPROCS(2)
	}
	syscall.Umask(0o022)
	a := newAgent()
	in, out, err := a.openStream(os.Args[1:])
	if err != nil {
		os.Stderr.WriteString("guest-agent: " + err.Error() + "\n")
		os.Exit(1)
	}
	a.openSudo()
	_ = a.serve(in, out)
	os.Exit(0)
}
