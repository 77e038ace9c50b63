// Package identities finds out who somebody is who does not come by the operating
// system: with a token of an issuer that the project declares (OpenID Connect), or
// with one of Tutti's own.
//
// [Verifier] takes a bearer token, whoever brings it: a command that finds it in
// TUTTI_TOKEN, or a server that finds it in a request. [Issuer] also lets people log
// in, in the browser or with a code on another device. [Folder] keeps logins and
// the keys of issuers.
//
// What it answers with is an [access.Identity]; what somebody may do is not decided
// here. It never lets in for lack of an answer: an issuer that cannot be asked is an
// error.
package identities
