package fusefs

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// acl encodes an access control list as the kernel does: tag, permissions and id of each entry.
func acl(entries ...[3]uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

// Access control lists are kept, inherited instead of the umask, and checked by the kernel, in the past too.
func TestAccessControlLists(t *testing.T) {
	m := mount(t)
	dir := filepath.Join(m.dir, "d")
	must(t, os.Mkdir(dir, 0o750))
	const none = 0xffffffff
	list := acl([3]uint32{1, 7, none}, [3]uint32{2, 5, 65534}, [3]uint32{4, 0, none}, [3]uint32{16, 5, none}, [3]uint32{32, 0, none})
	must(t, unix.Setxattr(dir, "system.posix_acl_access", list, 0))
	must(t, unix.Setxattr(dir, "system.posix_acl_default", list, 0))
	old := unix.Umask(0o077)
	write(t, filepath.Join(dir, "f"), "for you")
	unix.Umask(old)
	if got := stat(t, filepath.Join(dir, "f")).Mode & 0o777; got != 0o640 {
		t.Errorf("mode %o: the default list was not inherited", got)
	}
	listed := m.moment()
	as := func(user, path string) error {
		out, err := m.run("setpriv --reuid " + user + " --regid " + user + " --clear-groups cat " + path)
		if err != nil {
			return syscall.EACCES
		}
		if out != "for you" {
			t.Errorf("%s reads %q", path, out)
		}
		return nil
	}
	want(t, "who is in the list", as("65534", "d/f"), 0)
	want(t, "who is not", as("65533", "d/f"), syscall.EACCES)
	must(t, unix.Removexattr(filepath.Join(dir, "f"), "system.posix_acl_access"))
	want(t, "without the list", as("65534", "d/f"), syscall.EACCES)
	want(t, "with the list then", as("65534", "d/f@t="+listed), 0)
	// The mask makes the permission bits of the directory say more than the group has; so @history needs the list too.
	if _, err := m.run("setpriv --reuid 65533 --regid 0 --clear-groups ls d/@history"); err == nil {
		t.Error("the group, which may not read the directory, reads its history")
	}
	if _, err := m.run("setpriv --reuid 65534 --regid 65534 --clear-groups ls d/@history"); err != nil {
		t.Errorf("who may read the directory may not read its history: %v", err)
	}
}
