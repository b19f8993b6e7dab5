//go:build freebsd || dragonfly || netbsd || openbsd

package vfs

import "os"

func syncFile(f *os.File) error               { return f.Sync() }
func reserve(f *os.File, size int64) error    { return reserveByZeros(f, size) }
func dontNeed(f *os.File, off int64, n int64) {}

func writeOut(*os.File, int64, int64) {}
func openDirect(*os.File) *os.File    { return nil }
func refusesDirect(error) bool        { return false }
