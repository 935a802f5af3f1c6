// Package access is the policy: what a key is, what a request wants, and whether it may have it.
//
// It owns the words Key, Scope, Attempt, Decision and Reason, the form of a key (its prefix, its checksum), and three
// pure functions over them: Decide, its first half Screen (the rules that need no body), and Explain, which runs the
// same rules and lists every one. There is one ordered table of rules, and nothing else in the program decides who may
// do what.
//
// It does not own where keys are kept (keyring), who asks (gate) or how a denial is written (problem, api). It imports
// only the standard library: no clock, no input, no output.
package access
