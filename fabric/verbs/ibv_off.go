//go:build !(linux && cgo && verbs)

package verbs

import "errors"

func findDevice(Config) (device, error) {
	return nil, errors.New("this program was built without RDMA")
}
