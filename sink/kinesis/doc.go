// Package kinesis is the sink that writes the logs of streams at Amazon Kinesis
// there.
//
// # Order
//
// A reader sees the changes of an identity in the order of their sync counts,
// without a gap; some of them more than once. PutRecords promises no order
// within a call, writes a part of it where it fails, and may have written what
// it never answered to. So of one partition key, which is the identity, never
// more than one record is on its way: the next one leaves when the one before
// it is confirmed. Records of different keys travel together, and in several
// calls at a time.
//
// A call that is thought to be lost may still arrive after it was repeated. Its
// records then stand behind newer ones: a reader skips a record whose sync count
// is not above the one that it has seen of the dataset.
//
// # Failures
//
// What may pass, throttling, time-outs, 5xx, a network that is gone, is tried
// again for ever: the stream lags. What needs a person, such as a stream that
// is not there or a role that cannot be assumed, is tried for [Sink.Patience],
// because IAM's answers need a while to be true everywhere; then the stream is
// turned off with a reason, and its log is kept. Nothing is sent until it is
// turned on again, from where it stopped.
package kinesis
