package main

import (
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

const (
	// removeDepthMax: a folder deeper than this is moved up first, so that no tree needs more open files.
	removeDepthMax = 64
	// removeRoundsMax bounds how often a folder is looked at again in which somebody goes on making files.
	removeRoundsMax = 10_000
)

// removeTree removes what lies under a name, however deep it is. going says whether anybody still wants it.
func removeTree(at *os.File, name string, going func() bool) error {
	err := unlinkBelow(at, name, 0)
	if err != syscall.EISDIR && err != syscall.EPERM {
		return err
	}
	top, err := below(at, name, entered)
	if err != nil {
		return err
	}
	defer top.Close()
	removal := removing{top: top, going: going}
	for round := 0; ; round++ {
		if err := removal.empty(top, 1); err != nil {
			return err
		}
		err := unlinkBelow(at, name, atRemoveDir)
		if err != syscall.ENOTEMPTY || round >= removeRoundsMax {
			return err
		}
	}
}

type removing struct {
	top   *os.File
	going func() bool
}

var liftedNumber int64

func (r removing) empty(folder *os.File, depth int) error {
	for {
		names, err := folder.Readdirnames(namesAtOnce)
		for _, name := range names {
			if !r.going() {
				return errGone
			}
			if err := r.one(folder, name, depth); err != nil && err != syscall.ENOENT {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	// Names that were not seen because others went away meanwhile are seen the next time.
	_, err := folder.Seek(0, io.SeekStart)
	return err
}

func (r removing) one(folder *os.File, name string, depth int) error {
	err := unlinkBelow(folder, name, 0)
	if err != syscall.EISDIR && err != syscall.EPERM {
		return err
	}
	if err := unlinkBelow(folder, name, atRemoveDir); err != syscall.ENOTEMPTY {
		return err
	}
	if depth >= removeDepthMax {
		lifted := ".casemate-" + strconv.FormatInt(atomic.AddInt64(&liftedNumber, 1), 36)
		err := syscall.Renameat(int(folder.Fd()), name, int(r.top.Fd()), lifted)
		if isOneOf(err, syscall.ENOTEMPTY, syscall.EEXIST, syscall.ENOTDIR) {
			return nil // the name is taken: the next round has another
		}
		return err
	}
	inner, err := below(folder, name, entered)
	if err != nil {
		return err
	}
	defer inner.Close()
	for round := 0; ; round++ {
		if err := r.empty(inner, depth+1); err != nil {
			return err
		}
		err := unlinkBelow(folder, name, atRemoveDir)
		if err != syscall.ENOTEMPTY || round >= removeRoundsMax {
			return err
		}
	}
}
