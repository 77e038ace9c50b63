// Package webhooks makes events of HTTP requests that others send, if they are from
// whom they should be.
//
//	Request ─Endpoint.Receive(now)─► events, or a Rejection
//
// It is pure: a request comes in as data, with the time. Nothing of a body is read
// before its signature is known to be right; signatures are over the bytes as they
// came. Secrets are compared in constant time, all of them, so that a new one can
// be put beside an old one. Whatever is ambiguous is refused: a header that counts
// and is there twice, a name that is twice in an object.
//
// What says who sent a request and what it is about:
//
//	cloudevents   "Authorization: Bearer …"; the event itself, in all modes of the
//	              HTTP binding of CloudEvents 1.0
//	github        X-Hub-Signature-256
//	gitlab        webhook-signature, or X-Gitlab-Token
//	gitea         X-Gitea-Signature
//	standard      Standard Webhooks: webhook-id, -timestamp, -signature
//	alertmanager  "Authorization: Bearer …", or the password of Basic
//	slack         X-Slack-Signature and -Request-Timestamp
//
// What may come twice, because senders try again or somebody else sends it again,
// has the same source and id each time; [Received] says what else to remember.
// Headers beside the signed body (of GitHub, Gitea and tokens: the name of the event,
// the id of the delivery) are as trustworthy as the connection.
package webhooks
