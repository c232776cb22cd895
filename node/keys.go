package node

import (
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dfs/advice"
	"dfs/errs"
	"dfs/identity"
)

// The files of keysName, a directory of mode 0700 in the data directory of a node whose cluster has an authority.
const (
	keysName         = "keys"
	authorityCrtName = "authority.crt"
	authorityKeyName = "authority.key" // mode 0600; see package identity for who has it
	nodeCrtName      = "node.crt"
	nodeKeyName      = "node.key" // mode 0600
)

// hasKeys reports whether the data directory is one of a cluster with an authority.
func hasKeys(data string) bool {
	_, err := os.Stat(filepath.Join(data, keysName, nodeCrtName))
	return err == nil
}

// loadNodeKey returns the key of this node, a new one if there is none yet.
func loadNodeKey(data string) (ed25519.PrivateKey, error) {
	dir := filepath.Join(data, keysName)
	path := filepath.Join(dir, nodeKeyName)
	text, err := os.ReadFile(path)
	if err == nil {
		return decodeFile(path, text, identity.DecodeKey)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Wrap(errs.IO, err, "read the key of this node")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, errs.Wrap(errs.IO, err, "make %s", dir)
	}
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	if text, err = identity.EncodeKey(key); err != nil {
		return nil, err
	}
	return key, replaceFile(path, text)
}

// saveCertificate writes the certificate of this node.
func saveCertificate(data string, der []byte) error {
	return replaceFile(filepath.Join(data, keysName, nodeCrtName), identity.EncodeCertificate(der))
}

// saveAuthority writes the authority, with its key if that is known.
func saveAuthority(data string, a *identity.Authority) error {
	dir := filepath.Join(data, keysName)
	if a.Key != nil {
		text, err := identity.EncodeKey(a.Key)
		if err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(dir, authorityKeyName), text); err != nil {
			return err
		}
	}
	return replaceFile(filepath.Join(dir, authorityCrtName), identity.EncodeCertificate(a.Cert.Raw))
}

// loadCredentials reads what this node shows to others; nil where the cluster has no authority.
func loadCredentials(data string, clock func() time.Time) (*identity.Credentials, error) {
	if !hasKeys(data) {
		return nil, nil
	}
	files := map[string][]byte{}
	for _, name := range []string{authorityCrtName, authorityKeyName, nodeCrtName, nodeKeyName} {
		text, err := os.ReadFile(filepath.Join(data, keysName, name))
		if err != nil && (name != authorityKeyName || !errors.Is(err, fs.ErrNotExist)) {
			return nil, errs.Wrap(errs.IO, err, "read the keys of this node")
		}
		files[name] = text
	}
	c, err := decodeCredentials(files, clock)
	if err != nil {
		err = errs.Wrap(errs.KindOf(err), err, "%s", filepath.Join(data, keysName))
		return nil, advice.Add(err, "restore that directory from a backup, or replace this node: dfs node replace, on another one")
	}
	return c, nil
}

func decodeCredentials(files map[string][]byte, clock func() time.Time) (*identity.Credentials, error) {
	var authorityKey ed25519.PrivateKey
	var err error
	if text := files[authorityKeyName]; text != nil {
		if authorityKey, err = decodeFile(authorityKeyName, text, identity.DecodeKey); err != nil {
			return nil, err
		}
	}
	der, err := decodeFile(authorityCrtName, files[authorityCrtName], identity.DecodeCertificate)
	if err != nil {
		return nil, err
	}
	authority, err := identity.ParseAuthority(der, authorityKey)
	if err != nil {
		return nil, err
	}
	key, err := decodeFile(nodeKeyName, files[nodeKeyName], identity.DecodeKey)
	if err != nil {
		return nil, err
	}
	if der, err = decodeFile(nodeCrtName, files[nodeCrtName], identity.DecodeCertificate); err != nil {
		return nil, err
	}
	return identity.NewCredentials(authority, der, key, clock)
}

// decodeFile names the file in the error.
func decodeFile[T any](path string, text []byte, decode func([]byte) (T, error)) (T, error) {
	v, err := decode(text)
	if err != nil {
		err = errs.Wrap(errs.KindOf(err), err, "%s", path)
	}
	return v, err
}
