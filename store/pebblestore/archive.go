package pebblestore

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"tributary"
)

// A backup is a tar archive: the files of a checkpoint of the store below
// store/, perhaps the master key, and last the manifest, which tells what must
// be there. It holds the digest of every file, of all bytes before itself, and
// of itself, and what follows it is known: no byte can be another one
// unnoticed, and an archive that ends before its manifest is not whole.

const (
	archiveFormat = 1
	manifestName  = "manifest.json"
	storeFolder   = "store/"
	// MasterKeyName is the master key's name in a backup.
	MasterKeyName = "master.key"

	mostManifest  = 256 << 20
	mostMasterKey = 4 << 10
)

// Manifest is what a backup says of itself.
type Manifest struct {
	Format  int
	Program string    // version of the program that wrote it
	Store   string    // the store's id
	Taken   time.Time // everything acknowledged before is in it
	Files   []BackupFile
	Before  string // SHA-256 of all that stands before the manifest
	Digest  string // SHA-256 of the manifest without this line's value
}

// BackupFile is one file of a backup.
type BackupFile struct {
	Name   string
	Size   int64 // bytes
	SHA256 string
}

// Size is the size of all files, in bytes.
func (m *Manifest) Size() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// Holds tells whether the backup has a file of a name.
func (m *Manifest) Holds(name string) bool {
	return slices.ContainsFunc(m.Files, func(f BackupFile) bool { return f.Name == name })
}

func (m Manifest) digest() (string, error) {
	m.Digest = ""
	text, err := json.Marshal(m)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), err
}

// member begins a file in an archive. Everything that an archive could vary in
// is left at zero.
func member(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, Format: tar.FormatUSTAR}
}

// tail is the end of a backup: the manifest and the archive's own end.
func (m Manifest) tail() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	err = w.WriteHeader(member(manifestName, int64(len(text))))
	if err == nil {
		_, err = w.Write(text)
	}
	return out.Bytes(), errors.Join(err, w.Close())
}

// archiver writes a backup.
type archiver struct {
	out io.Writer // what the backup is written to
	sum hash.Hash // of what was written
	tar *tar.Writer
	m   Manifest
}

func newArchiver(w io.Writer, m Manifest) *archiver {
	m.Format, m.Files, m.Before, m.Digest = archiveFormat, nil, "", ""
	a := &archiver{out: w, sum: sha256.New(), m: m}
	a.tar = tar.NewWriter(io.MultiWriter(w, a.sum))
	return a
}

// add adds a file.
func (a *archiver) add(name string, size int64, r io.Reader) error {
	if err := a.tar.WriteHeader(member(name, size)); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(a.tar, sum), io.LimitReader(r, size), make([]byte, 256<<10))
	if err == nil && n < size {
		err = fmt.Errorf("%s has ended after %d bytes of %d", name, n, size)
	}
	a.m.Files = append(a.m.Files, BackupFile{name, size, hex.EncodeToString(sum.Sum(nil))})
	return err
}

// finish writes the manifest, and gives it.
func (a *archiver) finish() (Manifest, error) {
	if err := a.tar.Flush(); err != nil { // what fills the last block
		return a.m, err
	}
	a.m.Before = hex.EncodeToString(a.sum.Sum(nil))
	var err error
	if a.m.Digest, err = a.m.digest(); err != nil {
		return a.m, err
	}
	tail, err := a.m.tail()
	if err == nil {
		_, err = a.out.Write(tail)
	}
	return a.m, err
}

// tape reads an archive, and knows the digest of what was read without the
// block that was read last.
type tape struct {
	r    io.Reader
	sum  hash.Hash
	last []byte // read, and not in sum yet
}

func (t *tape) Read(p []byte) (int, error) {
	_, _ = t.sum.Write(t.last) // never fails
	n, err := io.ReadFull(t.r, p)
	t.last = append(t.last[:0], p[:n]...)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // the next read tells
	}
	return n, err
}

// damaged says what is wrong with a backup.
func damaged(format string, args ...any) error {
	return tributary.Errorf(tributary.Invalid, "read backup", "the backup is damaged, or is none: "+format+". Use another copy of it, or another backup", args...)
}

