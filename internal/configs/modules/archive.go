package modules

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// knownFormats is what messages say about archives.
const knownFormats = "zip, tar, tar.gz, tgz, tar.bz2, tbz2, tar.xz, txz, tar.zst"

// maxUnpacked bounds what an archive may unpack to: small files can claim to
// hold enough to fill a disk.
const maxUnpacked = 4 << 30

// archiveFormat tells the format of an archive by ?archive= or by its name;
// empty where it is none.
func archiveFormat(name string, query url.Values) string {
	if asked := query.Get("archive"); asked != "" {
		name = "x." + strings.TrimPrefix(asked, ".")
	}
	name = strings.ToLower(name)
	for suffix, format := range map[string]string{
		".zip": "zip", ".tar": "tar",
		".tar.gz": "gz", ".tgz": "gz", ".tar.bz2": "bz2", ".tbz2": "bz2",
		".tar.xz": "xz", ".txz": "xz", ".tar.zst": "zst", ".tzst": "zst",
	} {
		if strings.HasSuffix(name, suffix) {
			return format
		}
	}
	return ""
}

// unpack extracts an archive into a new directory. Nothing is written outside of
// it, whatever the names in the archive say.
func unpack(archive, format, into string) error {
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return err
	}
	defer root.Close()
	u := &unpacker{root: root, left: maxUnpacked}
	if format == "zip" {
		err = u.zip(archive)
	} else {
		err = u.tar(archive, format)
	}
	if err != nil {
		return err
	}
	return u.checkLinks()
}

type unpacker struct {
	root  *os.Root
	left  int64 // how many bytes may still be written
	links []string
}

// place checks a name in an archive and makes its directory. An empty result
// means that there is nothing to write.
func (u *unpacker) place(name string) (string, error) {
	clean := path.Clean(strings.ReplaceAll(name, `\`, "/"))
	if clean == "." {
		return "", nil
	}
	local := filepath.FromSlash(clean)
	if !filepath.IsLocal(local) {
		return "", fmt.Errorf("the archive holds the name %q, which leads out of it", name)
	}
	return local, u.root.MkdirAll(filepath.Dir(local), 0o755)
}

func (u *unpacker) file(name string, mode fs.FileMode, content io.Reader) error {
	perm := fs.FileMode(0o644)
	if mode&0o111 != 0 {
		perm = 0o755
	}
	// A later entry of the same name replaces the earlier one.
	_ = u.root.Remove(name)
	f, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(content, u.left+1))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if u.left -= n; u.left < 0 && err == nil {
		err = fmt.Errorf("the archive unpacks to more than %d GiB", maxUnpacked>>30)
	}
	return err
}

func (u *unpacker) link(name, target string) error {
	target = filepath.FromSlash(target)
	if filepath.IsAbs(target) || !filepath.IsLocal(filepath.Join(filepath.Dir(name), target)) {
		return fmt.Errorf("the archive holds a link, %q, that leads out of it", filepath.ToSlash(name))
	}
	_ = u.root.Remove(name)
	u.links = append(u.links, name)
	return u.root.Symlink(target, name)
}

// checkLinks follows every link once all are in place: several together may lead
// where none does alone.
func (u *unpacker) checkLinks() error {
	for _, name := range u.links {
		if _, err := u.root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the archive holds a link, %q, that leads out of it or nowhere", filepath.ToSlash(name))
		}
	}
	return nil
}

func (u *unpacker) zip(archive string) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("cannot read the archive: %w", withoutPath(err))
	}
	defer r.Close()
	for _, entry := range r.File {
		name, err := u.place(entry.Name)
		if err != nil {
			return err
		}
		if name == "" {
			continue
		}
		if err := u.zipEntry(entry, name); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipEntry(entry *zip.File, name string) error {
	mode := entry.Mode()
	if mode.IsDir() || strings.HasSuffix(entry.Name, "/") {
		return u.root.MkdirAll(name, 0o755)
	}
	if !mode.IsRegular() && mode&fs.ModeSymlink == 0 {
		return nil
	}
	content, err := entry.Open()
	if err != nil {
		return fmt.Errorf("cannot read the archive: %w", err)
	}
	defer content.Close()
	if mode.IsRegular() {
		return u.file(name, mode, content)
	}
	target, err := io.ReadAll(io.LimitReader(content, 4096))
	if err != nil {
		return fmt.Errorf("cannot read the archive: %w", err)
	}
	return u.link(name, string(target))
}

func (u *unpacker) tar(archive, format string) error {
	f, err := os.Open(archive)
	if err != nil {
		return withoutPath(err)
	}
	defer f.Close()
	switch format {
	case "gz":
		r, err := gzip.NewReader(f)
		if err != nil {
			return fmt.Errorf("cannot read the archive: %w", err)
		}
		return u.tarEntries(r)
	case "bz2":
		return u.tarEntries(bzip2.NewReader(f))
	case "xz", "zst":
		return u.tarThrough(map[string]string{"xz": "xz", "zst": "zstd"}[format], f)
	}
	return u.tarEntries(f)
}

// tarThrough unpacks what a program decompresses.
func (u *unpacker) tarThrough(program string, compressed io.Reader) error {
	found, err := exec.LookPath(program)
	if err != nil {
		return fmt.Errorf("the program %s is needed to unpack this archive, but it is not installed, or not on the PATH", program)
	}
	cmd := exec.Command(found, "-d", "-c")
	var problems bytes.Buffer
	cmd.Stdin, cmd.Stderr = compressed, &problems
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot run %s: %w", program, err)
	}
	unpackErr := u.tarEntries(out)
	_, _ = io.Copy(io.Discard, io.LimitReader(out, 1<<20)) // padding behind the last entry
	_ = out.Close()
	if err := cmd.Wait(); err != nil && unpackErr == nil {
		return fmt.Errorf("%s cannot read the archive: %s", program, strings.TrimSpace(problems.String()))
	}
	return unpackErr
}

func (u *unpacker) tarEntries(r io.Reader) error {
	reader := tar.NewReader(r)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the archive: %w", err)
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue // a comment, such as the commit
		}
		name, err := u.place(header.Name)
		if err != nil {
			return err
		}
		if name == "" {
			continue
		}
		switch header.Typeflag {
		case tar.TypeDir:
			err = u.root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			err = u.file(name, header.FileInfo().Mode(), reader)
		case tar.TypeSymlink:
			err = u.link(name, header.Linkname)
		case tar.TypeLink:
			err = fmt.Errorf("the archive holds a hard link, %q, which modules may not have", header.Name)
		}
		if err != nil {
			return err
		}
	}
}
