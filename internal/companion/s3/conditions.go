package s3

import (
	"net/http"
	"strings"
	"time"

	"github.com/rheostream/rheo/internal/api"
)

// Conditions are what must hold of an object for it to be read or written. Empty
// members ask for nothing.
type Conditions struct {
	IfMatch           string // ETags, by comma, or *
	IfNoneMatch       string
	IfModifiedSince   time.Time // of reads only
	IfUnmodifiedSince time.Time
}

// matchesETag says whether a list of ETags has that of o; * is any.
func matchesETag(list string, o *object) bool {
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || strings.Trim(tag, `"`) == strings.Trim(o.ETag(), `"`) {
			return true
		}
	}
	return false
}

// read says whether o may be read; notModified that its reader has it already.
// prefix is put before the names of conditions in errors.
func (c *Conditions) read(o *object, prefix string) (notModified bool, err error) {
	modified := time.UnixMilli(o.modified).Truncate(time.Second)
	switch {
	case c.IfMatch != "":
		if !matchesETag(c.IfMatch, o) {
			return false, preconditionFailed(prefix + "If-Match")
		}
	case !c.IfUnmodifiedSince.IsZero() && modified.After(c.IfUnmodifiedSince):
		return false, preconditionFailed(prefix + "If-Unmodified-Since")
	}
	switch {
	case c.IfNoneMatch != "":
		return matchesETag(c.IfNoneMatch, o), nil
	case !c.IfModifiedSince.IsZero():
		return !modified.After(c.IfModifiedSince), nil
	}
	return false, nil
}

// write says whether what there is at a key may be written over or deleted, and with
// which version of it. check says that the version matters.
func (c *Conditions) write(b *bucket, key string) (check bool, version uint64, err error) {
	if c.IfMatch == "" && c.IfNoneMatch == "" {
		return false, 0, nil
	}
	if c.IfNoneMatch != "" && c.IfNoneMatch != "*" || c.IfMatch != "" && c.IfNoneMatch != "" {
		return false, 0, &api.Error{Code: "NotImplemented", Status: http.StatusNotImplemented,
			Message: "A header you provided implies functionality that is not implemented", Fields: map[string]any{"Header": "If-None-Match"}}
	}
	r, ok := b.objects.Get(key)
	switch {
	case c.IfNoneMatch != "":
		if ok {
			return true, 0, preconditionFailed("If-None-Match")
		}
		return true, 0, nil
	case !ok:
		return true, 0, noSuchKey(key)
	}
	o, err := parseObject(r.stored)
	if err != nil {
		return true, 0, err
	}
	if !matchesETag(c.IfMatch, o) {
		return true, 0, preconditionFailed("If-Match")
	}
	return true, r.version, nil
}
