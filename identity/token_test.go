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

func sampleToken(t testing.TB, a *Authority) Token {
	return must[Token](t)(a.NewToken("photos", []string{"10.0.0.1:7940", "[::1]:7941"}, time.Hour, 3, noon))
}

func TestToken(t *testing.T) {
	a := newAuthority(t, "photos")
	want := sampleToken(t, a)
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

// ID3, ID4: a token is taken from whoever has it, until it expires, and only as the authority sealed it: what nodes keep of
// it, its number, is not enough.
func TestTokenIsSealed(t *testing.T) {
	a := newAuthority(t, "photos")
	good := sampleToken(t, a)
	if err := a.CheckToken(good, "photos", noon.Add(time.Hour-1)); err != nil {
		t.Error(err)
	}
	if other := sampleToken(t, a); other.ID == good.ID {
		t.Error("two tokens are one")
	}
	for what, c := range map[string]struct {
		change func(*Token)
		want   string
	}{
		"a longer life":   {func(t *Token) { t.Expires = t.Expires.Add(time.Hour) }, "has made no such token"},
		"another number":  {func(t *Token) { t.ID[3]++ }, "has made no such token"},
		"another node":    {func(t *Token) { t.Replace = 0 }, "has made no such token"},
		"another address": {func(t *Token) { t.Addresses = t.Addresses[:1] }, "has made no such token"},
		"ID4: no seal":    {func(t *Token) { clear(t.Seal[:]) }, "has made no such token"},
		"another cluster": {func(t *Token) { t.Cluster = "music" }, `the token is one of cluster "music"`},
	} {
		forged := good
		c.change(&forged)
		if err := a.CheckToken(forged, "photos", noon); errs.KindOf(err) != errs.AccessDenied || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ID3: %s: %v", what, err)
		}
	}
	if err := a.CheckToken(good, "photos", noon.Add(time.Hour)); errs.KindOf(err) != errs.AccessDenied || !strings.Contains(err.Error(), "expired at 2026-11-22T13:00:00Z") {
		t.Errorf("expired: %v", err)
	}
	if err := newAuthority(t, "photos").CheckToken(good, "photos", noon); errs.KindOf(err) != errs.AccessDenied {
		t.Errorf("of another authority: %v", err)
	}
	for _, d := range []time.Duration{0, -time.Hour, maxLifetime + 1} {
		if _, err := a.NewToken("photos", []string{"a:1"}, d, 0, noon); errs.KindOf(err) != errs.Invalid {
			t.Errorf("a token for %v: %v", d, err)
		}
	}
	many := make([]string, 2*MaxAddresses)
	for i := range many {
		many[i] = strings.Repeat("a", 250) + ":7940"
	}
	long := must[Token](t)(a.NewToken("photos", many, time.Hour, 0, noon))
	if back, err := ParseToken(long.Encode()); err != nil || len(back.Addresses) != MaxAddresses {
		t.Errorf("the longest token: %v", err)
	}
	if _, err := (&Authority{Cert: a.Cert}).NewToken("photos", []string{"a:1"}, time.Hour, 0, noon); errs.KindOf(err) != errs.NotPermitted {
		t.Errorf("without the key: %v", err)
	}
}

func FuzzToken(f *testing.F) {
	f.Add(sampleToken(f, newAuthority(f, "photos")).Encode())
	f.Add(tokenPrefix)
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := ParseToken(text)
		if err == nil && tok.Encode() != strings.TrimSpace(text) {
			t.Errorf("ID5: %q came back as %q", text, tok.Encode())
		}
	})
}

// The way of a request and its answer.
func TestJoin(t *testing.T) {
	a := newAuthority(t, "photos")
	priv := must[ed25519.PrivateKey](t)(NewKey())
	token := sampleToken(t, a)
	var wire bytes.Buffer
	if err := WriteMessage(&wire, must[Request](t)(NewRequest(token, priv, "10.0.0.4:7940"))); err != nil {
		t.Fatal(err)
	}
	req := must[Request](t)(ReadRequest(&wire))
	s, pub, err := req.Check()
	if err != nil || !reflect.DeepEqual(s, token) || !pub.Equal(priv.Public()) || req.Address != "10.0.0.4:7940" {
		t.Fatalf("request %+v, %v", req, err)
	}
	cert, err := a.Issue(Name{"photos", 4, noon.Unix()}, pub, noon)
	if err != nil {
		t.Fatal(err)
	}
	ans := Answer{
		Format: Format, Cluster: "photos", Node: 4, Certificate: cert.Raw, Authority: a.Cert.Raw, AuthorityKey: must[[]byte](t)(EncodeAuthorityKey(a)),
		Nodes: []Peer{{1, "10.0.0.1:7940"}, {4, "10.0.0.4:7940"}}, Shards: 4, Replicas: 3,
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
	_ = WriteMessage(&b, must[Request](f)(NewRequest(sampleToken(f, newAuthority(f, "photos")), must[ed25519.PrivateKey](f)(NewKey()), "h:1")))
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
