package page

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Loopback is a Config.Allow for a program that is not behind a proxy. It lets in a request if the
// addresses of both ends and the Host are loopback: 127.0.0.0/8, ::1, localhost or a name below
// localhost. So no other machine is let in, and no page of another site whose name was pointed at
// this machine.
//
// A proxy on this machine would make all requests look local. Loopback refuses requests with a
// header that proxies set: Forwarded, X-Forwarded-For and the like, X-Real-Ip and Via. But some
// proxies set none. Behind a proxy, use authentication and [Guarded].
func Loopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && isLoopbackAddr(local.String()) && isLoopbackAddr(r.RemoteAddr) && isLoopbackHost(r.Host) && !isForwarded(r.Header)
}

// Guarded is a Config.Allow that lets in every request. Use it to say that you have put
// authentication in front of the handler.
func Guarded(*http.Request) bool { return true }

// isLoopbackAddr reports whether an address with a port is a loopback address.
func isLoopbackAddr(addr string) bool {
	a, err := netip.ParseAddrPort(addr)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// isLoopbackHost reports whether a Host, with or without a port, is a loopback address or a name
// that is always local (RFC 6761, section 6.3).
func isLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// isForwarded reports whether a proxy has passed on the request.
func isForwarded(h http.Header) bool {
	for key := range h {
		key = http.CanonicalHeaderKey(key)
		switch key {
		case "Forwarded", "Via", "X-Real-Ip", "Cf-Connecting-Ip", "Cdn-Loop":
			return true
		}
		if strings.HasSuffix(key, "Client-Ip") || strings.HasSuffix(key, "Clientip") || strings.HasPrefix(key, "X-Envoy-") || strings.HasPrefix(key, "X-Forwarded") || strings.HasPrefix(key, "X-Original-") {
			return true
		}
	}
	return false
}

// setHeaders sets the headers of every response. The policy lets the page load its own files, and
// nothing else.
func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers without frame-ancestors
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// isFromOtherSite reports whether the browser says that another site has made the request. The
// origin of the page itself and the user's own address bar are not other sites. Programs such as
// curl say nothing.
func isFromOtherSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return true
}
