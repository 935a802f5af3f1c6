package access_test

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	stdjson "encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
)

const theSecret = "sk_live_QqWwEeRrTtYyUuIiOoPpAaSsDdFfGgHhJjKkLlZzXxCc"

type open struct {
	Name string
	Key  access.Text
}

type closed struct {
	name string
	key  access.Text
}

type nested struct {
	Inner *open
	inner any
}

// failure is an error that carries a secret, as an error of a client library would.
type failure struct{ key access.Text }

func (f *failure) Error() string { return fmt.Sprintf("refused: %v %+v", f.key, *f) }

// carriers are the ways in which a secret may lie in a value that somebody prints.
func carriers() map[string]any {
	text := access.SecretText(theSecret)
	return map[string]any{
		"itself":            text,
		"pointer":           &text,
		"open struct":       open{"n", text},
		"closed struct":     closed{"n", text},
		"pointer to open":   &open{"n", text},
		"pointer to closed": &closed{"n", text},
		"nested":            nested{Inner: &open{"n", text}, inner: closed{"n", text}},
		"slice":             []access.Text{text, text},
		"closed slice":      []closed{{"n", text}},
		"slice of pointers": []*access.Text{&text},
		"array":             [1]access.Text{text},
		"map":               map[string]access.Text{"k": text},
		"map of any":        map[string]any{"k": closed{"n", text}},
		"in any":            []any{text, &text},
		"error":             &failure{text},
		"wrapped error":     fmt.Errorf("calling: %w", &failure{text}),
		"joined error":      errors.Join(&failure{text}, errors.New("other")),
		"function":          text.Reveal,
	}
}

// Promise: no verb of fmt, with any flag, prints a secret, wherever in a value it lies.
func TestNoVerbPrintsASecret(t *testing.T) {
	t.Parallel()
	check := newLeakCheck()
	formats := []string{"", "%d %v", "%", "%!", "%[9]d"} // too few, too many and broken ones
	for verb := ' '; verb <= '~'; verb++ {
		for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "# ", "60", ".3", "-60.40", "[1]", "[2]", "*"} {
			formats = append(formats, "%"+flags+string(verb))
		}
	}
	for name, value := range carriers() {
		for _, format := range formats {
			if out := fmt.Sprintf(format, value); check.leaks(out) {
				t.Errorf("%s under %q: %.200s", name, format, out)
			}
			if out := fmt.Errorf(format, value).Error(); strings.Contains(format, "w") && check.leaks(out) {
				t.Errorf("%s as an error under %q: %.200s", name, format, out)
			}
		}
		for how, out := range map[string]string{
			"Sprint": fmt.Sprint(value, value), "Sprintln": fmt.Sprintln(value), "template": execute(value),
		} {
			if check.leaks(out) {
				t.Errorf("%s by %s: %.200s", name, how, out)
			}
		}
	}
	t.Logf("%d values, each in %d formats", len(carriers()), len(formats))
	if out := fmt.Sprintf("%s %v %q %d %x", carriers()["itself"], access.SecretText("x"), access.Text{}, access.Text{}, access.Text{}); out !=
		"[secret] [secret] [secret] [secret] [secret]" {
		t.Errorf("hidden as %q", out)
	}
}

// Promise: a secret in a log line is hidden, by both handlers of slog and at every depth.
func TestNoLogShowsASecret(t *testing.T) {
	t.Parallel()
	check := newLeakCheck()
	for name, value := range carriers() {
		var text, object bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&object, nil)} {
			log := slog.New(handler)
			log.Info("m", "k", value)
			log.With("k", value).Info("m", slog.Group("g", "k", value), slog.Any("k", []any{value}))
			log.Error(fmt.Sprint(value), "err", fmt.Errorf("failed: %v", value))
		}
		if check.leaks(text.String()) || check.leaks(object.String()) {
			t.Errorf("%s:\n%s%s", name, text.String(), object.String())
		}
		direct := name == "itself" || name == "pointer"
		if direct && (strings.Count(text.String(), "k=[secret]") < 2 || strings.Count(object.String(), `"k":"[secret]"`) < 2) {
			t.Errorf("%s is not shown as hidden:\n%s%s", name, text.String(), object.String())
		}
	}
}

