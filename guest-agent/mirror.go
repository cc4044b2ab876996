package main

import (
	"archive/tar"
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

// A template is made of a running sandbox by two of these programs that talk through the server: `list` in the sandbox
// tells every file that it has, `mirror` in the sandbox that makes the layer asks for those that it has not, and makes
// its own tree the same. So the layer holds nothing but what differs from the template below.

// fileFacts are what tells two files apart without reading them.
type fileFacts struct {
	Path     string
	Mode     uint32
	UID, GID uint32
	Size     int64
	Modified int64
	Link     string
}

// leftBehind is what belongs to the machine that runs and not to its files: as after a start of the machine, it is not
// there in what is made of the template.
var leftBehind = map[string]bool{
	"/.casemate": true, "/dev": true, "/proc": true, "/sys": true, "/tmp": true, "/run": true, "/var/run": true,
	"/etc/machine-id": true, "/etc/hostname": true, "/etc/hosts": true, "/etc/resolv.conf": true,
	ownTrust: true,
}

const (
	kindMask    = syscall.S_IFMT
	ownTrust    = "/usr/local/share/ca-certificates/casemate.crt"
	trustBundle = "/etc/ssl/certs/ca-certificates.crt"
)

func factsOf(path string, info fs.FileInfo) (fileFacts, error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileFacts{}, fmt.Errorf("%q has no facts", path)
	}
	facts := fileFacts{Path: path, Mode: stat.Mode, UID: stat.Uid, GID: stat.Gid}
	switch stat.Mode & kindMask {
	case syscall.S_IFREG:
		facts.Size, facts.Modified = stat.Size, info.ModTime().UnixNano()
	case syscall.S_IFLNK:
		link, err := os.Readlink(path)
		facts.Link = link
		return facts, err
	}
	return facts, nil
}

// walkTree visits what a template can hold: folders, files and links of the root's own file system, folders first. What
// is skipped is visited without a mode.
func walkTree(skip map[string]bool, visit func(fileFacts) error) error {
	return filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		if leftBehind[path] || skip[path] {
			if !leftBehind[path] {
				if err := visit(fileFacts{Path: path}); err != nil {
					return err
				}
			}
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		var facts fileFacts
		if err == nil {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				facts, err = factsOf(path, info)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went away while the tree was walked
		}
		if err != nil {
			return err
		}
		switch facts.Mode & kindMask {
		case syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFLNK:
			return visit(facts)
		}
		return nil // sockets, pipes and devices stay where they are
	})
}

// mountPoints are where other file systems begin: volumes, and what the runtime shows.
func mountPoints() (map[string]bool, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	points := map[string]bool{}
	for _, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] != "/" {
			points[unescape.Replace(fields[4])] = true
		}
	}
	return points, nil
}

