//go:build linux

package process

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

const egressConnectTimeout = 15 * time.Second

// serveEgress is the way out of an instance's network: an HTTP proxy whose every
// connection is opened by Config.Egress, and so by its rules. CONNECT is for TLS and
// whatever else speaks through it; plain requests are passed on.
func (r *Runner) serveEgress(l net.Listener) {
	transport := &http.Transport{
		DialContext:           r.config.Egress,
		MaxIdleConns:          16,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: 15 * time.Minute,
		DisableCompression:    true,
	}
	defer transport.CloseIdleConnections()
	server := &http.Server{
		ErrorLog:          r.httpErrors,
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Method == http.MethodConnect {
				r.tunnel(w, req)
				return
			}
			pass(transport, w, req)
		}),
	}
	server.Serve(l)
}

func (r *Runner) tunnel(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), egressConnectTimeout)
	to, err := r.config.Egress(ctx, "tcp", req.Host)
	cancel()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	from, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		to.Close()
		return
	}
	defer from.Close()
	if _, err := io.WriteString(from, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		to.Close()
		return
	}
	if n := buffered.Reader.Buffered(); n > 0 { // what was sent ahead
		early, _ := buffered.Reader.Peek(n)
		if _, err := to.Write(early); err != nil {
			to.Close()
			return
		}
	}
	splice(from, to)
}

// pass sends a request of absolute form on, and its answer back.
func pass(transport *http.Transport, w http.ResponseWriter, req *http.Request) {
	if !req.URL.IsAbs() || req.URL.Scheme != "http" {
		http.Error(w, "this is a proxy: it takes CONNECT and absolute http:// addresses", http.StatusBadRequest)
		return
	}
	out := req.Clone(req.Context())
	out.RequestURI = ""
	for _, h := range []string{"Proxy-Connection", "Proxy-Authorization", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade"} {
		out.Header.Del(h)
	}
	answer, err := transport.RoundTrip(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	for k, v := range answer.Header {
		w.Header()[k] = v
	}
	w.Header().Del("Connection")
	w.WriteHeader(answer.StatusCode)
	io.Copy(w, answer.Body)
}
