package main

import (
	"archive/tar"
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
)

// layerStep is what a build asks of the files of a layer that it makes; `RUN` is an exec like any other.
type layerStep struct {
	Op string `json:"op"`
	// Copy: paths below From go to Target.
	From    string   `json:"from"`
	Sources []string `json:"sources"`
	Target  string   `json:"target"`
	Chown   string   `json:"chown"`
	Chmod   string   `json:"chmod"`
	// Extract unpacks archives, as ADD does.
	Extract bool `json:"extract"`
}

// layerMain runs one step, as a program of its own inside of the sandbox that makes the layer.
func layerMain(args []string) int {
	if err := runLayerStep(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runLayerStep(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: guest-agent layer STEP")
	}
	var step layerStep
	if err := json.Unmarshal([]byte(args[0]), &step); err != nil {
		return err
	}
	syscall.Umask(0o022)
	switch step.Op {
	case "setup":
		return setUpImage()
	case "folder":
		return os.MkdirAll(step.Target, 0o755)
	case "copy":
		had := hasSandboxUser()
		if err := step.copy(); err != nil || !had || hasSandboxUser() {
			return err
		}
		return setUpImage() // the copy brought other tables of users: every template has this one
	case "list":
		return listTree()
	case "mirror":
		return mirrorTree()
	}
	return fmt.Errorf("no step %q", step.Op)
}

func hasSandboxUser() bool {
	users := userTable{}
	_, err := users.find(sandboxUser)
	return err == nil
}

// copier copies with owners and modes as they are asked for.
type copier struct {
	root     string
	uid, gid int
	mode     fs.FileMode
	hasMode  bool
	extract  bool
}

func (step layerStep) copy() error {
	c := copier{root: step.From, extract: step.Extract}
	if err := c.own(step.Chown); err != nil {
		return err
	}
	if step.Chmod != "" {
		mode, err := strconv.ParseUint(step.Chmod, 8, 12)
		if err != nil {
			return fmt.Errorf("--chmod takes octal digits, not %q", step.Chmod)
		}
		c.mode, c.hasMode = unixMode(uint32(mode)), true
	}
	var found []string
	for _, source := range step.Sources {
		matches, err := c.match(source)
		if err != nil {
			return err
		}
		found = append(found, matches...)
	}
	into := strings.HasSuffix(step.Target, "/") || len(found) > 1
	if info, err := os.Stat(step.Target); err == nil && info.IsDir() {
		into = true
	}
	for _, source := range found {
		if err := c.copyTop(source, step.Target, into); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) own(text string) error {
	if text == "" {
		return nil
	}
	name, group, hasGroup := strings.Cut(text, ":")
	users := userTable{}
	user, err := users.find(name)
	if err != nil {
		return fmt.Errorf("--chown: there is no user %q in the image", name)
	}
	c.uid, c.gid = user.uid, user.gid
	if !hasGroup {
		return nil
	}
	gid, known := users.group(group)
	if id, ok := idOf(group); !known && ok {
		gid, known = id, true
	}
	if !known {
		return fmt.Errorf("--chown: there is no group %q in the image", group)
	}
	c.gid = gid
	return nil
}

// match answers the paths below the root that a source means, with links resolved as the root's own programs would.
func (c *copier) match(source string) ([]string, error) {
	pattern := filepath.Join("/", source)
	if !strings.ContainsAny(pattern, "*?[") {
		path, err := resolveBelow(c.root, pattern)
		if err == nil {
			_, err = os.Lstat(path)
		}
		if err != nil {
			return nil, fmt.Errorf("%q is not there", source)
		}
		return []string{path}, nil
	}
	matches, err := filepath.Glob(filepath.Join(c.root, pattern))
	if err != nil || len(matches) == 0 {
		return nil, fmt.Errorf("nothing is like %q", source)
	}
	sort.Strings(matches)
	return matches, nil
}

const imageLinksMax = 64

// resolveBelow follows links as if root were "/".
func resolveBelow(root, path string) (string, error) {
	rest := strings.Split(strings.Trim(path, "/"), "/")
	at := ""
	for followed := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir("/" + at)
			continue
		}
		next := filepath.Join("/", at, name)
		link, err := os.Readlink(filepath.Join(root, next))
		if err != nil {
			at = next
			continue
		}
		if followed++; followed > imageLinksMax {
			return "", syscall.ELOOP
		}
		if filepath.IsAbs(link) {
			at = ""
		}
		rest = append(strings.Split(strings.Trim(link, "/"), "/"), rest...)
	}
	return filepath.Join(root, at), nil
}

