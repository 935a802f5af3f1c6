package access

import (
	"hash/crc32"
	"strings"
)

// hiddenPart stands in the place of a key's secret part.
const hiddenPart = "…"

const wordLength = LookupLength + SecretLength + checkLength

// HideKeysIn gives a text without the secret part of any key in it; what is left of a key is its prefix and its public
// name. It takes for a key
//
//   - what follows a key's prefix, be that in capitals or not, when it is longer than a public name: a key that was cut
//     short is hidden too;
//   - a key's word without its prefix, or behind one that is spelled wrongly, when the checksum says that it is one.
//
// What stands right before a key does not protect it, and what stands right behind it is hidden with it. A piece of a
// key's word without a prefix looks like any other word, and stays.
//
// Of an access token, or of anything else that is signed in the compact form of RFC 7515 with a JSON object before its first
// dot, the signature is hidden: without it a token opens nothing. A text without either comes back as it is.
func HideKeysIn(text string) string {
	if f := newFinder(text); !f.any() {
		return text
	}
	return string(appendHidden(nil, text))
}

// HideKeys is HideKeysIn for bytes. A JSON text stays one.
func HideKeys(text []byte) []byte {
	if f := newFinder(text); !f.any() {
		return text
	}
	return appendHidden(nil, text)
}

type text interface{ string | []byte }

func appendHidden[T text](dst []byte, t T) []byte {
	f := newFinder(t)
	for from := 0; ; {
		next := f.next(from)
		if next.start < 0 {
			return append(dst, t[from:]...)
		}
		dst = append(append(dst, t[from:next.start]...), hiddenPart...)
		from = next.end
	}
}

// piece is a part of a text; there is none when its start is -1.
type piece struct{ start, end int }

// finder finds what is to be hidden in a text, from its beginning to its end, in one pass for each kind of it.
type finder[T text] struct {
	t              T
	key, signature piece // the next ones
}

func newFinder[T text](t T) finder[T] {
	f := finder[T]{t: t}
	f.key.start, f.key.end = nextSecret(t, 0)
	f.signature.start, f.signature.end = nextSignature(t, 0, 0)
	return f
}

func (f *finder[T]) any() bool { return f.key.start >= 0 || f.signature.start >= 0 }

// next is the first piece that begins at a place or behind it.
func (f *finder[T]) next(from int) piece {
	if f.key.start >= 0 && f.key.start < from {
		f.key.start, f.key.end = nextSecret(f.t, from)
	}
	if f.signature.start >= 0 && f.signature.start < from {
		f.signature.start, f.signature.end = nextSignature(f.t, f.signature.end, from)
	}
	if f.key.start < 0 || f.signature.start >= 0 && f.signature.start < f.key.start {
		return f.signature
	}
	return f.key
}

// objectBegins is how {" begins in base64url.
const objectBegins = "eyJ"

// nextSignature finds the first signature that begins at a place or behind it: what follows the second dot behind a JSON
// object in base64url, which begins behind another place.
func nextSignature[T text](t T, behind, from int) (start, end int) {
	for at := behind; at+len(objectBegins) <= len(t); at++ {
		if string(t[at:at+len(objectBegins)]) != objectBegins {
			continue
		}
		body := skipBase64(t, at)
		if body == len(t) || t[body] != '.' {
			at = body - 1
			continue
		}
		second := skipBase64(t, body+1)
		if second == len(t) || t[second] != '.' {
			at = body
			continue
		}
		if end = skipBase64(t, second+1); end > second+1 && second+1 >= from {
			return second + 1, end
		}
		at = body
	}
	return -1, -1
}

// skipBase64 is where a run of base64url ends that begins at a place.
func skipBase64[T text](t T, at int) int {
	for at < len(t) && (isBase62(t[at]) || t[at] == '-' || t[at] == '_') {
		at++
	}
	return at
}

// nextSecret finds the first secret part in the words that begin at a place or behind it; start is -1 when there is none.
func nextSecret[T text](t T, from int) (start, end int) {
	for at := from; at < len(t); at = end {
		for at < len(t) && !isBase62(t[at]) {
			at++
		}
		for end = at; end < len(t) && isBase62(t[end]); {
			end++
		}
		if end-at <= LookupLength {
			continue
		}
		if at >= prefixLength && isPrefix(t[at-prefixLength:at]) {
			return at + LookupLength, end
		}
		if word := keyWord(t[at:end]); word >= 0 {
			return at + word + LookupLength, end
		}
	}
	return -1, -1
}

func isPrefix[T text](t T) bool {
	_, _, ok := parsePrefix(strings.ToLower(string(t)))
	return ok
}

// keyWord finds, in a run of base62, the first word that is a key's with one of the prefixes; -1 when there is none.
func keyWord[T text](run T) int {
	if len(run) < wordLength {
		return -1
	}
	var began [6]uint32
	for i, p := range [...]string{"pk_live_", "pk_test_", "sk_live_", "sk_test_", "cs_live_", "cs_test_"} {
		began[i] = crcOf(^uint32(0), p)
	}
	for at := range len(run) - wordLength + 1 {
		body, check := run[at:at+wordLength-checkLength], run[at+wordLength-checkLength:at+wordLength]
		for _, crc := range began {
			if isChecksum(check, ^crcOf(crc, body)) {
				return at
			}
		}
	}
	return -1
}

// crcOf goes on with a CRC-32 (IEEE), without its last step.
func crcOf[T text](crc uint32, t T) uint32 {
	for i := range len(t) {
		crc = crc32.IEEETable[byte(crc)^t[i]] ^ crc>>8
	}
	return crc
}

func isChecksum[T text](check T, sum uint32) bool {
	for i := checkLength - 1; i >= 0; i-- {
		if check[i] != Alphabet[sum%62] {
			return false
		}
		sum /= 62
	}
	return true
}
