package access_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-analytics/weir/internal/access"
)

// The language of the matrix. A file has three sections of lines; words in double quotes are Go strings; # begins a
// comment.
//
//	-- projects --
//	NAME is ORGANIZATION [ENVIRONMENT:MODE]...
//	-- keys --
//	NAME is KIND MODE [holds SCOPE...] [only ENVIRONMENT...] [expires TIME] [revoked TIME] [of PROJECT]
//	-- verdicts --
//	allow KEY ACTION [clause]...
//	deny REASON: KEY ACTION [clause]...
//
// SCOPE... may be "nothing", "everything" or "everything except SCOPE...". A key is of the first project unless it says
// otherwise. The clauses of a verdict:
//
//	in ENVIRONMENT...     the targets, judged together        each ENVIRONMENT...   the targets, judged one by one
//	via PLACE             header (if not said), query, nowhere   at TIME            noon of 1 June 2026 if not said; never
//	about PROJECT MODE    the thing asked for; or "nothing"    giving KIND MODE SCOPE...   rights handed on
//	until TIME            when those rights end; never if not said
//	within ENVIRONMENT... where those rights are good          gets ENVIRONMENT      what the default turned out to be
//	refusing ENVIRONMENT=REASON...                             the targets refused, in order
type verdict struct {
	line     string
	key      *access.Key
	attempt  access.Attempt
	reason   access.Reason
	refusing []string
	gets     *string
}

type word struct {
	text   string
	quoted bool
}

type theme struct {
	first    *access.Project
	projects map[string]*access.Project
	keys     map[string]*access.Key
	verdicts []*verdict
}

func readTheme(file string) ([]*verdict, error) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		return nil, err
	}
	th := &theme{projects: map[string]*access.Project{}, keys: map[string]*access.Key{}}
	sections := map[string]func(string, []word) error{"projects": th.project, "keys": th.key, "verdicts": th.verdict}
	for _, section := range archive.Files {
		read := sections[section.Name]
		if read == nil {
			return nil, fmt.Errorf("no section is called %q", section.Name)
		}
		for line := range strings.Lines(string(section.Data)) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			words, err := split(line)
			if err == nil {
				err = read(line, words)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
		}
	}
	return th.verdicts, nil
}

func (th *theme) project(_ string, words []word) error {
	if len(words) < 3 || words[1].text != "is" {
		return errors.New("want: NAME is ORGANIZATION and its environments, each as ENVIRONMENT:MODE")
	}
	p := &access.Project{ID: words[0].text, Organization: words[2].text}
	for _, w := range words[3:] {
		name, mode, _ := strings.Cut(w.text, ":")
		m, ok := access.ParseMode(mode)
		if !ok {
			return fmt.Errorf("no mode is called %q", mode)
		}
		p.Environments = append(p.Environments, access.Environment{Name: name, Mode: m})
	}
	if th.first == nil {
		th.first = p
	}
	th.projects[p.ID] = p
	return nil
}

func (th *theme) key(_ string, words []word) error {
	head, clauses, err := cut(words, "holds", "only", "expires", "revoked", "of")
	if err != nil || len(head) != 4 || head[1] != "is" {
		return fmt.Errorf("want: NAME is KIND MODE, and clauses: %v", err)
	}
	k := &access.Key{ID: "key_" + head[0], Project: th.first, Environments: clauses["only"]}
	if k.Kind, k.Mode, err = kindAndMode(head[2], head[3]); err != nil {
		return err
	}
	if k.Scopes, err = scopes(clauses["holds"]); err != nil {
		return err
	}
	if k.ExpiresAt, err = instant(clauses["expires"], time.Time{}); err != nil {
		return err
	}
	if k.RevokedAt, err = instant(clauses["revoked"], time.Time{}); err != nil {
		return err
	}
	if of := clauses["of"]; of != nil {
		k.Project = th.projects[of[0]]
	}
	if k.Project == nil || th.keys[head[0]] != nil {
		return fmt.Errorf("no such project, or a second key of the name")
	}
	th.keys[head[0]] = k
	return nil
}

func (th *theme) verdict(line string, words []word) error {
	head, clauses, err := cut(words, "in", "each", "via", "at", "about", "giving", "within", "until", "refusing", "gets")
	if err != nil {
		return err
	}
	v := &verdict{line: line, reason: access.Allowed, refusing: clauses["refusing"]}
	if head[0] == "deny" && len(head) == 4 {
		v.reason = reasonOf(strings.TrimSuffix(head[1], ":"))
		head = head[1:]
	}
	if len(head) != 3 || v.reason == 0 || words[0].text != "allow" && words[0].text != "deny" {
		return fmt.Errorf("want: allow KEY ACTION, or: deny REASON: KEY ACTION")
	}
	if v.key = th.keys[head[1]]; v.key == nil {
		return fmt.Errorf("no key is called %q", head[1])
	}
	if gets := clauses["gets"]; gets != nil {
		v.gets = &gets[0]
	}
	if v.attempt, err = th.attempt(head[2], clauses); err != nil {
		return err
	}
	th.verdicts = append(th.verdicts, v)
	return nil
}

