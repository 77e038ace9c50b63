// Package access decides who may do what: roles allow and deny, grants give roles
// to people, groups and services, and tokens stand for somebody with some of their
// roles. It decides from what it is given and does nothing else: who somebody is,
// and which groups they are in, is found out by the one who asks.
package access
