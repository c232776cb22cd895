package namespace

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"dfs/errs"
	"dfs/ids"
)

func (h *harness) claim(o Claim) ClaimRecord {
	h.t.Helper()
	r, err := DecodeClaimResult(h.must(o))
	if err != nil {
		h.t.Fatal(err)
	}
	return r.ClaimRecord
}

// T8: the first key has a token for ever; it may ask again, with another address until it has come.
func TestTokenIsClaimedOnce(t *testing.T) {
	h := newHarness(t)
	first := Claim{Token: TokenID{1}, Key: KeyHash{1}, Address: "a:1", Expires: 1000, Highest: 3}
	got := h.claim(first)
	if want := (ClaimRecord{State: Expected, Key: first.Key, Node: 4, Address: "a:1", At: int64(h.now), Expires: 1000}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	other := first
	other.Key, other.Address, other.Highest = KeyHash{2}, "b:1", 9
	if r := h.claim(other); r != got {
		t.Errorf("T8: another key gets %+v", r)
	}
	first.Address, first.Highest = "a:2", 9
	if r := h.claim(first); r.Node != 4 || r.Address != "a:2" {
		t.Errorf("asked again: %+v", r)
	}
	h.must(RaiseClaim{Token: first.Token, State: Closed})
	h.must(RaiseClaim{Token: first.Token, State: Expected}) // it does not go back
	first.Address = "a:3"
	if r := h.claim(first); r.State != Closed || r.Address != "a:2" {
		t.Errorf("after it came: %+v", r)
	}
	late := Claim{Token: TokenID{2}, Key: KeyHash{1}, Expires: int64(h.now) + 10}
	if kind, _ := h.do(late); kind != errs.AccessDenied {
		t.Errorf("expired: %v", kind)
	}
	if r := h.claim(other); r.Key != (KeyHash{1}) {
		t.Errorf("the used token is %+v", r)
	}
	if kind, _ := h.do(Claim{Token: TokenID{3}, Expires: 1 << 60, Highest: MaxNode}); kind != errs.Invalid {
		t.Errorf("T8: numbers begin anew: %v", kind)
	}
	h.check()
}

// T8: of those that are expected one has a number, and an address: the one that asked last.
func TestClaimsSupersede(t *testing.T) {
	h := newHarness(t)
	states := func() (all []string) {
		Claims(h.r(), func(t TokenID, r ClaimRecord) bool {
			all = append(all, fmt.Sprint(t[0], " ", r.State, " ", r.Node))
			return true
		})
		return all
	}
	claim := func(token byte, address string, replace ids.NodeID) {
		h.claim(Claim{Token: TokenID{token}, Key: KeyHash{token}, Address: address, Expires: 1 << 40, Replace: replace, Highest: 2})
	}
	claim(1, "a", 0)
	claim(2, "b", 0)
	claim(3, "a", 0) // the machine of 1 tries again with a new token
	claim(4, "c", 2)
	claim(5, "d", 2)
	if got, want := states(), []string{"1 3 3", "2 2 4", "3 2 5", "4 3 2", "5 1 2"}; !slices.Equal(got, want) {
		t.Errorf("T8: got %q, want %q", got, want)
	}
	h.check()
	h.now += 1<<40 + 40*24*3600e9
	claim6 := Claim{Token: TokenID{6}, Key: KeyHash{6}, Address: "e", Expires: int64(h.now) + 1000}
	if r := h.claim(claim6); r.Node != 6 {
		t.Errorf("T8: the next is node %d", r.Node)
	}
	if got, want := states(), []string{"2 2 4", "3 2 5", "5 1 2", "6 2 6"}; !slices.Equal(got, want) {
		t.Errorf("what is long over: got %q, want %q", got, want)
	}
}

// T8: whatever comes in which order, a token has one key, and no two have one number but by replacing.
func TestClaimsAtRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	h := newHarness(t)
	holder, number := map[TokenID]KeyHash{}, map[ids.NodeID]TokenID{}
	for range 3000 {
		o := Claim{
			Token: TokenID{byte(rng.IntN(40))}, Key: KeyHash{byte(rng.IntN(4))}, Address: fmt.Sprint(rng.IntN(30)),
			Expires: 20_000, Highest: ids.NodeID(rng.IntN(20)),
		}
		if rng.IntN(3) == 0 {
			h.must(RaiseClaim{Token: o.Token, State: ClaimState(1 + rng.IntN(3))})
			continue
		}
		kind, body := h.do(o)
		if kind == errs.AccessDenied && int64(h.now) >= o.Expires {
			continue
		}
		r, err := DecodeClaimResult(body)
		if kind != errs.OK || err != nil {
			t.Fatalf("%v, %v", kind, err)
		}
		if k, used := holder[o.Token]; used && k != r.Key || !used && r.Key != o.Key {
			t.Fatalf("T8: token %x was %x's, is %x's", o.Token, k, r.Key)
		}
		if by, given := number[r.Node]; given && by != o.Token {
			t.Fatalf("T8: node %d came with two tokens", r.Node)
		}
		holder[o.Token], number[r.Node] = r.Key, o.Token
		h.check()
	}
}
