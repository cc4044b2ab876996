package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"sync"
	"syscall"
)

const (
	// fuseAtOnceMax requests of one guest are worked on at the same time.
	fuseAtOnceMax = 16
	fuseFilesMax  = 1024
	// What a handle says of its file, so that it can be opened again where this process was not the one that opened it.
	fuseHandleAppend = 1 << 2
	fuseHandleFolder = 1 << 3
	fuseHandleBits   = 4
)

// fuseSession serves one mount of one guest: a folder of the volume and no more, whatever the guest sends.
type fuseSession struct {
	nodes    fuseNodes
	readOnly bool
	mu       sync.Mutex // guards files and last
	files    map[uint64]*fuseFile
	last     uint64
	writing  sync.Mutex
	out      *sender
}

type fuseFile struct {
	*os.File
	node uint64
	mu   sync.Mutex // a folder is read by one at a time
}

// fuse serves a guest's requests, which come as the stream's data, until the stream ends.
func (v *volumeFiles) fuse(s *stream, raw json.RawMessage) (interface{}, error) {
	var params struct {
		Path     string `json:"path"`
		ReadOnly bool   `json:"readOnly"`
	}
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	clean, err := volumePath(params.Path)
	if err != nil {
		return nil, err
	}
	root, err := v.open(clean, entered)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	session := &fuseSession{readOnly: params.ReadOnly, files: map[uint64]*fuseFile{}, out: newSender(s), last: randomHandle()}
	session.nodes = fuseNodes{tree: volumeTree{root}, known: map[uint64]fusePlace{}}
	defer session.close()
	if err := s.message(map[string]bool{"ready": true}); err != nil {
		return nil, err
	}
	return nil, session.serve(&streamReader{stream: s})
}

// randomHandle: handles of an earlier process must not be taken for others of this one.
func randomHandle() uint64 {
	var bytes [8]byte
	_, _ = rand.Read(bytes[:])
	return binary.LittleEndian.Uint64(bytes[:]) >> 16
}

func (f *fuseSession) serve(in io.Reader) error {
	turns := make(chan struct{}, fuseAtOnceMax)
	var working sync.WaitGroup
	defer working.Wait()
	for {
		message, err := readFuse(in)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		request, err := parseFuse(message)
		if err != nil {
			return err
		}
		turns <- struct{}{}
		working.Add(1)
		go func() {
			defer func() { <-turns; working.Done() }()
			if answer := f.answer(request); answer != nil {
				f.writing.Lock()
				_ = f.out.write(0, answer, false)
				f.writing.Unlock()
			}
		}()
	}
}

// readFuse reads one message of either direction; its length is in front.
func readFuse(in io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(length[:])
	if size < fuseOutHeaderBytes || size > fuseMessageBytesMax {
		return nil, fail("invalid_request", "a message of FUSE that is too short or too long")
	}
	message := make([]byte, size)
	copy(message, length[:])
	_, err := io.ReadFull(in, message[4:])
	return message, err
}

// answer is nil where the protocol has none.
func (f *fuseSession) answer(r *fuseRequest) (wire []byte) {
	answer := newAnswer(r.unique, 256)
	defer func() {
		if recover() != nil {
			wire = newAnswer(r.unique, 0).sealed(syscall.EIO)
		}
	}()
	switch r.opcode {
	case fuseForget:
		f.nodes.forget(r.node)
		return nil
	case fuseBatchForget:
		for i := 0; i < int(r.u32(0)) && !r.short; i++ {
			f.nodes.forget(r.u64(8 + 16*i))
		}
		return nil
	case fuseInterrupt:
		return nil
	}
	if f.readOnly && fuseChanges[r.opcode] {
		return answer.sealed(syscall.EROFS)
	}
	operation, known := fuseOperations[r.opcode]
	if !known {
		return answer.sealed(syscall.ENOSYS)
	}
	err := operation(f, r, answer)
	if err == nil && r.short {
		err = syscall.EINVAL
	}
	return answer.sealed(err)
}

var fuseChanges = map[uint32]bool{
	fuseSetattr: true, fuseSymlink: true, fuseMknod: true, fuseMkdir: true, fuseUnlink: true, fuseRmdir: true,
	fuseRename: true, fuseRename2: true, fuseLink: true, fuseWrite: true, fuseCreate: true, fuseFallocate: true,
}

func (f *fuseSession) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, file := range f.files {
		_ = file.Close()
	}
	f.files = map[uint64]*fuseFile{}
}

// keep answers a handle for an open file.
func (f *fuseSession) keep(file *os.File, node uint64, flags int, folder bool) (uint64, error) {
	bits := uint64(flags & syscall.O_ACCMODE)
	if flags&syscall.O_APPEND != 0 {
		bits |= fuseHandleAppend
	}
	if folder {
		bits |= fuseHandleFolder
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.files) >= fuseFilesMax {
		_ = file.Close()
		return 0, syscall.EMFILE
	}
	f.last++
	handle := f.last<<fuseHandleBits | bits
	f.files[handle] = &fuseFile{File: file, node: node}
	return handle, nil
}

// handle answers an open file. One that this process does not know is opened again: its guest is older than the process.
func (f *fuseSession) handle(handle, node uint64) (*fuseFile, error) {
	f.mu.Lock()
	file := f.files[handle]
	full := len(f.files) >= fuseFilesMax
	f.mu.Unlock()
	if file != nil {
		return file, nil
	}
	if full {
		return nil, syscall.EMFILE
	}
	flags := int(handle & syscall.O_ACCMODE)
	if f.readOnly {
		flags = syscall.O_RDONLY
	}
	if handle&fuseHandleAppend != 0 {
		flags |= syscall.O_APPEND
	}
	if handle&fuseHandleFolder != 0 {
		flags = entered
	}
	opened, err := f.openContent(node, flags)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if file = f.files[handle]; file != nil {
		_ = opened.Close()
		return file, nil
	}
	file = &fuseFile{File: opened, node: node}
	f.files[handle] = file
	return file, nil
}

// openContent opens a regular file or a folder, and nothing else.
func (f *fuseSession) openContent(node uint64, flags int) (*os.File, error) {
	seen, err := f.nodes.open(node, looked)
	if err != nil {
		return nil, err
	}
	stat, err := statOf(seen)
	_ = seen.Close()
	if err != nil {
		return nil, err
	}
	if kind := fileKind(stat); kind != "file" && kind != "directory" {
		return nil, syscall.EACCES
	}
	return f.nodes.open(node, flags|syscall.O_NONBLOCK)
}

func (f *fuseSession) release(handle uint64) {
	f.mu.Lock()
	file := f.files[handle]
	delete(f.files, handle)
	f.mu.Unlock()
	if file != nil {
		_ = file.Close()
	}
}

// statNode describes a node, also one that has lost its name and is still open.
func (f *fuseSession) statNode(node uint64) (syscall.Stat_t, error) {
	seen, err := f.nodes.open(node, looked)
	if err == nil {
		defer seen.Close()
		return statOf(seen)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, file := range f.files {
		if file.node == node {
			return statOf(file.File)
		}
	}
	return syscall.Stat_t{}, err
}
