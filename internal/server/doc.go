// Package server serves a project over HTTP: the API, the live feed and the UI,
// with what keeps others out. It decides who asks ([Server.Token], sessions of
// browsers) and leaves to the API what they may do.
package server