// listTree tells every file on stdout, reads from stdin which are wanted, and sends those.
func listTree() error {
	skip, err := mountPoints()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(ownTrust); err == nil {
		skip[trustBundle] = true // the sandbox's own authority stands in it, which no other sandbox may trust
	}
	out := bufio.NewWriterSize(os.Stdout, 64*1024)
	facts := gob.NewEncoder(out)
	err = walkTree(skip, func(found fileFacts) error { return facts.Encode(found) })
	if err == nil {
		err = facts.Encode(fileFacts{}) // the end
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return err
	}
	var wanted []string
	if err := gob.NewDecoder(os.Stdin).Decode(&wanted); err != nil {
		return err
	}
	archive := tar.NewWriter(out)
	for _, path := range wanted {
		if err := packFile(archive, path); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return out.Flush()
}

// packFile sends as many bytes as the file has when it is opened, whatever its writers do meanwhile.
func packFile(archive *tar.Writer, path string) error {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: path[1:], Size: info.Size(), ModTime: info.ModTime(), Format: tar.FormatPAX,
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	return copyExactly(archive, file, info.Size())
}

// mirrorTree makes this root the same as the one that stdin tells of.
func mirrorTree() error {
	in := bufio.NewReaderSize(os.Stdin, 64*1024)
	wanted, err := readFacts(in)
	if err != nil {
		return err
	}
	skip, err := mountPoints()
	if err != nil {
		return err
	}
	for path, facts := range wanted {
		if facts.Mode == 0 {
			skip[path] = true // it stays as it is
		}
	}
	own := map[string]fileFacts{}
	err = walkTree(skip, func(facts fileFacts) error { own[facts.Path] = facts; return nil })
	if err != nil {
		return err
	}
	for path := range skip {
		delete(own, path)
		delete(wanted, path)
	}
	if err := removeOthers(own, wanted); err != nil {
		return err
	}
	paths := make([]string, 0, len(wanted))
	for path := range wanted {
		paths = append(paths, path)
	}
	sort.Strings(paths) // folders before what is in them
	contents, err := makeSame(paths, own, wanted)
	if err != nil {
		return err
	}
	if err := gob.NewEncoder(os.Stdout).Encode(contents); err != nil {
		return err
	}
	if err := receiveFiles(in); err != nil {
		return err
	}
	return finishSame(paths, own, wanted)
}

func readFacts(from io.Reader) (map[string]fileFacts, error) {
	decoder := gob.NewDecoder(from)
	found := map[string]fileFacts{}
	for {
		var facts fileFacts
		if err := decoder.Decode(&facts); err != nil {
			return nil, err
		}
		if facts.Path == "" {
			return found, nil
		}
		if !filepath.IsAbs(facts.Path) || filepath.Clean(facts.Path) != facts.Path || leftBehind[facts.Path] {
			return nil, fmt.Errorf("%q is no path of a template", facts.Path)
		}
		found[facts.Path] = facts
	}
}

// removeOthers takes away what the other tree has not, or has as something of another kind.
func removeOthers(own, wanted map[string]fileFacts) error {
	for path, facts := range own {
		other, has := wanted[path]
		if has && other.Mode&kindMask == facts.Mode&kindMask {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		delete(own, path)
	}
	for path := range own { // what was below a folder that went
		if _, err := os.Lstat(path); err != nil {
			delete(own, path)
		}
	}
	return nil
}

// makeSame makes folders and links, and answers which files are wanted.
func makeSame(paths []string, own, wanted map[string]fileFacts) ([]string, error) {
	contents := []string{}
	for _, path := range paths {
		facts := wanted[path]
		before, had := own[path]
		switch facts.Mode & kindMask {
		case syscall.S_IFDIR:
			if had {
				continue
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				return nil, err
			}
		case syscall.S_IFLNK:
			if had && before.Link == facts.Link {
				continue
			}
			if err := os.RemoveAll(path); err != nil {
				return nil, err
			}
			if err := os.Symlink(facts.Link, path); err != nil {
				return nil, err
			}
		case syscall.S_IFREG:
			if !had || before.Size != facts.Size || !sameTime(before.Modified, facts.Modified) {
				contents = append(contents, path)
			}
		}
	}
	return contents, nil
}

// sameTime: a machine's file system may know seconds only, where the layers of its template know more.
func sameTime(one, other int64) bool {
	const second = int64(time.Second)
	if one%second == 0 || other%second == 0 {
		return one/second == other/second
	}
	return one == other
}

func sameFacts(one, other fileFacts) bool {
	same := sameTime(one.Modified, other.Modified)
	one.Modified = other.Modified
	return same && one == other
}

func receiveFiles(from io.Reader) error {
	archive := tar.NewReader(from)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join("/", header.Name)
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if err := writeWhole(path, archive); err != nil {
			return err
		}
	}
}

// finishSame gives owners, modes and times, where they differ: the deepest first, so that a folder's is not changed again.
func finishSame(paths []string, own, wanted map[string]fileFacts) error {
	for index := len(paths) - 1; index >= 0; index-- {
		path := paths[index]
		facts := wanted[path]
		if before, had := own[path]; had && sameFacts(before, facts) {
			continue
		}
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went away in the sandbox before it was sent
		}
		if err == nil {
			err = os.Lchown(path, int(facts.UID), int(facts.GID))
		}
		if err == nil && info.Mode()&fs.ModeSymlink == 0 {
			err = syscall.Chmod(path, facts.Mode&^uint32(kindMask))
		}
		if err == nil && info.Mode().IsRegular() {
			modified := time.Unix(0, facts.Modified)
			err = os.Chtimes(path, modified, modified)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