func (c *copier) copyTop(source, target string, into bool) error {
	info, err := os.Lstat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return c.copyFolder(source, filepath.Clean(target))
	}
	if c.extract && info.Mode().IsRegular() {
		if done, err := c.unpack(source, target); done || err != nil {
			return err
		}
	}
	if into {
		target = filepath.Join(target, filepath.Base(source))
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return c.copyOne(source, target, info)
}

// copyFolder copies what is in a folder, into one that may be there already.
func (c *copier) copyFolder(source, target string) error {
	if info, err := os.Stat(target); err != nil {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := c.finish(source, target); err != nil {
			return err
		}
	} else if !info.IsDir() {
		return fmt.Errorf("%q is a file in the image", target)
	}
	entries, err := os.ReadDir(source)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		from, to := filepath.Join(source, entry.Name()), filepath.Join(target, entry.Name())
		if entry.IsDir() {
			err = c.copyFolder(from, to)
		} else if info, statErr := entry.Info(); statErr != nil {
			err = statErr
		} else {
			err = c.copyOne(from, to, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) copyOne(source, target string, info fs.FileInfo) error {
	if old, err := os.Lstat(target); err == nil && !old.IsDir() {
		if err := os.Remove(target); err != nil {
			return err
		}
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(source)
		if err == nil {
			err = os.Symlink(link, target)
		}
		if err == nil {
			err = os.Lchown(target, c.uid, c.gid)
		}
		return err
	case !info.Mode().IsRegular():
		return nil // sockets, pipes and devices stay where they are
	}
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := writeWhole(target, in); err != nil {
		return err
	}
	return c.finish(source, target)
}

func writeWhole(target string, from io.Reader) error {
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, from); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// finish gives a copy its owner, its mode and its time.
func (c *copier) finish(source, target string) error {
	info, err := os.Lstat(source)
	if err != nil {
		return err
	}
	mode := info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	if c.hasMode {
		mode = c.mode
	}
	if err := os.Lchown(target, c.uid, c.gid); err != nil {
		return err
	}
	if err := os.Chmod(target, mode); err != nil {
		return err
	}
	return os.Chtimes(target, info.ModTime(), info.ModTime())
}

func unixMode(bits uint32) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if bits&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

// unpack extracts a tar archive, plain or compressed; done is false for a file that is none.
func (c *copier) unpack(source, target string) (done bool, err error) {
	file, err := os.Open(source)
	if err != nil {
		return false, err
	}
	defer file.Close()
	reader, err := decompressed(file)
	if err != nil {
		return false, nil
	}
	archive := tar.NewReader(reader)
	header, err := archive.Next()
	if err != nil {
		return false, nil
	}
	for ; err == nil; header, err = archive.Next() {
		if err := c.extractOne(archive, header, target); err != nil {
			return true, err
		}
	}
	if err == io.EOF {
		err = nil
	}
	return true, err
}

func decompressed(file *os.File) (io.Reader, error) {
	buffered := bufio.NewReader(file)
	magic, _ := buffered.Peek(3)
	switch {
	case len(magic) == 3 && magic[0] == 0x1f && magic[1] == 0x8b:
		return gzip.NewReader(buffered)
	case string(magic) == "BZh":
		return bzip2.NewReader(buffered), nil
	}
	return buffered, nil
}

// extractOne writes below the target: in the sandbox that makes the layer, where nothing but that layer can be hit.
func (c *copier) extractOne(archive *tar.Reader, header *tar.Header, target string) error {
	path, err := resolveBelow(target, filepath.Join("/", filepath.Dir(filepath.Join("/", header.Name))))
	if err != nil {
		return err
	}
	path = filepath.Join(path, filepath.Base(filepath.Join("/", header.Name)))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		err = os.MkdirAll(path, 0o755)
	case tar.TypeReg:
		_ = os.Remove(path)
		err = writeWhole(path, archive)
	case tar.TypeSymlink:
		_ = os.Remove(path)
		if err = os.Symlink(header.Linkname, path); err == nil {
			err = os.Lchown(path, header.Uid, header.Gid)
		}
		return err
	case tar.TypeLink:
		var old string
		if old, err = resolveBelow(target, header.Linkname); err == nil {
			_ = os.Remove(path)
			err = os.Link(old, path)
		}
		return err
	default:
		return nil
	}
	if err == nil {
		err = os.Lchown(path, header.Uid, header.Gid)
	}
	if err == nil {
		err = os.Chmod(path, unixMode(uint32(header.Mode)))
	}
	return err
}
