package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// The Kinesis Agent keeps its checkpoints in a table of an SQLite database:
//
//	FILE_CHECKPOINTS(flow, path, fileId, lastModifiedTime, size, offset, lastUpdated)
//
// It is read once, when there are none of our own: the file's pages, as
// https://sqlite.org/fileformat.html has them, and of those only what a table of
// text and numbers needs.

const foreignBytesMax = 64 << 20

// readForeign reads such a file; one that is not there has nothing.
func readForeign(name string) ([]entry, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > foreignBytesMax {
		return nil, fmt.Errorf("it is not a file of up to %d bytes", foreignBytesMax)
	}
	for _, suffix := range []string{"-journal", "-wal"} {
		if left, err := os.Stat(name + suffix); err == nil && left.Size() > 0 {
			return nil, fmt.Errorf("%s%s is there: a transaction is not finished; stop the Kinesis Agent, or start it once more and stop it", name, suffix)
		}
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, nil // made, and never written
	}
	db, err := openDatabase(data)
	if err != nil {
		return nil, err
	}
	var root int64
	err = db.rows(1, func(row []any) error { // type, name, tbl_name, rootpage, sql
		if len(row) >= 4 && row[0] == "table" && strings.EqualFold(fmt.Sprint(row[1]), "FILE_CHECKPOINTS") {
			root, _ = row[3].(int64)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if root == 0 {
		return nil, errors.New("it has no table FILE_CHECKPOINTS")
	}
	var entries []entry
	err = db.rows(uint32(root), func(row []any) error {
		if len(row) < 6 {
			return fmt.Errorf("a row has %d columns", len(row))
		}
		flow, _ := row[0].(string)
		path, _ := row[1].(string)
		id, _ := row[2].(string)
		modified, _ := row[3].(int64)
		size, _ := row[4].(int64)
		offset, _ := row[5].(int64)
		e := entry{Flow: flow, Path: path, Offset: offset, Size: size, Modified: time.UnixMilli(modified)}
		if _, err := fmt.Sscanf(id, "(dev=%x,ino=%d)", &e.Device, &e.Inode); err != nil || flow == "" || path == "" || offset < 0 {
			return fmt.Errorf("the row of %q cannot be understood: file %q, offset %d", path, id, offset)
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}

// A database is an SQLite file whose tables can be read.
type database struct {
	data   []byte
	page   int // bytes
	usable int // of each page
}

var errDatabase = errors.New("the SQLite file is damaged")

func openDatabase(data []byte) (*database, error) {
	if len(data) < 100 || !bytes.HasPrefix(data, []byte("SQLite format 3\x00")) {
		return nil, errors.New("it is no SQLite file")
	}
	page := int(binary.BigEndian.Uint16(data[16:]))
	if page == 1 {
		page = 64 << 10
	}
	db := &database{data, page, page - int(data[20])}
	switch encoding := binary.BigEndian.Uint32(data[56:]); {
	case page < 512 || page&(page-1) != 0 || db.usable < 480:
		return nil, errDatabase
	case encoding > 1:
		return nil, fmt.Errorf("its text is UTF-16 (%d)", encoding)
	}
	return db, nil
}

func (db *database) at(n uint32) ([]byte, error) {
	end := int64(n) * int64(db.page)
	if n == 0 || end > int64(len(db.data)) {
		return nil, errDatabase
	}
	return db.data[end-int64(db.page) : end][:db.usable], nil
}

// rows yields the rows of the table whose tree has its root in a page.
func (db *database) rows(root uint32, yield func([]any) error) error {
	budget := len(db.data)/db.page + 1 // a page is in the tree once
	var walk func(n uint32) error
	walk = func(n uint32) error {
		if budget--; budget < 0 {
			return errDatabase
		}
		p, err := db.at(n)
		if err != nil {
			return err
		}
		head := 0
		if n == 1 {
			head = 100
		}
		kind, cells := p[head], int(binary.BigEndian.Uint16(p[head+3:]))
		first := head + 8
		if kind == 5 {
			first += 4
		}
		if kind != 5 && kind != 13 || first+2*cells > len(p) {
			return errDatabase
		}
		for i := range cells {
			cell := int(binary.BigEndian.Uint16(p[first+2*i:]))
			if cell+4 > len(p) {
				return errDatabase
			}
			if kind == 5 {
				if err := walk(binary.BigEndian.Uint32(p[cell:])); err != nil {
					return err
				}
				continue
			}
			payload, err := db.payload(p[cell:])
			if err != nil {
				return err
			}
			row, err := columns(payload)
			if err != nil {
				return err
			}
			if err := yield(row); err != nil {
				return err
			}
		}
		if kind == 5 {
			return walk(binary.BigEndian.Uint32(p[head+8:]))
		}
		return nil
	}
	return walk(root)
}

// payload is a cell's, with what overflows into other pages.
func (db *database) payload(cell []byte) ([]byte, error) {
	size, n := sqliteVarint(cell)
	_, m := sqliteVarint(cell[n:]) // the row's number
	if n == 0 || m == 0 || size > uint64(len(db.data)) {
		return nil, errDatabase
	}
	rest := cell[n+m:]
	total, local := int(size), int(size)
	if most := db.usable - 35; total > most {
		least := (db.usable-12)*32/255 - 23
		if local = least + (total-least)%(db.usable-4); local > most {
			local = least
		}
	}
	if local > len(rest) {
		return nil, errDatabase
	}
	out := append([]byte(nil), rest[:local]...)
	if local == total {
		return out, nil
	}
	if len(rest) < local+4 {
		return nil, errDatabase
	}
	for next := binary.BigEndian.Uint32(rest[local:]); len(out) < total; {
		p, err := db.at(next)
		if err != nil {
			return nil, err
		}
		next = binary.BigEndian.Uint32(p)
		out = append(out, p[4:4+min(total-len(out), len(p)-4)]...)
	}
	return out, nil
}

// columns takes a record apart: nil, int64, string, or bytes.
func columns(record []byte) ([]any, error) {
	size, n := sqliteVarint(record)
	if n == 0 || size > uint64(len(record)) || int(size) < n {
		return nil, errDatabase
	}
	types, body := record[n:size], record[size:]
	var row []any
	for len(types) > 0 {
		kind, n := sqliteVarint(types)
		if n == 0 {
			return nil, errDatabase
		}
		types = types[n:]
		width := 0
		switch {
		case kind <= 4:
			width = int(kind)
		case kind == 5:
			width = 6
		case kind <= 7:
			width = 8
		case kind <= 11:
		case (kind-12)/2 > uint64(len(body)):
			return nil, errDatabase
		default:
			width = int(kind-12) / 2
		}
		if width > len(body) {
			return nil, errDatabase
		}
		b := body[:width]
		body = body[width:]
		switch {
		case kind == 0 || kind == 7 || kind == 10 || kind == 11: // no float is of use here
			row = append(row, nil)
		case kind == 8 || kind == 9:
			row = append(row, int64(kind-8))
		case kind < 8:
			v := int64(int8(b[0]))
			for _, c := range b[1:] {
				v = v<<8 | int64(c)
			}
			row = append(row, v)
		case kind%2 == 0:
			row = append(row, bytes.Clone(b))
		default:
			row = append(row, string(b))
		}
	}
	return row, nil
}

// sqliteVarint is a number of one to nine bytes, the high ones first; n is 0 if it
// does not end.
func sqliteVarint(b []byte) (v uint64, n int) {
	for i := range min(len(b), 9) {
		if i == 8 {
			return v<<8 | uint64(b[8]), 9
		}
		v = v<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
