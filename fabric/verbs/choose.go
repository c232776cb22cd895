package verbs

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"
)

// port is one address of a port of an adapter.
type port struct {
	device   string
	number   int
	gidIndex int
	gid      [16]byte
	words    int // that one write stores in order (Q3)
}

// choose takes, of the adapters found, the one configured, else one that has the address that the node
// listens on, else the first that fits. It reads what the kernel says of them below sys and proc.
func choose(found []string, c Config, root fs.FS) (port, error) {
	if c.Device != "" && !slices.Contains(found, c.Device) {
		return port{}, fmt.Errorf("there is no adapter %s; there is: %s", c.Device, strings.Join(append(found, "none")[:max(1, len(found))], ", "))
	}
	var mine net.IP
	if c.TCP.Listener != nil {
		if a, ok := c.TCP.Listener.Addr().(*net.TCPAddr); ok {
			mine = a.IP.To16()
		}
	}
	var best *port
	reason := "this machine has no RDMA adapter"
	for _, name := range found {
		if c.Device != "" && name != c.Device {
			continue
		}
		words, why := wholeWords(name, root)
		if why != "" {
			reason = why
			continue
		}
		for _, p := range ports(name, root) {
			p.words = words
			if best == nil || mine != nil && net.IP(p.gid[:]).Equal(mine) {
				best = &p
			}
		}
		if best == nil {
			reason = fmt.Sprintf("adapter %s has no active port with an address", name)
		}
	}
	if best == nil {
		return port{}, fmt.Errorf("%s", reason)
	}
	return *best, nil
}

// wholeWords returns how many words a write to the adapter stores whole and in ascending order. A card stores a
// cache line at once. Software copies with the kernel's memcpy, which keeps to whole words in order only
// below 32 bytes, and, where the processor copies strings of bytes fast, not even then.
func wholeWords(name string, root fs.FS) (words int, why string) {
	if _, err := fs.Stat(root, "sys/class/infiniband/"+name+"/device"); err == nil {
		return 8, ""
	}
	info, _ := fs.ReadFile(root, "proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		label, flags, _ := strings.Cut(line, ":")
		if strings.TrimSpace(label) != "flags" {
			continue
		}
		for _, flag := range strings.Fields(flags) {
			if flag == "erms" || flag == "fsrm" {
				return 0, fmt.Sprintf("adapter %s is software, which on this processor (%s) copies words in parts", name, flag)
			}
		}
		break
	}
	return 3, ""
}

// ports returns the addresses of the active ports of an adapter, the best first: RoCE v2 before InfiniBand and
// others, IPv4 before link-local.
func ports(name string, root fs.FS) (all []port) {
	top := "sys/class/infiniband/" + name + "/ports"
	dirs, _ := fs.ReadDir(root, top)
	for _, dir := range dirs {
		number, err := strconv.Atoi(dir.Name())
		state, _ := fs.ReadFile(root, top+"/"+dir.Name()+"/state")
		if err != nil || number != 1 || !strings.Contains(string(state), "ACTIVE") {
			continue // queue pairs are made for port 1
		}
		gids, _ := fs.ReadDir(root, top+"/"+dir.Name()+"/gids")
		for _, g := range gids {
			index, err := strconv.Atoi(g.Name())
			text, _ := fs.ReadFile(root, top+"/"+dir.Name()+"/gids/"+g.Name())
			gid, ok := parseGID(string(text))
			if err != nil || !ok {
				continue // most of a thousand are empty
			}
			kind, err := fs.ReadFile(root, top+"/"+dir.Name()+"/gid_attrs/types/"+g.Name())
			if err != nil || strings.Contains(string(kind), "RoCE v1") {
				continue
			}
			all = append(all, port{device: name, number: number, gidIndex: index, gid: gid})
		}
	}
	rank := func(p port) int {
		if ip := net.IP(p.gid[:]); ip.To4() != nil {
			return 0
		} else if !ip.IsLinkLocalUnicast() {
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b port) int { return rank(a)*1000 + a.gidIndex - rank(b)*1000 - b.gidIndex })
	return all
}

// parseGID reads a gid as the kernel prints it.
func parseGID(s string) (gid [16]byte, ok bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(s), ":", ""))
	if err != nil || len(b) != 16 || [16]byte(b) == gid {
		return gid, false
	}
	return [16]byte(b), true
}
