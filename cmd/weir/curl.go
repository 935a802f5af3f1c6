package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxCurl bounds a pasted command line, in bytes.
const maxCurl = 256 << 10

// curlRequest is the request that a curl command line would send.
type curlRequest struct {
	method string
	url    *url.URL
	header http.Header
	body   string
}

// parseCurl reads a curl command line as a POSIX shell would, and as curl would. Options that do not change the request
// are passed over. What is read from files is not: '@file' is an error.
func parseCurl(line string) (curlRequest, error) {
	words, err := shellWords(line)
	if err != nil {
		return curlRequest{}, err
	}
	for len(words) > 0 && words[0] == "$" {
		words = words[1:]
	}
	if len(words) == 0 || words[0] != "curl" {
		return curlRequest{}, errors.New("the command does not begin with curl")
	}
	c := curlReader{request: curlRequest{header: http.Header{}}}
	for rest := words[1:]; len(rest) > 0; {
		if rest, err = c.option(rest); err != nil {
			return curlRequest{}, err
		}
	}
	return c.finish()
}

// curlReader gathers what the options say.
type curlReader struct {
	request curlRequest
	address string
	data    []string
	asQuery bool // -G
	json    bool
}

// The options of curl that take a value and do not change the request, and those that change it, by their short names.
var (
	curlPassedOver = []string{
		"-o", "--output", "-m", "--max-time", "--connect-timeout", "-w", "--write-out", "-x", "--proxy", "--retry", "--retry-delay", "--cacert", "--capath",
		"-c", "--cookie-jar", "-b", "--cookie", "-D", "--dump-header", "--resolve", "--interface", "-E", "--cert", "--key", "--ciphers", "-K", "--config",
		"--limit-rate", "-y", "-Y", "--stderr", "--trace", "--trace-ascii", "-T", "--upload-file", "--max-filesize", "--dns-servers", "--unix-socket",
	}
	curlOptions = map[string]string{
		"--request": "-X", "--header": "-H", "--data": "-d", "--data-raw": "-d", "--data-binary": "-d", "--data-ascii": "-d", "--data-urlencode": "--data-urlencode",
		"--user": "-u", "--user-agent": "-A", "--referer": "-e", "--url": "--url", "--json": "--json", "--oauth2-bearer": "--oauth2-bearer",
		"-X": "-X", "-H": "-H", "-d": "-d", "-u": "-u", "-A": "-A", "-e": "-e",
	}
)

// option reads one option with its value, or the address.
func (c *curlReader) option(words []string) ([]string, error) {
	word, rest := words[0], words[1:]
	switch {
	case word == "-G" || word == "--get":
		c.asQuery = true
		return rest, nil
	case word == "-I" || word == "--head":
		c.request.method = http.MethodHead
		return rest, nil
	case !strings.HasPrefix(word, "-") || word == "-":
		return rest, c.locate(word)
	}
	name, value, joined := strings.Cut(word, "=")
	if !strings.HasPrefix(word, "--") {
		var done bool
		if name, value, done = shortOption(word); done {
			return rest, nil
		}
		joined = value != ""
	}
	kind, known := curlOptions[name]
	if !known && !slices.Contains(curlPassedOver, name) {
		return rest, nil // one that takes no value
	}
	if !joined || strings.HasPrefix(word, "--") && !known {
		if len(rest) == 0 {
			return nil, fmt.Errorf("the option %s has no value", name)
		}
		value, rest = rest[0], rest[1:]
	}
	if !known {
		return rest, nil
	}
	return rest, c.take(kind, value)
}

// shortOption finds, in letters run together such as -sSXPOST, the one that takes a value; done says that there is none.
func shortOption(word string) (name, value string, done bool) {
	for i := 1; i < len(word); i++ {
		name := "-" + word[i:i+1]
		if _, ok := curlOptions[name]; ok || slices.Contains(curlPassedOver, name) {
			return name, word[i+1:], false
		}
	}
	return "", "", true
}

func (c *curlReader) locate(address string) error {
	if c.address != "" {
		return errors.New("the command has more than one address")
	}
	c.address = address
	return nil
}

