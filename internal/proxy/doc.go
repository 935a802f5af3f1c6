// Package proxy finds out who the caller is on the network: the other end of the connection, unless that is a proxy that
// the settings name as trusted. Only then does a header say more, and it is read from the right, up to the first address
// that is no trusted proxy's. A header never changes who a caller is that comes by no trusted proxy.
//
// It owns the reading of Forwarded, X-Forwarded-For and X-Forwarded-Proto, the list of trusted proxies, and the listener
// that takes the PROXY protocol from them. It does not own what an address may do (access), nor what is counted about it
// (limit, ledger). It imports nothing of ours and keeps nothing: a Resolver does not change.
package proxy
