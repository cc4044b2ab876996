package main

import (
	"encoding/binary"
	"syscall"
)

// The messages of Linux's FUSE (include/uapi/linux/fuse.h, version 7.31 and later), as far as volumes need them.
const (
	fuseMajor = 7
	fuseMinor = 31

	fuseInHeaderBytes  = 40
	fuseOutHeaderBytes = 16
	// fuseDataBytesMax is what one read or write moves.
	fuseDataBytesMax    = 128 << 10
	fuseMessageBytesMax = fuseDataBytesMax + 4096
	fuseRootID          = 1
)

const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetattr     = 3
	fuseSetattr     = 4
	fuseReadlink    = 5
	fuseSymlink     = 6
	fuseMknod       = 8
	fuseMkdir       = 9
	fuseUnlink      = 10
	fuseRmdir       = 11
	fuseRename      = 12
	fuseLink        = 13
	fuseOpen        = 14
	fuseRead        = 15
	fuseWrite       = 16
	fuseStatfs      = 17
	fuseRelease     = 18
	fuseFsync       = 20
	fuseFlush       = 25
	fuseInit        = 26
	fuseOpendir     = 27
	fuseReaddir     = 28
	fuseReleasedir  = 29
	fuseFsyncdir    = 30
	fuseCreate      = 35
	fuseInterrupt   = 36
	fuseDestroy     = 38
	fuseBatchForget = 42
	fuseFallocate   = 43
	fuseRename2     = 45
	fuseLseek       = 46
)

// What the two sides agree on: big reads and writes, and a guest that forgets what it cached of a file which changed.
const (
	fuseAsyncRead      = 1 << 0
	fuseAtomicTruncate = 1 << 3
	fuseBigWrites      = 1 << 5
	fuseAutoInvalidate = 1 << 12
	fuseParallelDirs   = 1 << 18
	fuseMaxPages       = 1 << 22
	fuseWanted         = fuseAsyncRead | fuseAtomicTruncate | fuseBigWrites | fuseAutoInvalidate | fuseParallelDirs | fuseMaxPages
)

// fuseRequest is one message of a guest's kernel, or of a guest that pretends to be one.
type fuseRequest struct {
	opcode   uint32
	unique   uint64
	node     uint64
	uid, gid int
	body     []byte
	short    bool // something was read that is not there
}

func (r *fuseRequest) u32(offset int) uint32 {
	if len(r.body) < offset+4 {
		r.short = true
		return 0
	}
	return binary.LittleEndian.Uint32(r.body[offset:])
}

func (r *fuseRequest) u64(offset int) uint64 {
	if len(r.body) < offset+8 {
		r.short = true
		return 0
	}
	return binary.LittleEndian.Uint64(r.body[offset:])
}

// names answers count names, each with a null byte behind it, from offset on.
func (r *fuseRequest) names(offset, count int) ([]string, error) {
	var found []string
	if len(r.body) < offset {
		return nil, syscall.EINVAL
	}
	rest := r.body[offset:]
	for ; count > 0; count-- {
		end := 0
		for end < len(rest) && rest[end] != 0 {
			end++
		}
		if end == len(rest) {
			return nil, syscall.EINVAL
		}
		found = append(found, string(rest[:end]))
		rest = rest[end+1:]
	}
	return found, nil
}

// name is a single part of a path: what leads elsewhere is refused.
func (r *fuseRequest) name(offset int) (string, error) {
	found, err := r.names(offset, 1)
	if err != nil {
		return "", err
	}
	return soundName(found[0])
}

func soundName(name string) (string, error) {
	if len(name) > nameBytesMax {
		return "", syscall.ENAMETOOLONG
	}
	if name == "" || name == "." || name == ".." {
		return "", syscall.EINVAL
	}
	for i := 0; i < len(name); i++ {
		if name[i] == '/' || name[i] == 0 {
			return "", syscall.EINVAL
		}
	}
	return name, nil
}

func parseFuse(message []byte) (*fuseRequest, error) {
	if len(message) < fuseInHeaderBytes {
		return nil, syscall.EINVAL
	}
	word := binary.LittleEndian
	return &fuseRequest{
		opcode: word.Uint32(message[4:]), unique: word.Uint64(message[8:]), node: word.Uint64(message[16:]),
		uid: int(word.Uint32(message[24:])), gid: int(word.Uint32(message[28:])), body: message[fuseInHeaderBytes:],
	}, nil
}

// fuseAnswer is an answer that is being written, its header in front.
type fuseAnswer struct{ bytes []byte }

func newAnswer(unique uint64, room int) *fuseAnswer {
	bytes := make([]byte, fuseOutHeaderBytes, fuseOutHeaderBytes+room)
	binary.LittleEndian.PutUint64(bytes[8:], unique)
	return &fuseAnswer{bytes}
}

func (a *fuseAnswer) u16(value uint16) { a.bytes = append(a.bytes, byte(value), byte(value>>8)) }
func (a *fuseAnswer) u32(values ...uint32) {
	for _, value := range values {
		a.bytes = append(a.bytes, byte(value), byte(value>>8), byte(value>>16), byte(value>>24))
	}
}
func (a *fuseAnswer) u64(values ...uint64) {
	for _, value := range values {
		a.u32(uint32(value), uint32(value>>32))
	}
}

// attributes are kept by the guest for no time at all: another sandbox may change them.
func (a *fuseAnswer) attributes(stat syscall.Stat_t, ino uint64) {
	a.u64(ino, uint64(stat.Size), uint64(stat.Blocks), uint64(stat.Atim.Sec), uint64(stat.Mtim.Sec), uint64(stat.Ctim.Sec))
	a.u32(uint32(stat.Atim.Nsec), uint32(stat.Mtim.Nsec), uint32(stat.Ctim.Nsec), stat.Mode, uint32(stat.Nlink), stat.Uid,
		stat.Gid, uint32(stat.Rdev), uint32(stat.Blksize), 0)
}

func (a *fuseAnswer) entry(stat syscall.Stat_t, ino uint64) {
	a.u64(ino, 0, 0, 0)
	a.u32(0, 0)
	a.attributes(stat, ino)
}

func (a *fuseAnswer) attr(stat syscall.Stat_t, ino uint64) {
	a.u64(0)
	a.u32(0, 0)
	a.attributes(stat, ino)
}

// sealed is the whole message: with an error nothing but its header.
func (a *fuseAnswer) sealed(err error) []byte {
	if err != nil {
		a.bytes = a.bytes[:fuseOutHeaderBytes]
		binary.LittleEndian.PutUint32(a.bytes[4:], uint32(-int32(errnoOf(err))))
	}
	binary.LittleEndian.PutUint32(a.bytes, uint32(len(a.bytes)))
	return a.bytes
}
