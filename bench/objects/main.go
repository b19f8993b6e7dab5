// Command objects compares rheo's S3 with versitygw, a gateway from S3 to a file system,
// on one disk in one run: PUT and GET of objects of 64 KiB and 8 MiB, by one client
// and by sixteen.
//
// Both verify signatures and the SHA-256 of every body. What they promise is not
// the same, and the table says so: rheo answers a PUT when the object is on disk
// (file and folder synced, the index's command in a synced journal), versitygw when
// the file system has it in memory.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	accessKey = "AKIDRHEOBENCH0000001"
	secretKey = "bench/0123456789abcdefghijklmnopqrstuvwx"
	region    = "us-east-1"
)

func main() {
	rheo := flag.String("rheo", "out/bin.tmp/rheo", "binary of rheo")
	gateway := flag.String("versitygw", "out/bin.tmp/versitygw", "binary of versitygw")
	dir := flag.String("dir", "out/data.tmp/objects", "folder of the servers' files")
	least := flag.Duration("least", 5*time.Second, "measure each row for this long")
	rounds := flag.Int("rounds", 3, "rounds")
	flag.Parse()
	if err := run(*rheo, *gateway, *dir, *least, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "objects:", err)
		os.Exit(1)
	}
}

type row struct {
	method  string
	size    int
	clients int
}

func (r row) String() string {
	return fmt.Sprintf("%s %s, %d at a time", r.method, map[int]string{64 << 10: "64 KiB", 8 << 20: "8 MiB"}[r.size], r.clients)
}

var rows = []row{
	{"PUT", 64 << 10, 1}, {"PUT", 64 << 10, 16}, {"GET", 64 << 10, 1}, {"GET", 64 << 10, 16},
	{"PUT", 8 << 20, 1}, {"PUT", 8 << 20, 16}, {"GET", 8 << 20, 1}, {"GET", 8 << 20, 16},
}

func run(rheo, gateway, dir string, least time.Duration, rounds int) error {
	servers := []string{"rheo", "versitygw"}
	rates := map[string]map[row][]float64{"rheo": {}, "versitygw": {}}
	for range rounds {
		for _, name := range servers {
			folder := filepath.Join(dir, name)
			if err := errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o700)); err != nil {
				return err
			}
			s, err := start(name, map[string]string{"rheo": rheo, "versitygw": gateway}[name], folder)
			if err != nil {
				return err
			}
			for _, r := range rows {
				rate, err := s.measure(r, least)
				if err != nil {
					s.stop()
					return fmt.Errorf("%s, %s: %w", name, r, err)
				}
				rates[name][r] = append(rates[name][r], rate)
			}
			s.stop()
			os.RemoveAll(folder)
		}
	}
	fmt.Println("| name | unit | rheo (synced before it is answered) | versitygw (not synced) |\n| --- | --- | --- | --- |")
	for _, r := range rows {
		fmt.Printf("| %s | MB/s |", r)
		for _, name := range servers {
			all := rates[name][r]
			slices.Sort(all)
			fmt.Printf(" %.1f (%.1f to %.1f) |", all[len(all)/2], all[0], all[len(all)-1])
		}
		fmt.Println()
	}
	return nil
}

type server struct {
	addr string
	cmd  *exec.Cmd
	http *http.Client
}

func start(name, binary, folder string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	s := &server{addr: addr, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}}
	if name == "rheo" {
		s.cmd = exec.Command(binary, "serve", "--data", folder, "--port", port, "--http1-port", "-1", "--keys", accessKey+":"+secretKey)
	} else {
		s.cmd = exec.Command(binary, "--access", accessKey, "--secret", secretKey, "--region", region, "--port", addr, "--keep-alive", "--quiet", "posix", folder)
	}
	var log bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &log, &log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for range 3000 {
		if _, err := s.do("PUT", "/bench", nil, emptySHA256); err == nil {
			return s, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.stop()
	return nil, fmt.Errorf("%s does not answer: %s", name, log.String())
}

func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
}

// measure returns MB/s of a row.
func (s *server) measure(r row, least time.Duration) (float64, error) {
	data := make([]byte, r.size)
	rand.NewChaCha8([32]byte{}).Read(data)
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:])
	body := data
	if r.method == "GET" {
		for client := range r.clients {
			if _, err := s.do("PUT", key(r, client, 0), data, hash); err != nil {
				return 0, err
			}
		}
		body, hash = nil, emptySHA256
	}
	var moved atomic.Int64
	var failed atomic.Pointer[error]
	var g sync.WaitGroup
	began := time.Now()
	for client := range r.clients {
		g.Go(func() {
			for i := 0; time.Since(began) < least && failed.Load() == nil; i++ {
				object := 0
				if r.method == "PUT" {
					object = i % 32
				}
				n, err := s.do(r.method, key(r, client, object), body, hash)
				if err == nil && r.method == "GET" && n != int64(r.size) {
					err = fmt.Errorf("%d bytes came", n)
				}
				if err != nil {
					failed.Store(&err)
					return
				}
				moved.Add(int64(r.size))
			}
		})
	}
	g.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(moved.Load()) / 1e6 / time.Since(began).Seconds(), nil
}

func key(r row, client, object int) string {
	return fmt.Sprintf("/bench/%d/client%d/object%d", r.size, client, object)
}

const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// do sends a signed request and reads the answer through.
func (s *server) do(method, path string, body []byte, hash string) (int64, error) {
	req, err := http.NewRequest(method, "http://"+s.addr+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	stamp := time.Now().UTC().Format("20060102T150405Z")
	const signed = "host;x-amz-content-sha256;x-amz-date"
	canonical := strings.Join([]string{method, path, "", "host:" + s.addr, "x-amz-content-sha256:" + hash, "x-amz-date:" + stamp, "", signed, hash}, "\n")
	scope := stamp[:8] + "/" + region + "/s3/aws4_request"
	sum := sha256.Sum256([]byte(canonical))
	mac := []byte("AWS4" + secretKey)
	for _, part := range []string{stamp[:8], region, "s3", "aws4_request", "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(sum[:])} {
		m := hmac.New(sha256.New, mac)
		m.Write([]byte(part))
		mac = m.Sum(nil)
	}
	req.Header.Set("X-Amz-Date", stamp)
	req.Header.Set("X-Amz-Content-Sha256", hash)
	req.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", accessKey, scope, signed, mac))
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return 0, fmt.Errorf("%s %s: %s %s", method, path, resp.Status, text)
	}
	return io.Copy(io.Discard, resp.Body)
}
