package control

import (
	"bytes"
	"encoding/json"
	"io"
	"time"

	"dfs/advice"
	"dfs/errs"
	"dfs/ids"
)

// Limits of the two lines, newline included (C1).
const (
	MaxRequest  = 4 << 10
	MaxResponse = 4 << 20
)

// Protocol is the version of requests and answers.
const Protocol = 1

// The commands.
const (
	CommandStatus = "status" // answer: Response.Status
	CommandStop   = "stop"   // begin an orderly shutdown; answered before it is done
	CommandToken  = "token"  // make a token to join with; Request.Lifetime, Request.Node; answer: Response.Token
	CommandRemove = "remove" // take Request.Node out of the cluster
	CommandLeave  = "leave"  // take the node itself out of the cluster, and stop
	CommandMove   = "move"   // Request.Node listens on Request.Address now
	CommandScrub  = "scrub"  // verify a part of the log from Request.From on; answer: Response.Scrub
)

// commands says how long the answer to each may take (C3). What changes the cluster needs the others' consent.
var commands = map[string]time.Duration{
	CommandStatus: Patience, CommandStop: Patience, CommandToken: Patience,
	CommandRemove: LongPatience, CommandLeave: LongPatience, CommandMove: LongPatience,
	CommandScrub: LongPatience,
}

// Request is what a tool asks.
type Request struct {
	Protocol int    `json:"protocol"`
	Command  string `json:"command"`

	Lifetime int64      `json:"lifetime,omitempty"` // of a token, in seconds
	Node     ids.NodeID `json:"node,omitempty"`     // token: the number to take over, 0 for a new one; remove, move: whom
	Force    bool       `json:"force,omitempty"`    // remove: also one that is there
	Address  string     `json:"address,omitempty"`
	From     uint64     `json:"from,omitempty"` // scrub: a position in the log
}

// Response is the answer: an error, or what the command is to return.
type Response struct {
	Error  *Failure `json:"error,omitempty"`
	Status *Status  `json:"status,omitempty"`
	Token  string   `json:"token,omitempty"`
	Scrub  *Scrub   `json:"scrub,omitempty"`
}

// Scrub is what was found in a part of the log.
type Scrub struct {
	Next     uint64   `json:"next"` // where to go on
	Done     bool     `json:"done"` // that was the end
	Records  int64    `json:"records"`
	Bytes    int64    `json:"bytes"`
	Repaired int64    `json:"repaired"`
	Damaged  []string `json:"damaged,omitempty"` // what could not be repaired
}

// Failure is an error on its way through the socket.
type Failure struct {
	Kind errs.Kind `json:"kind"`
	Text string    `json:"text"`
	Hint string    `json:"hint,omitempty"`
}

// failure packs err.
func failure(err error) Response {
	return Response{Error: &Failure{Kind: errs.KindOf(err), Text: err.Error(), Hint: advice.Of(err)}}
}

// err unpacks it.
func (f *Failure) err() error {
	err := errs.New(f.Kind, "%s", f.Text)
	if f.Hint != "" {
		return advice.Add(err, "%s", f.Hint)
	}
	return err
}

// DecodeRequest reads and checks one request (C1, C2).
func DecodeRequest(r io.Reader) (Request, error) {
	var req Request
	if err := decodeLine(r, MaxRequest, &req); err != nil {
		return Request{}, err
	}
	if req.Protocol != Protocol {
		err := errs.New(errs.NotSupported, "the node speaks protocol %d, the request is of protocol %d", Protocol, req.Protocol)
		return Request{}, advice.Add(err, "use the dfs program that the node was started with")
	}
	if commands[req.Command] == 0 {
		return Request{}, errs.New(errs.NotSupported, "unknown command %q", req.Command)
	}
	return req, nil
}

// DecodeResponse reads one answer.
func DecodeResponse(r io.Reader) (Response, error) {
	var resp Response
	err := decodeLine(r, MaxResponse, &resp)
	return resp, err
}

// decodeLine reads one line of at most limit bytes and decodes it strictly.
func decodeLine(r io.Reader, limit int, into any) error {
	line, err := readLine(r, limit)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return errs.Wrap(errs.Invalid, err, "message is not understood")
	}
	if dec.More() {
		return errs.New(errs.Invalid, "message has something behind its end")
	}
	return nil
}

// readLine reads up to a newline or the end, keeping no more than limit bytes.
func readLine(r io.Reader, limit int) ([]byte, error) {
	var line []byte
	chunk := make([]byte, 1024)
	for {
		n, err := r.Read(chunk)
		line = append(line, chunk[:n]...)
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			line, err = line[:end], io.EOF
		}
		switch {
		case len(line) > limit:
			return nil, errs.New(errs.TooLarge, "message is longer than %d bytes", limit)
		case err == io.EOF && len(line) == 0:
			return nil, errs.New(errs.Unavailable, "the connection was closed without a message")
		case err == io.EOF:
			return line, nil
		case err != nil:
			return nil, errs.Wrap(errs.Unavailable, err, "read message")
		}
	}
}

// encodeLine writes v as one line.
func encodeLine(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "encode message")
	}
	_, err = w.Write(append(line, '\n'))
	return err
}
