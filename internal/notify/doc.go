// Package notify tells others what happened: servers that take events, chats, and
// hosts of code.
//
//	feed ─patterns─► outbox ─attempts─► recipient
//
// For each notify block of a project the feed is followed from where it was followed
// to before. What fits the block's pattern is put into the outbox in the transaction
// that moves this place on (package runs, OutboxStore), and sent from there in the
// order of the feed, one after the other, until it is taken: at least once, also when
// processes die between. An event that is not taken is sent again after growing
// times, and holds up those behind it; after a day it is dead, which is an event of
// its own.
//
// Nothing secret is sent, since events hold none, and none of the addresses and tokens
// that are secrets is in what is kept of an attempt. Connections go to public
// addresses only, unless a block allows others (package egress), and no redirect is
// followed.
package notify