func (c *curlReader) take(kind, value string) error {
	if (kind == "-d" || kind == "--json") && strings.HasPrefix(value, "@") {
		return fmt.Errorf("the body is read from %q: paste it into the command instead", value)
	}
	switch kind {
	case "-X":
		c.request.method = value
	case "-H":
		name, text, ok := strings.Cut(value, ":")
		if ok {
			c.request.header.Add(strings.TrimSpace(name), strings.TrimSpace(text))
		}
	case "-A":
		c.request.header.Set("User-Agent", value)
	case "-e":
		c.request.header.Set("Referer", value)
	case "--oauth2-bearer":
		c.request.header.Set("Authorization", "Bearer "+value)
	case "-u":
		return errors.New("the command signs in with -u: Weir takes keys, as -H 'X-API-Key: KEY'")
	case "--url":
		return c.locate(value)
	case "--json":
		c.json = true
		c.data = append(c.data, value)
	case "--data-urlencode":
		name, text, _ := strings.Cut(value, "=")
		c.data = append(c.data, name+"="+url.QueryEscape(text))
	default:
		c.data = append(c.data, value)
	}
	return nil
}

func (c *curlReader) finish() (curlRequest, error) {
	if c.address == "" {
		return curlRequest{}, errors.New("the command has no address")
	}
	if !strings.Contains(c.address, "://") {
		c.address = "http://" + c.address
	}
	u, err := url.Parse(c.address)
	if err != nil || u.Host == "" {
		return curlRequest{}, errors.New("the address cannot be read")
	}
	joint := "&"
	if c.json {
		joint = ""
	}
	data := strings.Join(c.data, joint)
	switch {
	case c.asQuery && data != "" && u.RawQuery != "":
		u.RawQuery += "&" + data
	case c.asQuery && data != "":
		u.RawQuery = data
	default:
		c.request.body = data
	}
	if c.request.method == "" {
		c.request.method = http.MethodGet
		if len(c.data) > 0 && !c.asQuery {
			c.request.method = http.MethodPost
		}
	}
	if u.Path == "" {
		u.Path = "/"
	}
	c.request.url = u
	return c.request, nil
}

// shellWords splits a command line as a POSIX shell does: quotes, backslashes, and a backslash at the end of a line. What
// a shell would put in place of $names and `commands` is not known here, and stays as it is.
func shellWords(line string) ([]string, error) {
	if len(line) > maxCurl {
		return nil, fmt.Errorf("the command is longer than %d bytes", maxCurl)
	}
	var words []string
	var word strings.Builder
	inside := false
	flush := func() {
		if inside {
			words = append(words, word.String())
			word.Reset()
			inside = false
		}
	}
	for i := 0; i < len(line); i++ {
		switch b := line[i]; b {
		case ' ', '\t', '\n', '\r':
			flush()
		case '\\':
			i++
			if i < len(line) && line[i] != '\n' && line[i] != '\r' {
				word.WriteByte(line[i])
				inside = true
			}
			if i+1 < len(line) && line[i] == '\r' && line[i+1] == '\n' {
				i++
			}
		case '\'', '"':
			end, err := quoted(line, i, &word)
			if err != nil {
				return nil, err
			}
			i, inside = end, true
		default:
			word.WriteByte(b)
			inside = true
		}
	}
	flush()
	return words, nil
}

// quoted reads what is between two quotation marks, of which the first stands at begin, and gives the place of the second.
func quoted(line string, begin int, word *strings.Builder) (int, error) {
	mark := line[begin]
	for i := begin + 1; i < len(line); i++ {
		switch {
		case line[i] == mark:
			return i, nil
		case mark == '"' && line[i] == '\\' && i+1 < len(line) && strings.IndexByte("\\\"$`\n", line[i+1]) >= 0:
			i++
			if line[i] != '\n' {
				word.WriteByte(line[i])
			}
		default:
			word.WriteByte(line[i])
		}
	}
	return 0, errors.New("a quotation mark is not closed")
}
