// Package view owns what may be seen of a space: which tables there are, which rows of them by typed conditions, which
// columns and properties not at all or only as hashes. It reads that from JSON strictly, checks it, writes it in one
// canonical form, joins two of them, and names them.
//
// It does not own who sees what (access, keyring), nor how an engine makes the relation that a statement sees
// (warehouse). What is wrong with a scope that somebody wrote is an invalid_field with the path of every fault.
package view
