package identity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"

	"dfs/advice"
	"dfs/errs"
)

func sampleToken() Token {
	t := Token{Expires: time.Unix(1795342927, 0), Replace: 3, Cluster: "photos", Addresses: []string{"10.0.0.1:7940", "[::1]:7941"}}
	for i := range t.Authority {
		t.Authority[i] = byte(i)
	}
	copy(t.Secret[:], "sixteen bytes !!")
	return t
}

func TestToken(t *testing.T) {
	want := sampleToken()
	text := want.Encode()
	if got, err := ParseToken(" " + text + "\n"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s came back as %+v, %v", text, got, err)
	}
	for i := range text {
		broken := []byte(text)
		if broken[i]++; broken[i] == 'z'+1 {
			broken[i] = 'a'
		}
		if _, err := ParseToken(string(broken)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("ID5: changed at %d: %v", i, err)
		}
		if _, err := ParseToken(text[:i]); errs.KindOf(err) != errs.Invalid {
			t.Errorf("ID5: cut at %d: %v", i, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add(sampleToken().Encode())
	f.Add("dfs1_")
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := ParseToken(text)
		if err == nil && tok.Encode() != strings.TrimSpace(text) {
			t.Errorf("ID5: %q came back as %q", text, tok.Encode())
		}
	})
}

func key(t testing.TB) ed25519.PublicKey {
	return must[ed25519.PrivateKey](t)(NewKey()).Public().(ed25519.PublicKey)
}

// ID3, ID4: a token is good for one key, until it expires, and the ledger does not know it.
func TestLedger(t *testing.T) {
	var l Ledger
	s, late := NewSecret(), NewSecret()
	k1, k2 := key(t), key(t)
	if err := l.Add(s, noon.Add(time.Hour), noon, 0); err != nil {
		t.Fatal(err)
	}
	if err := l.Add(late, noon.Add(time.Minute), noon, 4); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Redeem(late, k1, noon.Add(time.Minute)); err == nil || !strings.Contains(err.Error(), "expired at 2026-11-22T12:01:00Z") {
		t.Errorf("expired: %v", err)
	}
	if _, err := l.Redeem(NewSecret(), k1, noon); err == nil || !strings.Contains(err.Error(), "has made no such token") {
		t.Errorf("forged: %v", err)
	}
	issued, err := l.Redeem(s, k1, noon)
	if err != nil {
		t.Fatal(err)
	}
	issued.Used.Node, issued.Used.Address = 4, "10.0.0.4:7940"
	text := must[[]byte](t)(l.Encode())
	if bytes.Contains(text, s[:]) || strings.Contains(string(text), Token{Secret: s}.Encode()) {
		t.Error("ID4: the ledger knows the secret")
	}
	back := must[*Ledger](t)(DecodeLedger(text))
	if again, err := back.Redeem(s, k1, noon.Add(time.Minute)); err != nil || again.Used.Node != 4 {
		t.Errorf("ID3: the same key: %+v, %v", again, err)
	}
	if _, err := back.Redeem(s, k2, noon.Add(time.Minute)); err == nil ||
		!strings.Contains(err.Error(), "the token was used at 2026-11-22T12:00:00Z, by node 4 at 10.0.0.4:7940") {
		t.Errorf("ID3: another key: %v", err)
	}
	for _, d := range []time.Duration{0, -time.Hour, maxLifetime + 1} {
		if err := l.Add(NewSecret(), noon.Add(d), noon, 0); errs.KindOf(err) != errs.Invalid {
			t.Errorf("a token for %v: %v", d, err)
		}
	}
	if err := l.Add(NewSecret(), noon.Add(remembered*2+time.Hour), noon.Add(remembered*2), 0); err != nil || len(l.Tokens) != 1 {
		t.Errorf("old tokens are kept: %d, %v", len(l.Tokens), err)
	}
	for range maxUnused - 1 {
		if err := l.Add(NewSecret(), noon.Add(remembered*2+time.Hour), noon.Add(remembered*2), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Add(NewSecret(), noon.Add(remembered*2+time.Hour), noon.Add(remembered*2), 0); errs.KindOf(err) != errs.Busy {
		t.Errorf("without end: %v", err)
	}
}

func FuzzLedger(f *testing.F) {
	f.Add([]byte(`{"tokens":[{"hash":"00","expires":"2026-11-22T12:00:00Z","used":{"at":"2026-11-22T12:00:00Z","key":"","node":1,"address":"","done":true}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := DecodeLedger(b); err == nil {
			_, _ = l.Redeem(Secret{}, make(ed25519.PublicKey, ed25519.PublicKeySize), noon)
		}
	})
}

// The way of a request and its answer.
func TestJoin(t *testing.T) {
	a := newAuthority(t, "photos")
	priv := must[ed25519.PrivateKey](t)(NewKey())
	secret := NewSecret()
	var wire bytes.Buffer
	if err := WriteMessage(&wire, must[Request](t)(NewRequest(secret, priv, "10.0.0.4:7940"))); err != nil {
		t.Fatal(err)
	}
	req := must[Request](t)(ReadRequest(&wire))
	s, pub, err := req.Check()
	if err != nil || s != secret || !pub.Equal(priv.Public()) || req.Address != "10.0.0.4:7940" {
		t.Fatalf("request %+v, %v", req, err)
	}
	cert, err := a.Issue(Name{"photos", 4, noon.Unix()}, pub, noon)
	if err != nil {
		t.Fatal(err)
	}
	ans := Answer{
		Format: Format, Cluster: "photos", Node: 4, Certificate: cert.Raw, Authority: a.Cert.Raw, AuthorityKey: must[[]byte](t)(EncodeAuthorityKey(a)),
		Nodes: []Peer{{1, "10.0.0.1:7940"}, {4, "10.0.0.4:7940"}}, Highest: 4, Shards: 4, Replicas: 3,
	}
	if err := WriteMessage(&wire, ans); err != nil {
		t.Fatal(err)
	}
	back := must[Answer](t)(ReadAnswer(&wire))
	if got, err := back.Check(a.Fingerprint(), priv); err != nil || !reflect.DeepEqual(back, ans) || !got.Key.Equal(a.Key) {
		t.Errorf("answer %+v, %v", back, err)
	}
	if _, err := back.Check(newAuthority(t, "photos").Fingerprint(), priv); errs.KindOf(err) != errs.AccessDenied {
		t.Errorf("an answer of another cluster: %v", err)
	}
	if _, err := back.Check(a.Fingerprint(), must[ed25519.PrivateKey](t)(NewKey())); err == nil {
		t.Error("an answer for another key was accepted")
	}
	back.Node = 5
	if _, err := back.Check(a.Fingerprint(), priv); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("a certificate of another number: %v", err)
	}
	no := Failed(advice.Add(errs.New(errs.AccessDenied, "the token expired"), "dfs token create"))
	if err := no.Err(); errs.KindOf(err) != errs.AccessDenied || err.Error() != "the token expired" || advice.Of(err) != "dfs token create" {
		t.Errorf("failure %v", err)
	}
	req.CSR[len(req.CSR)-1] ^= 1
	if _, _, err := req.Check(); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a request that proves nothing: %v", err)
	}
}

// ID5: lengths are believed only as far as bytes come.
func TestMessageLimits(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want errs.Kind
	}{
		{nil, errs.Unavailable},
		{binary.LittleEndian.AppendUint32(nil, maxRequest+1), errs.TooLarge},
		{append(binary.LittleEndian.AppendUint32(nil, maxRequest), "{}"...), errs.Unavailable},
		{append(binary.LittleEndian.AppendUint32(nil, 4), "{}{}"...), errs.Invalid},
		{append(binary.LittleEndian.AppendUint32(nil, 9), `{"no": 1}`...), errs.Invalid},
	} {
		if _, err := ReadRequest(bytes.NewReader(c.b)); errs.KindOf(err) != c.want {
			t.Errorf("ID5: %q: %v, want %v", c.b, err, c.want)
		}
	}
}

func FuzzRequest(f *testing.F) {
	var b bytes.Buffer
	_ = WriteMessage(&b, must[Request](f)(NewRequest(Secret{}, must[ed25519.PrivateKey](f)(NewKey()), "h:1")))
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, p []byte) {
		if req, err := ReadRequest(bytes.NewReader(p)); err == nil {
			_, _, _ = req.Check()
		}
		if w, err := ReadWish(bytes.NewReader(p)); err == nil {
			_ = w.Check()
		}
	})
}

func FuzzAnswer(f *testing.F) {
	var b bytes.Buffer
	_ = WriteMessage(&b, Failed(errs.NotFound))
	f.Add(b.Bytes())
	priv := must[ed25519.PrivateKey](f)(NewKey())
	f.Fuzz(func(t *testing.T, p []byte) {
		if a, err := ReadAnswer(bytes.NewReader(p)); err == nil && a.Err() == nil {
			_, _ = a.Check(Fingerprint{}, priv)
		}
	})
}
