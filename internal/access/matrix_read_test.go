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
//	NAME is ORGANIZATION [ENVIRONMENT:MODE]... [allows in_url in_browser embedded] [CEILING]...
//	-- keys --
//	NAME is KIND MODE [holds SCOPE...] [state STATE] [minted TIME] [revoked TIME] [of PROJECT] [comes-of KEY]
//	    [epoch N] [made-in EPOCH EPOCH] [embedded] [role ROLE [wide]] [BOUND]...
//	-- verdicts --
//	allow KEY ACTION [clause]...
//	deny REASON: KEY ACTION [clause]...
//
// SCOPE... may be "nothing", "everything" or "everything except SCOPE...". A key is of the first project unless it says
// otherwise. A client or token says which key it comes of; a token was made in an epoch of its client and one of their key,
// 0 and 0 if not said. A CEILING is, for secret keys and so for public ones:
//
//	secret-scopes SCOPE...    secret-lasts DURATION    secret-needs networks signature
//
// A BOUND is:
//
//	only ENVIRONMENT...    from NETWORK...    pages DOMAIN...    sends EVENT...    begins TIME    expires TIME    signs
//	sets NAME:RIGHT,... or core, premium, none    observes RESTRICTION...    limits rate=N,BURST,MODE daily=N,MODE credits=N,MODE
//	sees TABLE TABLE:where:NAME:CONDITION TABLE:hash:NAME TABLE:hide:NAME unbound:VARIABLE, or nothing
//
// The clauses of a verdict:
//
//	in TARGET...          what is touched, judged together    each TARGET...        judged one by one
//	                      a TARGET is ENVIRONMENT, ENVIRONMENT:EVENT or :EVENT
//	on DATASET...         the same of datasets, each as NAME:RIGHT,... or NAME:RIGHT,...:CLASS
//	singly                they are judged one by one
//	via PLACE             header (if not said), query, body, link, nowhere  at TIME            noon of 1 June 2026 if not said; never
//	from ADDRESS          192.0.2.1 if not said; or "nowhere"    cleartext, browser, own-page  how it came
//	origin TEXT           the header Origin                    referer TEXT         the header Referer
//	signed HOW            claimed, right, wrong, other         secret-until TIME    when the secret shown ends
//	secret-minted TIME    when it was made
//	about PROJECT MODE KEY    the thing asked for, and whose it is if it is a key's; or "nothing"    giving KIND MODE SCOPE...   rights handed on
//	until TIME            when those rights end; never if not said
//	within ENVIRONMENT... where those rights are good; their other bounds as those of keys, after given-
//	gets ENVIRONMENT      what the default turned out to be
//	renewal               what is given is a new secret for a key that is there
//	everywhere            what is given is good in all projects of the organization
//	by RULE               the rule that denies
//	refusing TARGET=REASON...                                  the targets refused, in order
//	observing TARGET=REASON...                                 what is only noted, in order; "request" for the whole
type verdict struct {
	line      string
	key       *access.Key
	attempt   access.Attempt
	reason    access.Reason
	refusing  []string
	observing []string
	gets      *string
	rule      string
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
	head, clauses, err := cut(words, "allows", "public-scopes", "public-lasts", "public-needs", "secret-scopes", "secret-lasts", "secret-needs")
	if err != nil || len(head) < 3 || head[1] != "is" {
		return fmt.Errorf("want: NAME is ORGANIZATION and its environments, each as ENVIRONMENT:MODE, and clauses: %v", err)
	}
	p := &access.Project{ID: head[0], Organization: head[2]}
	for _, text := range head[3:] {
		name, mode, _ := strings.Cut(text, ":")
		m, ok := access.ParseMode(mode)
		if !ok {
			return fmt.Errorf("no mode is called %q", mode)
		}
		p.Environments = append(p.Environments, access.Environment{Name: name, Mode: m})
	}
	p.Policy.EmbeddedTokens = slices.Contains(clauses["allows"], "embedded")
	p.Policy.SecretInURL, p.Policy.SecretInBrowser = slices.Contains(clauses["allows"], "in_url"), slices.Contains(clauses["allows"], "in_browser")
	for kind, c := range map[string]*access.Ceiling{"public": &p.Policy.Public, "secret": &p.Policy.Secret} {
		if c.Scopes, err = scopes(clauses[kind+"-scopes"]); err != nil {
			return err
		}
		if lasts := clauses[kind+"-lasts"]; lasts != nil {
			if c.MaxLifetime, err = time.ParseDuration(lasts[0]); err != nil {
				return err
			}
		}
		needs := clauses[kind+"-needs"]
		c.RequireNetworks, c.RequireSignature = slices.Contains(needs, "networks"), slices.Contains(needs, "signature")
	}
	if th.first == nil {
		th.first = p
	}
	th.projects[p.ID] = p
	return nil
}

