// Package api is the HTTP API of a server: one table of operations, from which
// requests are read and checked, answers written, and the OpenAPI 3.1 document
// made that clients are generated from.
//
// It knows runs and what they leave in the store. What only the wiring can do
// (finding the project, planning, deciding who may) it asks of [Work].
package api
