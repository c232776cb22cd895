package control

import (
	"context"
	"errors"
	"net"
	"time"

	"dfs/advice"
	"dfs/errs"

	"golang.org/x/sys/unix"
)

// ErrNotRunning says that no node serves the data directory.
var ErrNotRunning = errs.New(errs.Unavailable, "no node is running")

// Ask sends a request to the node of the data directory and returns its answer. errors.Is(err, ErrNotRunning)
// when there is none.
func Ask(ctx context.Context, data string, req Request) (Response, error) {
	dir, err := openDir(data)
	if err != nil {
		return Response{}, advice.Add(err, "name the data directory of a node with --data")
	}
	defer unix.Close(dir)
	patience := max(Patience, commands[req.Command])
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socketPath(dir))
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOENT):
		return Response{}, notRunning{data}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return Response{}, advice.Add(errs.Wrap(errs.AccessDenied, err, "talk to the node of %s", data), "run as the user that started the node, or as root")
	case err != nil:
		return Response{}, errs.Wrap(errs.Unavailable, err, "talk to the node of %s", data)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	req.Protocol = Protocol
	if err := encodeLine(conn, req); err != nil {
		return Response{}, errs.Wrap(errs.Unavailable, err, "ask the node of %s", data)
	}
	resp, err := DecodeResponse(conn)
	if err != nil {
		return Response{}, errs.Wrap(errs.KindOf(err), err, "ask the node of %s", data)
	}
	if resp.Error != nil {
		return Response{}, resp.Error.err()
	}
	return resp, nil
}

// GetStatus asks the node of the data directory for its status.
func GetStatus(ctx context.Context, data string) (*Status, error) {
	resp, err := Ask(ctx, data, Request{Command: CommandStatus})
	if err != nil {
		return nil, err
	}
	if resp.Status == nil {
		return nil, errs.New(errs.Corrupt, "the node of %s answered without a status", data)
	}
	return resp.Status, nil
}

// notRunning is ErrNotRunning with the directory.
type notRunning struct{ data string }

func (e notRunning) Error() string { return "no node is running with the data directory " + e.data }
func (e notRunning) Unwrap() error { return ErrNotRunning }