func (th *theme) key(_ string, words []word) error {
	head, clauses, err := cut(words, append(boundWords(""), "holds", "state", "minted", "revoked", "of", "comes-of", "epoch", "made-in", "embedded", "role")...)
	if err != nil || len(head) != 4 || head[1] != "is" {
		return fmt.Errorf("want: NAME is KIND MODE, and clauses: %v", err)
	}
	k := &access.Key{ID: "key_" + head[0], Project: th.first}
	if k.Kind, k.Mode, err = kindAndMode(head[2], head[3]); err != nil {
		return err
	}
	if k.Scopes, err = scopes(clauses["holds"]); err != nil {
		return err
	}
	if k.Bounds, err = bounds(clauses, ""); err != nil {
		return err
	}
	if k.RevokedAt, err = instant(clauses["revoked"], time.Time{}); err != nil {
		return err
	}
	if k.MintedAt, err = instant(clauses["minted"], time.Time{}); err != nil {
		return err
	}
	if state := clauses["state"]; state != nil {
		var ok bool
		if k.State, ok = access.ParseState(state[0]); !ok {
			k.State = 9
		}
	}
	if of := clauses["of"]; of != nil {
		k.Project = th.projects[of[0]]
	}
	if err := th.derive(k, clauses); err != nil {
		return err
	}
	if k.Project == nil || th.keys[head[0]] != nil {
		return errors.New("no such project, or a second key of the name")
	}
	th.keys[head[0]] = k
	return nil
}

// derive puts a key under the one that it comes of.
func (th *theme) derive(k *access.Key, clauses map[string][]string) error {
	if under := clauses["comes-of"]; under != nil {
		if k.Parent = th.keys[under[0]]; k.Parent == nil {
			return fmt.Errorf("no key is called %q", under[0])
		}
	}
	k.Embedded = clauses["embedded"] != nil
	if role := clauses["role"]; role != nil {
		k.Role, _ = access.ParseRole(role[0])
		k.Wide = len(role) > 1
	}
	epochs := append(slices.Clone(clauses["epoch"]), clauses["made-in"]...)
	into := []*int64{&k.Epoch}
	if clauses["epoch"] == nil {
		into = nil
	}
	into = append(into, &k.ClientEpoch, &k.KeyEpoch)
	for i, text := range epochs {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		*into[i] = n
	}
	return nil
}

func (th *theme) verdict(line string, words []word) error {
	head, clauses, err := cut(words, append(boundWords("given-"), "in", "each", "on", "singly", "via", "from", "cleartext", "browser", "own-page", "origin",
		"referer", "signed", "secret-until", "secret-minted", "at", "about", "giving", "within", "until", "renewal", "everywhere", "refusing", "observing", "gets", "by", "user", "asks")...)
	if err != nil {
		return err
	}
	v := &verdict{line: line, reason: access.Allowed, refusing: clauses["refusing"], observing: clauses["observing"]}
	if head[0] == "deny" && len(head) == 4 {
		v.reason = reasonOf(strings.TrimSuffix(head[1], ":"))
		head = head[1:]
	}
	if len(head) != 3 || v.reason == 0 || words[0].text != "allow" && words[0].text != "deny" {
		return errors.New("want: allow KEY ACTION, or: deny REASON: KEY ACTION")
	}
	if v.key = th.keys[head[1]]; v.key == nil {
		return fmt.Errorf("no key is called %q", head[1])
	}
	if gets := clauses["gets"]; gets != nil {
		v.gets = &gets[0]
	}
	v.rule = strings.Join(clauses["by"], " ")
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
	if a.Circumstances, err = circumstances(clauses); err != nil {
		return a, err
	}
	if a.At, err = instant(clauses["at"], noon); err != nil {
		return a, err
	}
	if a.Targets, err = targets(clauses); err != nil {
		return a, err
	}
	if user := clauses["user"]; user != nil { // user ID of PROJECT ENVIRONMENT, or: user bad
		a.User = access.User{Shown: true}
		if len(user) == 4 {
			a.User.Good, a.User.DistinctID, a.User.Project, a.User.Environment = true, user[0], user[2], user[3]
		}
	}
	if asks := clauses["asks"]; asks != nil {
		if len(a.Targets) == 0 {
			a.Targets = []access.Target{{}}
		}
		for i := range a.Targets {
			a.Targets[i].User = asks[0]
		}
	}
	a.Each = clauses["each"] != nil || clauses["singly"] != nil
	if about := clauses["about"]; about != nil {
		a.Subject = &access.Subject{}
		if about[0] != "nothing" {
			mode, ok := access.ParseMode(about[1])
			if !ok || th.projects[about[0]] == nil {
				return a, errors.New("about what?")
			}
			a.Subject = &access.Subject{Project: about[0], Mode: mode}
			if len(about) > 2 {
				a.Subject.Owner = "key_" + about[2]
			}
		}
	}
	if clauses["giving"] != nil {
		a.Grants, err = grant(clauses)
	}
	return a, err
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
		if len(clause) == 0 && !slices.Contains([]string{"each", "singly", "browser", "own-page", "cleartext", "signs", "given-signs", "renewal", "embedded", "everywhere"}, name) {
			return nil, nil, fmt.Errorf("%q of what?", name)
		}
	}
	return head, clauses, nil
}
