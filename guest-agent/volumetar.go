package main

import (
	"archive/tar"
	"io"
	"os"
	"path"
	"sort"
	"strings"
	"syscall"
	"time"
)

const (
	// linksKeptMax: files with several names beyond so many are put into an archive once for each name.
	linksKeptMax = 100_000
	// archiveTimesVolume: holes are zeros in an archive; one that outgrows its volume by so much is neither made nor taken.
	archiveTimesVolume = 4
	// archiveModes: an archive's set-id bits are not kept.
	archiveModes = 0o1777
)

// archive sends a folder as a tar stream, names relative to it.
func (v *volumeFiles) archive(s *stream, params volumeParams) (interface{}, error) {
	folder, err := v.open(params.Path, entered)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	most, err := v.archiveBytesMax()
	if err != nil {
		return nil, err
	}
	out := &archiving{stream: s, sender: newSender(s), left: most, links: map[uint64]string{}, isRoot: params.Path == ""}
	if err := s.message(map[string]bool{"archive": true}); err != nil {
		return nil, err
	}
	out.tar = tar.NewWriter(out)
	if err := out.folder(folder, ""); err != nil {
		return nil, err
	}
	if err := out.tar.Close(); err != nil {
		return nil, err
	}
	return map[string]int64{"entries": out.entries, "bytes": out.bytes}, out.sender.write(0, nil, true)
}

// archiveBytesMax is what the files of one archive may hold together.
func (v *volumeFiles) archiveBytesMax() (int64, error) {
	var size syscall.Statfs_t
	err := syscall.Fstatfs(int(v.root.Fd()), &size)
	return int64(size.Blocks) * size.Bsize * archiveTimesVolume, err
}

type archiving struct {
	stream *stream
	sender *sender
	tar    *tar.Writer
	// left is how many bytes the files in it may still have.
	left    int64
	links   map[uint64]string
	isRoot  bool
	entries int64
	bytes   int64
}

// Write makes it what the tar goes into.
func (a *archiving) Write(data []byte) (int, error) {
	for sent := 0; sent < len(data); sent += readBytes {
		end := sent + readBytes
		if end > len(data) {
			end = len(data)
		}
		if err := a.sender.write(0, data[sent:end], false); err != nil {
			return sent, err
		}
	}
	return len(data), nil
}

