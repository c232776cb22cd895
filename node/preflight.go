package node

import (
	"errors"
	"io/fs"
	"net"
	"slices"

	"dfs/advice"
	"dfs/errs"
	"dfs/mountpoint"

	"golang.org/x/sys/unix"
)

// fuseDevice is where the kernel offers FUSE.
const fuseDevice = "/dev/fuse"

// preflight checks what can be checked before anything is changed (ND2): the configuration, FUSE, the mount
// point and the address. The listener is nil for a node alone.
func preflight(c Config) (net.Listener, error) {
	if err := c.Validate(); err != nil {
		return nil, adviseConfig(err)
	}
	if c.Mount != "" {
		if err := mountpoint.CheckFUSE(fuseDevice); err != nil {
			return nil, err
		}
		if err := mountpoint.Check(c.Mount); err != nil {
			return nil, err
		}
	}
	if c.Listen == "" {
		return nil, nil
	}
	if err := checkSecure(c); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, adviseListen(err, c.Listen)
	}
	return l, nil
}

// adviseListen explains why an address cannot be listened on.
func adviseListen(err error, address string) error {
	_, port, _ := net.SplitHostPort(address)
	var dns *net.DNSError
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		err := errs.New(errs.Busy, "listen: port %s is in use on %s", port, address)
		return advice.Add(err, "see who has it: ss -ltnp 'sport = :%s'   (or choose another port)", port)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		err := errs.New(errs.Invalid, "listen: %s is not an address of this machine", address)
		return advice.Add(err, "see its addresses: ip -brief address")
	case errors.Is(err, fs.ErrPermission):
		return advice.Add(errs.Wrap(errs.AccessDenied, err, "listen on %s", address), "choose a port above 1023")
	case errors.As(err, &dns):
		return advice.Add(errs.Wrap(errs.NotFound, err, "listen on %s", address), "give the address as numbers, or check /etc/hosts")
	}
	return errs.Wrap(errs.IO, err, "listen on %s", address)
}

// checkSecure refuses to send over a network what everybody there could read and change (ND5).
func checkSecure(c Config) error {
	if c.Insecure || hasKeys(c.Data) {
		return nil
	}
	addresses := []string{c.Listen}
	for _, address := range c.addresses() {
		addresses = append(addresses, address)
	}
	slices.Sort(addresses)
	for _, address := range addresses {
		if !isLoopback(address) {
			err := errs.New(errs.NotPermitted, "%s is not on this machine, and nodes without certificates would talk in the clear", address)
			return advice.Add(err, "make a cluster with certificates: dfs init --help   (or --insecure, if nobody else is on that network)")
		}
	}
	return nil
}
