// Package archives packs the files of a project to be sent elsewhere, and unpacks
// what was sent: a tar file, compressed by gzip, with nothing but regular files and
// directories in it. The same files make the same archive.
package archives

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The bounds on an archive: of its own size, and of what it may hold.
const (
	MaxSize     = 32 << 20
	MaxUnpacked = 128 << 20
	MaxFiles    = 20_000
)

// The errors that do not depend on the machine. ErrTooLarge says that a bound is
// exceeded, ErrLeaves that something lies outside of the directory, or would,
// ErrInvalid that an archive is none of ours.
var (
	ErrTooLarge = errors.New("too large")
	ErrLeaves   = errors.New("outside of the directory")
	ErrInvalid  = errors.New("not an archive of configuration files")
)

// Pack packs a directory without what is ignored. Links are followed, and are an
// [ErrLeaves] where they lead out of the directory.
func Pack(dir string) ([]byte, error) {
	root, err := filepath.EvalSymlinks(dir)
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err != nil {
		return nil, err
	}
	ignored, err := readIgnored(root)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	p := &packing{root: root, ignored: ignored, tar: tar.NewWriter(compressed)}
	if err := p.directory("", root, nil); err != nil {
		return nil, err
	}
	if err := errors.Join(p.tar.Close(), compressed.Close()); err != nil {
		return nil, err
	}
	if out.Len() > MaxSize {
		return nil, fmt.Errorf("%w: packed, the files have %d MiB, and at most %d may be sent; name what is not needed in %s", ErrTooLarge, out.Len()>>20, MaxSize>>20, IgnoreFile)
	}
	return out.Bytes(), nil
}

type packing struct {
	root    string
	ignored ignored
	tar     *tar.Writer
	files   int
	size    int64
}

// directory packs what is in a directory. within are the real paths of the
// directories it lies in, so that a link to one of them is no endless descent.
func (p *packing) directory(name, real string, within []string) error {
	if slices.Contains(within, real) {
		return nil
	}
	within = append(slices.Clip(within), real)
	entries, err := os.ReadDir(real)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at, inner := filepath.Join(real, e.Name()), path.Join(name, e.Name())
		if e.Type()&fs.ModeSymlink != 0 && !p.ignored.matches(inner, false) {
			if at, err = p.follow(inner, at); err != nil {
				return err
			}
		}
		info, err := os.Lstat(at)
		switch {
		case err != nil:
			return err
		case p.ignored.matches(inner, info.IsDir()):
		case info.IsDir():
			err = p.directory(inner, at, within)
		case info.Mode().IsRegular():
			err = p.file(inner, at, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// follow finds what a link leads to.
func (p *packing) follow(name, at string) (string, error) {
	target, err := filepath.EvalSymlinks(at)
	if err != nil {
		return "", fmt.Errorf("the link %s leads nowhere: %w", name, err)
	}
	if rel, err := filepath.Rel(p.root, target); err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%w: the link %s leads to %s; name it in %s if it is not needed", ErrLeaves, name, target, IgnoreFile)
	}
	return target, nil
}

func (p *packing) file(name, at string, info fs.FileInfo) error {
	p.files++
	p.size += info.Size()
	if p.files > MaxFiles || p.size > MaxUnpacked {
		return fmt.Errorf("%w: more than %d files or %d MiB; name what is not needed in %s", ErrTooLarge, MaxFiles, MaxUnpacked>>20, IgnoreFile)
	}
	data, err := os.ReadFile(at)
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644, Format: tar.FormatPAX}
	if info.Mode()&0o100 != 0 {
		header.Mode = 0o755
	}
	if err := p.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err = p.tar.Write(data)
	return err
}

// Unpack unpacks an archive into an empty directory. It writes nothing anywhere
// else, whatever names the archive has, and no more than the bounds allow.
func Unpack(data []byte, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	compressed, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	files, size := 0, int64(0)
	for archive := tar.NewReader(compressed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		name := path.Clean(header.Name)
		if files++; files > MaxFiles {
			return fmt.Errorf("%w: more than %d files", ErrTooLarge, MaxFiles)
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) || strings.ContainsAny(name, "\\\x00") {
			return fmt.Errorf("%w: %q", ErrLeaves, header.Name)
		}
		switch header.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o700)
		case tar.TypeReg:
			if size += header.Size; header.Size < 0 || size > MaxUnpacked {
				return fmt.Errorf("%w: more than %d MiB", ErrTooLarge, MaxUnpacked>>20)
			}
			err = unpackFile(root, name, header, archive)
		default:
			return fmt.Errorf("%w: %q is neither a file nor a directory", ErrInvalid, header.Name)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
}

func unpackFile(root *os.Root, name string, header *tar.Header, from io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	if header.Mode&0o100 != 0 {
		mode = 0o700
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, from, header.Size)
	return errors.Join(err, f.Close())
}
