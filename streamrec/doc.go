// Package streamrec is the Cognito Streams record: the JSON in which a Change
// or a snapshot travels on a Kinesis stream.
//
// Every field is always there, null where it says nothing, so that a reader
// meets one shape only:
//
//   - The dataset's name stands under datasetName, which AWS's own consumer
//     reads, and under dataSetName, which AWS's guide prints.
//   - Dates are epoch milliseconds.
//   - An Inline record carries its records; its kinesisSyncRecordsURL is null.
//     A S3Url record has null for kinesisSyncRecords, and a link to them: a bare
//     JSON array of the same objects.
//   - A removed record has op remove and the value null. A removed dataset has
//     operation remove, an empty array of records, and is always Inline.
package streamrec