func (a *archiving) folder(folder *os.File, clean string) error {
	for {
		names, err := folder.Readdirnames(namesAtOnce)
		sort.Strings(names)
		for _, name := range names {
			if a.isRoot && clean == "" && name == uploadFolder {
				continue
			}
			if err := a.one(folder, name, path.Join(clean, name)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (a *archiving) one(folder *os.File, name, clean string) error {
	if len(clean) > pathBytesMax {
		return fail("file_invalid", "the tree is too deep for an archive")
	}
	seen, err := below(folder, name, looked)
	if err != nil {
		return nil // removed meanwhile
	}
	defer seen.Close()
	stat, err := statOf(seen)
	if err != nil {
		return err
	}
	header := &tar.Header{Name: clean, Mode: int64(stat.Mode & volumeModeMax), Uid: int(stat.Uid), Gid: int(stat.Gid),
		ModTime: time.Unix(stat.Mtim.Sec, stat.Mtim.Nsec), Format: tar.FormatPAX}
	switch fileKind(stat) {
	case "directory":
		inner, err := below(folder, name, entered)
		if err != nil {
			return nil // another thing by now
		}
		defer inner.Close()
		header.Typeflag, header.Name, header.PAXRecords = tar.TypeDir, clean+"/", xattrsOf(inner)
		if err := a.header(header); err != nil {
			return err
		}
		return a.folder(inner, clean)
	case "symlink":
		header.Typeflag, header.Linkname = tar.TypeSymlink, targetOf(seen)
		return a.header(header)
	case "file":
		return a.file(folder, name, header, stat)
	}
	return nil // pipes, sockets and devices mean nothing outside of their sandbox
}

func (a *archiving) header(header *tar.Header) error {
	a.entries++
	return a.tar.WriteHeader(header)
}

func (a *archiving) file(folder *os.File, name string, header *tar.Header, stat syscall.Stat_t) error {
	if first, known := a.links[stat.Ino]; known {
		header.Typeflag, header.Linkname = tar.TypeLink, first
		return a.header(header)
	}
	file, err := below(folder, name, syscall.O_RDONLY|syscall.O_NONBLOCK)
	if err != nil {
		return nil
	}
	defer file.Close()
	if stat, err = statOf(file); err != nil || fileKind(stat) != "file" {
		return err
	}
	if a.left -= stat.Size; a.left < 0 {
		return fail("file_invalid", header.Name+": the files are larger than the volume, by far: holes are not archived")
	}
	header.Typeflag, header.Size, header.PAXRecords = tar.TypeReg, stat.Size, xattrsOf(file)
	if err := a.header(header); err != nil {
		return err
	}
	a.bytes += stat.Size
	if stat.Nlink > 1 && len(a.links) < linksKeptMax {
		a.links[stat.Ino] = header.Name
	}
	return copyExactly(a.tar, file, stat.Size)
}

// copyExactly writes what the header promised, with zeros for what somebody cut off meanwhile.
func copyExactly(to io.Writer, from io.Reader, size int64) error {
	n, err := io.CopyN(to, from, size)
	if err != io.EOF {
		return err
	}
	_, err = io.CopyN(to, zeros{}, size-n)
	return err
}

type zeros struct{}

func (zeros) Read(into []byte) (int, error) {
	for i := range into {
		into[i] = 0
	}
	return len(into), nil
}

// extract unpacks a tar stream into a folder. It stops at what it refuses, and names it; what came before stays.
func (v *volumeFiles) extract(s *stream, params volumeParams) (interface{}, error) {
	base, err := v.open(params.Path, entered)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	most, err := v.archiveBytesMax()
	if err != nil {
		return nil, err
	}
	in := &extracting{volume: v, into: volumeTree{base}, params: params, left: most}
	reader := tar.NewReader(&streamReader{stream: s})
	for {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = in.one(header, reader)
		}
		if err != nil {
			return nil, archiveFailure(err, header)
		}
	}
	in.leave("")
	return map[string]int64{"entries": in.entries, "bytes": in.bytes}, v.sync()
}

func archiveFailure(err error, header *tar.Header) error {
	known := failureOf(err)
	if known.Code == "internal" {
		known = fail("file_invalid", "the archive is damaged: "+err.Error())
	}
	if header != nil {
		return fail(known.Code, "entry "+header.Name+": "+known.Message)
	}
	return known
}

// streamReader reads what the host sends.
type streamReader struct {
	stream *stream
	rest   []byte
}

func (r *streamReader) Read(into []byte) (int, error) {
	if len(r.rest) == 0 {
		data, err := r.stream.read()
		if err != nil {
			return 0, err
		}
		r.rest = data
	}
	n := copy(into, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

type extracting struct {
	volume  *volumeFiles
	into    volumeTree
	params  volumeParams
	entries int64
	bytes   int64
	// left is how many bytes files may still have, holes counted.
	left int64
	// inside are the folders around the last entry: what is put into them changes their times.
	inside []folderTimes
}

type folderTimes struct {
	clean    string
	modified time.Time
}

// leave gives the folders their times that an entry is not in.
func (x *extracting) leave(clean string) {
	for last := len(x.inside) - 1; last >= 0; last-- {
		if strings.HasPrefix(clean, x.inside[last].clean+"/") {
			return
		}
		if folder, err := x.into.open(x.inside[last].clean, entered); err == nil {
			setModified(folder, "", x.inside[last].modified)
			_ = folder.Close()
		}
		x.inside = x.inside[:last]
	}
}

func (x *extracting) one(header *tar.Header, content io.Reader) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil // a remark on the whole archive
	}
	if path.IsAbs(header.Name) {
		return fail("file_invalid", "an absolute path")
	}
	clean, err := volumePath(header.Name)
	if err != nil {
		return err
	}
	x.entries++
	if header.Uid < 0 || header.Uid >= jailUsers || header.Gid < 0 || header.Gid >= jailUsers {
		return fail("file_invalid", "an owner beyond all users")
	}
	uid, gid := x.params.owner(header.Uid, header.Gid)
	mode := uint32(header.Mode) & archiveModes
	if clean == "" {
		if header.Typeflag == tar.TypeDir {
			return nil
		}
		return fail("file_invalid", "an entry without a name")
	}
	x.leave(clean)
	parents := volumeParams{Parents: true, UID: &uid, GID: &gid}
	at, name, err := x.into.parent(clean, parents.maker())
	if err != nil {
		return err
	}
	defer at.Close()
	switch header.Typeflag {
	case tar.TypeDir:
		x.inside = append(x.inside, folderTimes{clean, header.ModTime})
		return x.folder(at, name, mode, uid, gid, header)
	case tar.TypeReg:
		return x.file(at, name, mode, uid, gid, header, content)
	case tar.TypeSymlink:
		if err := makeRoom(at, name); err != nil {
			return err
		}
		if err := symlinkBelow(header.Linkname, at, name); err != nil {
			return err
		}
		if err := lchownBelow(at, name, uid, gid); err != nil {
			return err
		}
		setModified(at, name, header.ModTime)
		return nil
	case tar.TypeLink:
		return x.link(at, name, header.Linkname)
	}
	return fail("file_invalid", "a kind that volumes do not take")
}

func (x *extracting) folder(at *os.File, name string, mode uint32, uid, gid int, header *tar.Header) error {
	if err := makeFolder(at, name, mode, uid, gid); err != nil && err != syscall.EEXIST {
		return err
	}
	there, err := below(at, name, entered)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := attach(there, header); err != nil {
		return err
	}
	return giveTo(there, mode, uid, gid)
}

func (x *extracting) file(at *os.File, name string, mode uint32, uid, gid int, header *tar.Header, content io.Reader) error {
	up, err := x.volume.upload()
	if err != nil {
		return err
	}
	defer up.discard()
	if x.left -= header.Size; x.left < 0 {
		return fail("file_invalid", "the files are larger than the volume, by far")
	}
	if err := copyWithHoles(up.file, content, header.Size); err != nil {
		return err
	}
	x.bytes += header.Size
	if err := attach(up.file, header); err != nil {
		return err
	}
	if err := giveTo(up.file, mode, uid, gid); err != nil {
		return err
	}
	setModified(up.file, "", header.ModTime)
	return up.rename(at, name)
}

func (x *extracting) link(at *os.File, name, target string) error {
	if path.IsAbs(target) {
		return fail("file_invalid", "a hard link to an absolute path")
	}
	clean, err := volumePath(target)
	if err != nil {
		return err
	}
	from, old, err := x.into.parent(clean, nil)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := makeRoom(at, name); err != nil {
		return err
	}
	return linkBelow(from, old, at, name)
}

// makeRoom takes away what an entry replaces; a folder stays, and is an error of the entry.
func makeRoom(at *os.File, name string) error {
	if err := unlinkBelow(at, name, 0); err != nil && err != syscall.ENOENT {
		return err
	}
	return nil
}

func lchownBelow(at *os.File, name string, uid, gid int) error {
	return syscall.Fchownat(int(at.Fd()), name, uid, gid, atNoFollow)
}
