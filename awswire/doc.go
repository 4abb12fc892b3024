// Package awswire holds the mechanics that AWS's HTTP services share: the
// SigV4 signature, the REST-JSON and JSON 1.1 protocols (the latter in CBOR
// too) as a table of operations, event streams, error envelopes and request
// ids.
//
// It knows no service. A front lists its operations in a [Service], tells how
// errors become faults, and gets an http.Handler.
package awswire
