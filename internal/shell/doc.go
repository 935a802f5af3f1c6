// Package shell is the conversation of a person, or of a script, with a server in SQL: it takes lines apart into
// statements, completes words, keeps a history, and writes answers so that nothing in them can act on the terminal.
//
// It owns the terminal's side: the reader of statements, the commands that begin with a backslash, the table, the
// escaping of what is shown, the history's file. It does not own the way to the server, which it is given as a Server,
// nor who may ask what: every question goes through the API with the caller's key, and this package never sees a key.
//
// It reports what goes wrong as plain errors, since its reader is a person; those of the server are a Refusal.
package shell