// Promise: marshalling a secret fails or leaves it out, in every encoding the program has at hand.
func TestNoEncodingWritesASecret(t *testing.T) {
	t.Parallel()
	check := newLeakCheck()
	encodings := map[string]func(any) ([]byte, error){
		"encoding/json": stdjson.Marshal,
		"json":          func(v any) ([]byte, error) { return json.Marshal(v) },
		"xml":           xml.Marshal,
		"gob": func(v any) ([]byte, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(v)
			return b.Bytes(), err
		},
	}
	for how, marshal := range encodings {
		for name, value := range carriers() {
			out, err := marshal(value)
			if check.leaks(string(out)) || err != nil && check.leaks(err.Error()) {
				t.Errorf("%s of %s: %s, %v", how, name, out, err)
			}
		}
		for _, name := range []string{"itself", "pointer", "open struct", "slice", "map"} {
			if _, err := marshal(carriers()[name]); err == nil {
				t.Errorf("%s of %s is not refused", how, name)
			}
		}
	}
}

// Promise: a secret comes out unchanged by Reveal, and the zero Text is none.
func TestReveal(t *testing.T) {
	t.Parallel()
	for text, empty := range map[string]bool{theSecret: false, "": true, " ": false, "\x00": false} {
		if secret := access.SecretText(text); secret.Reveal() != text || secret.Empty() != empty {
			t.Errorf("%q comes out as %q, empty %v", text, secret.Reveal(), secret.Empty())
		}
	}
	if zero := (access.Text{}); zero.Reveal() != "" || !zero.Empty() {
		t.Error("the zero Text holds something")
	}
}

// Promise: the checks above would see a leak.
func TestLeaksAreSeen(t *testing.T) {
	t.Parallel()
	check := newLeakCheck()
	for _, out := range []string{
		theSecret, "x" + theSecret[10:16] + "y", fmt.Sprintf("%x", theSecret), fmt.Sprintf("% X", theSecret), fmt.Sprintf("%# x", theSecret),
		fmt.Sprintf("%d", []byte(theSecret)), fmt.Sprintf("%+v", struct{ s string }{theSecret}),
	} {
		if !check.leaks(out) {
			t.Errorf("not seen: %s", out)
		}
	}
	if check.leaks("[secret] {n 0xc000012345} sk_live_ %!d(access.Text=[secret])") {
		t.Error("seen where there is none")
	}
}

// leakCheck knows the traces a secret would leave: any six characters of it beyond its prefix, as they are or in
// hexadecimal, and its first or last bytes as numbers.
type leakCheck struct{ traces []string }

func newLeakCheck() leakCheck {
	var c leakCheck
	body := theSecret[len("sk_live_"):]
	for i := range len(body) - 5 {
		window := body[i : i+6]
		encoded := hex.EncodeToString([]byte(window))
		c.traces = append(c.traces, window, encoded, strings.ToUpper(encoded))
	}
	numbers := strings.Fields(strings.Trim(fmt.Sprint([]byte(body)), "[]"))
	c.traces = append(c.traces, strings.Join(numbers[:6], ""), strings.Join(numbers[len(numbers)-6:], ""))
	return c
}

func (c leakCheck) leaks(out string) bool {
	for _, between := range []string{" ", "0x", "0X"} {
		out = strings.ReplaceAll(out, between, "")
	}
	for _, trace := range c.traces {
		if strings.Contains(out, trace) {
			return true
		}
	}
	return false
}

func execute(value any) string {
	var b strings.Builder
	if err := template.Must(template.New("t").Parse(`{{.}} {{printf "%s %x %p" . . .}} {{html .}} {{js .}}`)).Execute(&b, value); err != nil {
		return err.Error()
	}
	return b.String()
}
