package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"

	"dfs/ids"
)

// process is a worker as its parent sees it.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	enc *json.Encoder
	dec *json.Decoder
}

// workers are the members as processes.
type workers struct {
	all  []*process
	view ids.ViewID
}

// startWorkers starts processes and has them join, each by the order with its rank and all addresses.
func startWorkers(ctx context.Context, n int, start func(context.Context) *exec.Cmd, join order) (_ *workers, err error) {
	w := &workers{}
	defer func() {
		if err != nil {
			_ = w.close()
		}
	}()
	var addrs []string
	for range n {
		p := &process{cmd: start(ctx)}
		if p.in, err = p.cmd.StdinPipe(); err != nil {
			return nil, err
		}
		out, err := p.cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		p.enc, p.dec = json.NewEncoder(p.in), json.NewDecoder(out)
		if err := p.cmd.Start(); err != nil {
			return nil, fmt.Errorf("start a member: %w", err)
		}
		w.all = append(w.all, p)
		r, err := p.answer()
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, r.Addr)
	}
	_, err = w.tell(func(r ids.Rank) order {
		join.Rank, join.Addrs = r, addrs
		return join
	})
	return w, err
}

// answer waits for a worker's reply.
func (p *process) answer() (r reply, err error) {
	if err := p.dec.Decode(&r); err != nil {
		return r, fmt.Errorf("a member process ended early: %w", err)
	}
	if r.Err != "" {
		return r, errors.New(r.Err)
	}
	return r, nil
}

// tell gives an order to all workers, and waits for their replies.
func (w *workers) tell(o func(r ids.Rank) order) ([]reply, error) {
	for r, p := range w.all {
		if err := p.enc.Encode(o(ids.Rank(r))); err != nil {
			return nil, fmt.Errorf("a member process is gone: %w", err)
		}
	}
	replies, all := make([]reply, len(w.all)), error(nil)
	for i, p := range w.all {
		var err error
		replies[i], err = p.answer()
		all = errors.Join(all, err)
	}
	return replies, all
}

func (w *workers) run(load Load, raw bool, profileName string) ([]Count, error) {
	w.view++
	_, err := w.tell(func(ids.Rank) order { return order{Do: "prepare", Load: load, Raw: raw, View: w.view} })
	if err != nil {
		return nil, err
	}
	replies, err := w.tell(func(r ids.Rank) order {
		o := order{Do: "go"}
		if profileName != "" {
			o.Profile = fmt.Sprintf("%s.%d", profileName, r+1)
		}
		return o
	})
	if err != nil {
		return nil, err
	}
	counts := make([]Count, len(replies))
	for i := range replies {
		counts[i] = replies[i].Count
	}
	_, err = w.tell(func(ids.Rank) order { return order{Do: "end"} })
	return counts, err
}

// close ends the workers: they end with their input.
func (w *workers) close() error {
	var all error
	for _, p := range w.all {
		_ = p.in.Close()
	}
	for _, p := range w.all {
		all = errors.Join(all, p.cmd.Wait())
	}
	return all
}
