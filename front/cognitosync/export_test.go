package cognitosync

import (
	"errors"

	"github.com/go-json-experiment/json"

	"tributary"
	"tributary/awswire"
)

// FaultOf is the fault of an error.
func FaultOf(operation string, err error) *awswire.Fault { return fault(operation, err) }

// DecodeBoth decodes a body of UpdateRecords by hand and by the library, as
// JSON of what was read. By hand it may be declined.
func DecodeBoth(body []byte) (byHand, byLibrary string, declined bool, err error) {
	var in updateRecordsIn
	declined = !in.decodePlain(body)
	var lib updateRecordsIn
	err = json.Unmarshal(body, (*updateRecordsBody)(&lib))
	first, err1 := json.Marshal((*updateRecordsBody)(&in))
	second, err2 := json.Marshal((*updateRecordsBody)(&lib))
	return string(first), string(second), declined, errors.Join(err, err1, err2)
}

// AppendRecord encodes a record.
func AppendRecord(r tributary.Record) []byte { return appendRecord(nil, &r) }