func (th *theme) attempt(action string, clauses map[string][]string) (access.Attempt, error) {
	var a access.Attempt
	var err error
	if a.Action, err = actionOf(action); err != nil {
		return a, err
	}
	a.Via = access.InHeader
	if via := clauses["via"]; via != nil {
		places := map[string]access.Via{"header": access.InHeader, "query": access.InQuery, "nowhere": 0}
		place, ok := places[via[0]]
		if !ok {
			return a, fmt.Errorf("no place is called %q", via[0])
		}
		a.Via = place
	}
	if a.At, err = instant(clauses["at"], noon); err != nil {
		return a, err
	}
	each, hasEach := clauses["each"]
	a.Each = hasEach
	for _, name := range append(clauses["in"], each...) {
		a.Targets = append(a.Targets, access.Target{Environment: name})
	}
	if about := clauses["about"]; about != nil {
		a.Subject = &access.Subject{}
		if about[0] != "nothing" {
			mode, ok := access.ParseMode(about[1])
			if !ok || th.projects[about[0]] == nil {
				return a, fmt.Errorf("about what?")
			}
			a.Subject = &access.Subject{Project: about[0], Mode: mode}
		}
	}
	if giving := clauses["giving"]; giving != nil {
		g := &access.Grant{Environments: clauses["within"]}
		if g.Kind, g.Mode, err = kindAndMode(giving[0], giving[1]); err != nil {
			return a, err
		}
		if g.Scopes, err = scopes(giving[2:]); err != nil {
			return a, err
		}
		if g.ExpiresAt, err = instant(clauses["until"], time.Time{}); err != nil {
			return a, err
		}
		a.Grants = g
	}
	return a, nil
}

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// split cuts a line into words. A quoted part may stand anywhere in a word.
func split(line string) ([]word, error) {
	var words []word
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimLeft(rest, " ") {
		var w word
		for rest != "" && rest[0] != ' ' {
			if rest[0] != '"' {
				w.text, rest = w.text+rest[:1], rest[1:]
				continue
			}
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, err
			}
			text, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			w.text, w.quoted, rest = w.text+text, true, rest[len(quoted):]
		}
		words = append(words, w)
	}
	return words, nil
}

// cut parts the words before the first keyword from the clauses. A clause that is there is not nil.
func cut(words []word, keywords ...string) (head []string, clauses map[string][]string, err error) {
	clauses = map[string][]string{}
	at := ""
	for _, w := range words {
		switch {
		case !w.quoted && slices.Contains(keywords, w.text):
			at = w.text
			if clauses[at] != nil {
				return nil, nil, fmt.Errorf("%q is said twice", at)
			}
			clauses[at] = []string{}
		case at == "":
			head = append(head, w.text)
		default:
			clauses[at] = append(clauses[at], w.text)
		}
	}
	for name, clause := range clauses {
		if len(clause) == 0 && name != "each" {
			return nil, nil, fmt.Errorf("%q of what?", name)
		}
	}
	return head, clauses, nil
}

func kindAndMode(kind, mode string) (access.Kind, access.Mode, error) {
	kinds := map[string]access.Kind{
		"public": access.Public, "secret": access.Secret, "operator": access.Operator, "none": 0, "other": 99,
	}
	modes := map[string]access.Mode{"live": access.Live, "test": access.Test, "none": 0}
	k, ok := kinds[kind]
	m, known := modes[mode]
	if !ok || !known {
		return 0, 0, fmt.Errorf("no key is %s %s", kind, mode)
	}
	return k, m, nil
}

func scopes(names []string) (access.Scopes, error) {
	if len(names) == 0 || slices.Equal(names, []string{"nothing"}) {
		return 0, nil
	}
	if names[0] != "everything" {
		return scopeList(names)
	}
	if len(names) == 1 {
		return access.AllScopes, nil
	}
	if names[1] != "except" {
		return 0, fmt.Errorf("everything, %q?", names[1])
	}
	except, err := scopeList(names[2:])
	return access.AllScopes &^ except, err
}

func scopeList(names []string) (access.Scopes, error) {
	var set access.Scopes
	for _, name := range names {
		one, err := access.ParseScope(name)
		if err != nil {
			return 0, err
		}
		set |= one
	}
	return set, nil
}

func instant(clause []string, otherwise time.Time) (time.Time, error) {
	switch {
	case clause == nil:
		return otherwise, nil
	case clause[0] == "never":
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, clause[0])
}

func actionOf(name string) (access.Action, error) {
	switch name {
	case "undeclared":
		return 0, nil
	case "beyond":
		return 200, nil
	}
	for _, a := range access.Actions() {
		if a.String() == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("no action is called %q", name)
}

func reasonOf(name string) access.Reason {
	for _, r := range allReasons() {
		if r.String() == name {
			return r
		}
	}
	return 0
}
