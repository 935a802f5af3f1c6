// Package api is the HTTP face of Weir: the endpoint rows, the frame around every request, the one writer of problems,
// and the OpenAPI document that is made from the rows.
//
// The frame owns the order in which a request is handled:
//
//	request id, log line, host, body limit -> credential -> gate.Identify -> Read -> Wants -> gate.Admit -> Do -> Write
//
// A row says what is particular to one address. It declares an Action, or the program does not start; it never calls
// the gate itself. A row for Anyone has no key and no permit.
//
// The package does not decide who may do what (access), and never sees an engine: it is given the domain's services.
package api
