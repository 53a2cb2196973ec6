package driver

import (
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
	_ "github.com/ncruces/go-sqlite3/vfs/memdb" // stores the databases
)

// memoryVFS is the name of the VFS for in-memory databases that connections share. SQLite
// opens attached files, and the result of VACUUM INTO, with the VFS of the main database.
// With memdb they would be in memory too, and be lost.
const memoryVFS = "sqlitemw-memory"

func init() { vfs.Register(memoryVFS, memoryFS{}) }

// memoryNames is the prefix of the names of in-memory databases.
const memoryNames = "/:memory:/"

// A memoryFS takes in-memory databases from memdb, and all other files from the operating
// system.
type memoryFS struct{}

var _ vfs.VFSFilename = memoryFS{}

// inMemory reports whether a file belongs to an in-memory database or is temporary. It
// returns the file's name for memdb.
func inMemory(name string) (string, bool) {
	if name == "" {
		return name, true
	}
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(memoryNames, "/"))
	return rest, ok && strings.HasPrefix(rest, "/")
}

// Open implements [vfs.VFS].
func (memoryFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	memory, ok := inMemory(name)
	switch {
	case !ok:
		return vfs.Find("os").Open(name, flags)
	case flags&vfs.OPEN_MAIN_JOURNAL != 0:
		return &vfsutil.SliceFile{}, flags | vfs.OPEN_MEMORY, nil
	}
	return vfs.Find("memdb").Open(memory, flags)
}

// OpenFilename implements [vfs.VFSFilename].
func (fs memoryFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if _, ok := inMemory(name.String()); !ok {
		if os, ok := vfs.Find("os").(vfs.VFSFilename); ok {
			return os.OpenFilename(name, flags)
		}
	}
	return fs.Open(name.String(), flags)
}

// Delete implements [vfs.VFS].
func (memoryFS) Delete(name string, syncDir bool) error {
	if _, ok := inMemory(name); ok {
		return sqlite3.IOERR_DELETE_NOENT
	}
	return vfs.Find("os").Delete(name, syncDir)
}

// Access implements [vfs.VFS].
func (memoryFS) Access(name string, flags vfs.AccessFlag) (bool, error) {
	if _, ok := inMemory(name); ok {
		return false, nil
	}
	return vfs.Find("os").Access(name, flags)
}

// FullPathname implements [vfs.VFS].
func (memoryFS) FullPathname(name string) (string, error) {
	if _, ok := inMemory(name); ok {
		return name, nil
	}
	return vfs.Find("os").FullPathname(name)
}

// sharedMemory reports whether several connections share an in-memory database, and the DSN
// did not ask for memdb itself.
func (d *DSN) sharedMemory() bool {
	return d.shared || strings.HasPrefix(d.filename(), memoryNames) && d.vfs == "memdb"
}

// forBase returns the DSN for the plain driver.
func (d *DSN) forBase(ps []Pragma) string {
	if !d.sharedMemory() {
		return d.render(ps)
	}
	base := *d
	if path := d.filename(); !strings.HasPrefix(path, memoryNames) {
		base.path = escapePath(strings.TrimSuffix(memoryNames, "/") + path)
	}
	base.params = nil
	for _, p := range d.params {
		if strings.HasPrefix(p, "vfs=") {
			p = "vfs=" + memoryVFS
		}
		base.params = append(base.params, p)
	}
	return base.render(ps)
}
