// Package e2e drives the built binary from outside, with the clients that apps
// in the field use. Everything in it is a test.
package e2e