// ReadBackup reads a backup to its end and hands out its files, each to be read
// before the function returns. What it was given is the backup's if ReadBackup
// returns without an error, not before.
//
// Errors: Invalid if the archive is cut short, altered or of another format;
// those of file, and of reading.
func ReadBackup(r io.Reader, file func(name string, size int64, r io.Reader) error) (Manifest, error) {
	t := &tape{r: r, sum: sha256.New()}
	archive := tar.NewReader(t)
	var found []BackupFile
	seen := map[string]bool{}
	for {
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return Manifest{}, damaged("it ends before its manifest")
		case errors.Is(err, tar.ErrHeader) && len(found) == 0:
			return Manifest{}, damaged("it is no tar archive, or a compressed one")
		case errors.Is(err, tar.ErrHeader):
			return Manifest{}, damaged("it is no tar archive behind its first %d files", len(found))
		case err != nil:
			return Manifest{}, unread(err)
		case h.Name == manifestName:
			return readManifest(t, archive, h, found)
		}
		if err := checkMember(h, seen[h.Name]); err != nil {
			return Manifest{}, err
		}
		seen[h.Name] = true
		sum := sha256.New()
		content := io.TeeReader(archive, sum)
		if err = file(h.Name, h.Size, content); err == nil {
			_, err = io.Copy(io.Discard, content)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return Manifest{}, damaged("it ends within %s", h.Name)
		} else if err != nil {
			return Manifest{}, err
		}
		found = append(found, BackupFile{h.Name, h.Size, hex.EncodeToString(sum.Sum(nil))})
	}
}

func unread(err error) error { return fmt.Errorf("the backup cannot be read: %w", err) }

var fileNamePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,90}$`)

// checkMember refuses what no backup holds: above all names that lead out of
// the folder that it is unpacked to.
func checkMember(h *tar.Header, again bool) error {
	name, inStore := strings.CutPrefix(h.Name, storeFolder)
	switch {
	case h.Typeflag != tar.TypeReg || !(h.Name == MasterKeyName || inStore && fileNamePattern.MatchString(name)):
		return damaged("a file %.200q of type %q is in no backup", h.Name, h.Typeflag)
	case again:
		return damaged("it holds %s twice", h.Name)
	case h.Name == MasterKeyName && h.Size > mostMasterKey:
		return damaged("its master key has %d bytes", h.Size)
	}
	return nil
}

// readManifest reads the end of a backup, whose manifest's header was just
// read, and compares it with what was found before it.
func readManifest(t *tape, archive *tar.Reader, h *tar.Header, found []BackupFile) (m Manifest, err error) {
	before, end := hex.EncodeToString(t.sum.Sum(nil)), slices.Clone(t.last)
	if h.Size > mostManifest {
		return m, damaged("its manifest has %d bytes", h.Size)
	}
	text, err := io.ReadAll(archive)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return m, damaged("it ends within its manifest")
	} else if err != nil {
		return m, unread(err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, damaged("its manifest cannot be read: %v", err)
	}
	if m.Format != archiveFormat {
		return m, tributary.Errorf(tributary.Invalid, "read backup", "the backup has format %d, this program reads format %d: use tributary %.40q, which wrote it", m.Format, archiveFormat, m.Program)
	}
	const more = 4 << 10 // than the end of an archive
	rest, err := io.ReadAll(io.LimitReader(t, more))
	if err != nil {
		return m, unread(err)
	}
	digest, err := m.digest()
	if err != nil {
		return m, err
	}
	if digest != m.Digest {
		return m, damaged("its manifest was altered")
	}
	want, err := m.tail()
	if err != nil {
		return m, err
	}
	if !bytes.Equal(want, slices.Concat(end, text, rest)) {
		return m, damaged("its end is not what it should be")
	}
	if err := sameFiles(found, m.Files); err != nil {
		return m, err
	}
	if m.Before != before {
		return m, damaged("what stands between its files was altered")
	}
	return m, nil
}

// sameFiles compares what an archive holds with its manifest.
func sameFiles(found, want []BackupFile) error {
	for i := range max(len(found), len(want)) {
		switch {
		case i >= len(want) || i < len(found) && found[i].Name != want[i].Name:
			return damaged("file %d is %s, which the manifest has not there", i+1, found[i].Name)
		case i >= len(found):
			return damaged("%s is missing", want[i].Name)
		case found[i] != want[i]:
			return damaged("%s was altered: it has %d bytes with the SHA-256 %s, the manifest says %d and %s",
				want[i].Name, found[i].Size, found[i].SHA256, want[i].Size, want[i].SHA256)
		}
	}
	return nil
}

// CopyBackup reads a backup and writes it again, perhaps with a master key.
// Errors as of [ReadBackup]: what was written is a backup if there is none.
func CopyBackup(w io.Writer, r io.Reader, masterKey []byte) (Manifest, error) {
	a := newArchiver(w, Manifest{})
	m, err := ReadBackup(r, a.add)
	if err != nil {
		return m, err
	}
	a.m.Program, a.m.Store, a.m.Taken = m.Program, m.Store, m.Taken
	if masterKey != nil && !m.Holds(MasterKeyName) {
		if err := a.add(MasterKeyName, int64(len(masterKey)), bytes.NewReader(masterKey)); err != nil {
			return m, err
		}
	}
	return a.finish()
}
