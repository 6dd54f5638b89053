//go:build !unix

package store

// trusted takes the word of systems that keep a user's cache folder from others by means that lmkit does not read.
func trusted(file, root string) error { return nil }
