// Package vault encrypts the secrets that must be read again, such as those that requests are signed with, so that the
// control data alone opens nothing: they are sealed under a master key that is kept elsewhere. It derives others of that
// key, which are kept nowhere.
//
// It owns the form of a master key, the form of a sealed text, and the places a master key comes from: a file of the
// operator's, a variable of the environment (as text), a command. It does not own what is sealed or where that is kept
// (keyring, store), nor when a master key is changed (cmd). Keys that are only compared are not sealed but digested
// (keyring).
package vault
