// Package payload is the front that serves the records of entries which are
// too large for their stream record: it makes the links that such a record
// carries, and answers them straight from the log.
//
// A link is a SigV4-presigned URL,
//
//	GET /_tributary/payload/{stream id}/{shard}/{sequence number}
//
// so whoever has it may read that one entry until it expires, with any HTTP
// client and no credentials. It is signed with a key of our own, which is
// derived from the master key: all nodes make the same links and nobody else
// can, and no access key of a developer is part of it.
//
// Links are signed for the host of [Links.PublicURL], and the handler checks
// the Host that it is asked for: a proxy in front of the server must hand on
// the Host header and the path as they came. A link that is asked for under
// another name of the server is refused with 403.
//
// The answer is the bare JSON array of package streamrec. Refusals are XML as
// of S3: 403 AccessDenied for a signature that is missing, wrong or expired,
// 404 NoSuchKey for an entry that was trimmed.
package payload
