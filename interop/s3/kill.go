package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/rheostream/rheo/interop/daemon"
)

// An uploader uploads one object after the other, each in parts, and knows what was
// answered.
type uploader struct {
	name   string
	done   map[string]string // ETags of objects that were completed
	key    string            // of the upload under way
	id     *string
	parts  []types.CompletedPart // that were answered
	asked  bool                  // to be completed
	uneven int
}

const uploaders = 4

// killed kills a server again and again while objects are uploaded in parts, and
// checks after each start that what was answered is there: objects, uploads, parts.
// Uploads go on from where they were.
func killed(ctx context.Context, binary string, cycles int) error {
	dir, err := os.MkdirTemp("", "interop-s3-kill-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all := make([]*uploader, uploaders)
	for i := range all {
		all[i] = &uploader{name: fmt.Sprint("u", i), done: map[string]string{}}
	}
	for cycle := range cycles + 1 {
		var log bytes.Buffer
		d, err := daemon.Start(ctx, daemon.Config{Binary: binary, Dir: filepath.Join(dir, "data"), Log: &log})
		if err != nil {
			return fmt.Errorf("%w\n%s", err, log.String())
		}
		client := s3.New(s3.Options{Region: daemon.Region, BaseEndpoint: aws.String(d.URL()), UsePathStyle: true, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(daemon.AccessKey, daemon.SecretKey, "")})
		if cycle == 0 {
			if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("kill")}); err != nil {
				d.Kill()
				return err
			}
		}
		for _, u := range all {
			if err := u.check(ctx, client); err != nil {
				d.Kill()
				return fmt.Errorf("after %d kills: %w", cycle, err)
			}
		}
		if cycle == cycles {
			return tell(all, d)
		}
		load, stop := context.WithCancel(ctx)
		var g sync.WaitGroup
		for _, u := range all {
			g.Go(func() {
				for load.Err() == nil && u.step(load, client) {
				}
			})
		}
		time.Sleep(time.Duration(500+rand.IntN(2500)) * time.Millisecond)
		d.Kill()
		stop()
		g.Wait()
	}
	return nil
}

func tell(all []*uploader, d *daemon.Daemon) error {
	objects := 0
	for _, u := range all {
		objects += len(u.done)
	}
	if objects == 0 {
		d.Kill()
		return fmt.Errorf("no object was completed")
	}
	fmt.Printf("%d objects completed, all there\n", objects)
	return d.Stop()
}

// part is what is uploaded as a part: all uploads of a name have the same.
func (u *uploader) part(number int) []byte {
	n := partBytes
	if number == partsOfUpload {
		n = 1000
	}
	return random(byte(number)^u.name[1], n)
}

const partsOfUpload = 3

// step does one thing. It says false if that was not answered.
func (u *uploader) step(ctx context.Context, client *s3.Client) bool {
	bucket := aws.String("kill")
	switch {
	case u.id == nil:
		key := fmt.Sprintf("%s/%d", u.name, len(u.done)+u.uneven)
		out, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: &key})
		if err != nil {
			u.uneven++ // there may be an upload that nobody knows of
			return false
		}
		u.key, u.id, u.parts, u.asked = key, out.UploadId, nil, false
	case len(u.parts) < partsOfUpload:
		number := int32(len(u.parts) + 1)
		out, err := client.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: &u.key, UploadId: u.id, PartNumber: &number, Body: bytes.NewReader(u.part(int(number)))})
		if err != nil {
			return false
		}
		u.parts = append(u.parts, types.CompletedPart{ETag: out.ETag, PartNumber: &number})
	default:
		u.asked = true
		out, err := client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: &u.key, UploadId: u.id,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts}})
		if err != nil {
			return false
		}
		u.done[u.key], u.id = *out.ETag, nil
	}
	return true
}

// check compares what is there with what was answered.
func (u *uploader) check(ctx context.Context, client *s3.Client) error {
	bucket := aws.String("kill")
	for key, etag := range u.done {
		if err := u.checkObject(ctx, client, key, etag); err != nil {
			return err
		}
	}
	if u.id == nil {
		return nil
	}
	if u.asked { // asked again it must say yes, whether it was done or not
		out, err := client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: &u.key, UploadId: u.id,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts}})
		if err != nil {
			return fmt.Errorf("complete %s once more: %w", u.key, err)
		}
		u.done[u.key], u.id = *out.ETag, nil
		return u.checkObject(ctx, client, u.key, *out.ETag)
	}
	list, err := client.ListParts(ctx, &s3.ListPartsInput{Bucket: bucket, Key: &u.key, UploadId: u.id})
	if err != nil {
		return fmt.Errorf("parts of %s: %w", u.key, err)
	}
	have := map[int32]string{}
	for _, p := range list.Parts {
		have[*p.PartNumber] = *p.ETag
	}
	for _, p := range u.parts {
		if have[*p.PartNumber] != *p.ETag {
			return fmt.Errorf("part %d of %s is %q, and was answered as %q", *p.PartNumber, u.key, have[*p.PartNumber], *p.ETag)
		}
	}
	return nil
}

func (u *uploader) checkObject(ctx context.Context, client *s3.Client, key, etag string) error {
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("kill"), Key: &key})
	if err != nil {
		return fmt.Errorf("get %s: %w", key, err)
	}
	defer out.Body.Close()
	got := md5.New()
	if _, err := io.Copy(got, out.Body); err != nil {
		return fmt.Errorf("get %s: %w", key, err)
	}
	want := md5.New()
	for number := 1; number <= partsOfUpload; number++ {
		want.Write(u.part(number))
	}
	if *out.ETag != etag || hex.EncodeToString(got.Sum(nil)) != hex.EncodeToString(want.Sum(nil)) {
		return fmt.Errorf("%s has ETag %s, want %s, or other bytes", key, *out.ETag, etag)
	}
	return nil
}
