package awswire

import (
	"errors"
	"net/http"
)

// Fault is an error in AWS's terms. Message reaches the client.
type Fault struct {
	Code    string // such as "InvalidSignatureException"
	Status  int    // of HTTP
	Message string
}

func (f *Fault) Error() string { return f.Code + ": " + f.Message }

// UnknownKey is the fault of an access key or a session token that nobody has.
func UnknownKey() *Fault {
	return &Fault{"UnrecognizedClientException", http.StatusForbidden, "The security token included in the request is invalid."}
}

// NotDecoded is the fault of a body that is no JSON, or JSON of another shape.
func NotDecoded(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{"SerializationException", http.StatusBadRequest, "The request body could not be read: " + err.Error()}
}

func incomplete(text string) *Fault {
	return &Fault{"IncompleteSignatureException", http.StatusBadRequest, text}
}

func invalid(text string) *Fault {
	return &Fault{"InvalidSignatureException", http.StatusForbidden, text}
}

func malformedQuery(text string) *Fault {
	return &Fault{"MalformedQueryString", http.StatusBadRequest, text}
}
