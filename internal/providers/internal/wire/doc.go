// Package wire holds the messages of Terraform's provider protocols 5 and 6.
// The generated code follows wire.proto.
package wire

//go:generate protoc --go_out=. --go_opt=paths=source_relative wire.proto
