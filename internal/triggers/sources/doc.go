// Package sources watches what tells nobody that it changed, and makes events of the
// changes: queries of Prometheus, files, and the messages of NATS and MQTT.
//
//	Source.Run ──► Inbox.Take(events, memory)
//
// What a source has told of is its memory. It is written down together with the events,
// in one transaction of the inbox, and read when the source begins: so a change is told
// once, whether or not the process was there when it came, and however often it dies.
// Sources of messages have none; they acknowledge a message when it is in the inbox, and
// what the server sends again has the same id where the protocol gives it one.
package sources
