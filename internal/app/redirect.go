package app

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// loopbacks are the hosts of a program on the same machine as the browser: whatever port it has got (RFC 8252 section 7.3).
// The name localhost is none of them: it may stand for something else.
func loopbacks() []string { return []string{"127.0.0.1", "[::1]"} }

// forms are what an address to go back to may look like, without a fragment, a user and what some programs take for something
// else.
var forms = regexp.MustCompile(`^(https://[a-z0-9.-]+(:[0-9]{1,5})?(/[!$&'()*+,;=:@/?A-Za-z0-9._~%-]*)?|http://(127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?(/[!$&'()*+,;=:@/?A-Za-z0-9._~%-]*)?|[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:/([!$&'()*+,;=:@?A-Za-z0-9._~%-][!$&'()*+,;=:@/?A-Za-z0-9._~%-]*)?)$`)

// checkRedirect says what is wrong with an address that an app wants people sent back to.
func checkRedirect(uri string) error {
	if len(uri) > MaxRedirect {
		return fmt.Errorf("has more than %d bytes", MaxRedirect)
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil || !forms.MatchString(uri):
		return errors.New("must be https, or http to 127.0.0.1 or [::1], or a scheme of the app's own with a dot in it; without a fragment")
	case u.Scheme == "https" && strings.Trim(u.Hostname(), ".-") != u.Hostname():
		return errors.New("has a host that is none")
	}
	query, err := url.ParseQuery(u.RawQuery)
	for _, ours := range [...]string{"code", "state", "iss", "error", "error_description"} {
		if err != nil || query.Has(ours) {
			return errors.New("has a parameter that it will be given, or that cannot be read")
		}
	}
	return nil
}

// goesTo reports whether an app registered an address: exactly, but for the port of a program on the same machine.
func (a *App) goesTo(uri string) bool {
	return slices.ContainsFunc(a.Redirects, func(registered string) bool {
		return registered == uri || sameButPort(registered, uri)
	})
}

func sameButPort(registered, asked string) bool {
	one, path, is := splitLoopback(registered)
	other, otherPath, also := splitLoopback(asked)
	return is && also && one == other && path == otherPath
}

// splitLoopback gives the host and what comes after the port.
func splitLoopback(uri string) (host, rest string, ok bool) {
	for _, host := range loopbacks() {
		after, is := strings.CutPrefix(uri, "http://"+host)
		if !is {
			continue
		}
		if port, has := strings.CutPrefix(after, ":"); has {
			end := strings.IndexAny(port, "/?")
			if end < 0 {
				end = len(port)
			}
			n, err := strconv.ParseUint(port[:end], 10, 16)
			if err != nil || n == 0 || port[0] == '+' || port[0] == '0' {
				return "", "", false
			}
			after = port[end:]
		}
		if after == "" || after[0] == '/' {
			return host, after, true
		}
	}
	return "", "", false
}

// Host is what a person is told about where they are sent back to.
func Host(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return ""
	case u.Scheme == "https":
		return u.Host
	case u.Scheme == "http":
		return "a program on this device"
	}
	return "an app on this device (" + u.Scheme + ")"
}

// Source is the address's origin, or its scheme, as a Content-Security-Policy names it. There is no way to name an address of IPv6
// there, and what browsers cannot read they take for nothing: of such an address it is the scheme.
func Source(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	if u.Host == "" || u.Host[0] == '[' {
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// Back is an address to go back to, with parameters. Those that are empty are left out.
func Back(uri string, parameters ...[2]string) string {
	var out strings.Builder
	out.WriteString(uri)
	sep := "?"
	if strings.Contains(uri, "?") {
		sep = "&"
	}
	for _, p := range parameters {
		if p[1] == "" {
			continue
		}
		out.WriteString(sep + p[0] + "=" + url.QueryEscape(p[1]))
		sep = "&"
	}
	return out.String()
}
