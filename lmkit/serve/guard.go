package serve

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"mime"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// policy is what a page of this server may do: show its own styles and pictures (those of matrices hold their pixels as
// data), run its own script, and talk to nobody else.
const policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard is what every request passes before it is answered: who calls, by which name, from which page, with how much,
// and with which right.
func (s *Server) guard(next *http.ServeMux) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		route := "none"
		seen := &recorder{ResponseWriter: w}
		defer func() {
			if fault := recover(); fault != nil && fault != http.ErrAbortHandler {
				s.config.Log.Error("a fault of lmkit's own", "route", route, "fault", fmt.Sprint(fault),
					"stack", string(debug.Stack()))
				if seen.status == 0 {
					fail(seen, http.StatusInternalServerError, "a fault of lmkit's own; its log says more")
				}
			}
			s.count.answered(route, seen.status, time.Since(begin))
			s.config.Log.Info("answered", "method", r.Method, "route", route, "status", seen.status,
				"seconds", time.Since(begin).Seconds(), "bytes", seen.bytes)
		}()
		head := w.Header()
		head.Set("Content-Security-Policy", policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("Cache-Control", "no-store")
		if !s.mayCall(r.Host) {
			fail(seen, http.StatusMisdirectedRequest, fmt.Sprintf("this server is not called %q: use 127.0.0.1, or "+
				"start it with that name as --host", r.Host))
			return
		}
		if err := cross.Check(r); err != nil {
			fail(seen, http.StatusForbidden, "a page of another site asked for this")
			return
		}
		_, pattern := next.Handler(r)
		if pattern != "" {
			route = pattern
		}
		if s.signIn(seen, r) {
			return
		}
		if !s.trusts(r) && !open(r) {
			head.Set("WWW-Authenticate", "Bearer")
			fail(seen, http.StatusUnauthorized, "this server asks for its token: send it as Authorization: Bearer TOKEN, "+
				"or open /?token=TOKEN in a browser")
			return
		}
		if pattern == "" {
			elsewhere(seen, next, r)
			return
		}
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost &&
			strings.HasPrefix(r.URL.Path, "/v1/") && kind != "application/json" {
			fail(seen, http.StatusUnsupportedMediaType, "the body is to be JSON: send it with Content-Type: "+
				"application/json (curl --json)")
			return
		}
		r.Body = http.MaxBytesReader(seen, r.Body, s.config.Limits.Body+1)
		next.ServeHTTP(seen, r)
	})
}

// elsewhere answers a request for what is not here, or not by this method.
func elsewhere(w http.ResponseWriter, mux *http.ServeMux, r *http.Request) {
	said := &silent{header: w.Header()}
	mux.ServeHTTP(said, r)
	if said.status == http.StatusMethodNotAllowed {
		fail(w, said.status, "this is asked by the method "+w.Header().Get("Allow"))
		return
	}
	fail(w, http.StatusNotFound, "there is nothing here; /openapi.json says what there is")
}

// silent is a response of which only the header and the status are kept.
type silent struct {
	header http.Header
	status int
}

func (w *silent) Header() http.Header         { return w.header }
func (w *silent) Write(b []byte) (int, error) { return len(b), nil }
func (w *silent) WriteHeader(status int)      { w.status = status }

// open says that a request tells nothing that needs a token.
func open(r *http.Request) bool { return r.URL.Path == "/v1/healthz" }

// mayCall says whether the server goes by the name that a client called it by.
func (s *Server) mayCall(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	return name == "localhost" || name == "127.0.0.1" || name == "::1" || slices.ContainsFunc(s.config.Hosts,
		func(h string) bool { return strings.EqualFold(h, name) })
}

const cookie = "lmkit"

// session is what a browser shows in place of the token, which it then need not keep.
func (s *Server) session() string {
	h := hmac.New(sha256.New, []byte(s.config.Token))
	h.Write([]byte("lmkit session"))
	return hex.EncodeToString(h.Sum(nil))
}

// signIn takes the token out of the URL of a browser's first visit, and sends the browser on to the same page without
// it. It reports whether it answered.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) bool {
	given := r.URL.Query().Get("token")
	if s.config.Token == "" || given == "" || r.Method != http.MethodGet || !same(given, s.config.Token) {
		return false
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: s.session(), Path: "/", HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	q := r.URL.Query()
	q.Del("token")
	to := "/" + strings.TrimLeft(r.URL.EscapedPath(), "/")
	if rest := q.Encode(); rest != "" {
		to += "?" + rest
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return true
}

// trusts says whether a request has the right to ask.
func (s *Server) trusts(r *http.Request) bool {
	if s.config.Token == "" {
		return true
	}
	if given, is := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); is {
		return same(given, s.config.Token)
	}
	c, err := r.Cookie(cookie)
	return err == nil && same(c.Value, s.session())
}

// same compares two secrets in a time that says nothing about either.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// recorder is a response that remembers how it went.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is how net/http finds what the response can do beside: flush, and keep to a time.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
