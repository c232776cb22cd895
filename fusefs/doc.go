// Package fusefs is being written.
package fusefs
