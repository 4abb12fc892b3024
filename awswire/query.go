package awswire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// matchQuery finds the operation that a form names in its Action: that of the
// body, or the query of a GET.
func (s *Service[P]) matchQuery(r *http.Request) (*Operation[P], Params, *Fault) {
	form, fault := readForm(r)
	if fault != nil {
		return nil, Params{}, fault
	}
	params := Params{query: form}
	action, ok := params.Query("Action")
	if !ok {
		return nil, Params{}, &Fault{"MissingAction", http.StatusBadRequest, "The request must name an Action: " + s.actions()}
	}
	for i := range s.Operations {
		if s.Operations[i].Name == action {
			return &s.Operations[i], params, nil
		}
	}
	return nil, Params{}, &Fault{"InvalidAction", http.StatusBadRequest, fmt.Sprintf("The action %.128q is not served here: %s", action, s.actions())}
}

// actions says what the service has.
func (s *Service[P]) actions() string {
	names := make([]string, len(s.Operations))
	for i := range s.Operations {
		names[i] = s.Operations[i].Name
	}
	return s.Name + " has " + strings.Join(names, " and ")
}

// readForm gives a request's parameters as they came. A body can be read again.
func readForm(r *http.Request) (string, *Fault) {
	switch r.Method {
	case http.MethodGet:
		_, query := rawTarget(r)
		return query, nil
	case http.MethodPost:
	default:
		return "", &Fault{"InvalidAction", http.StatusBadRequest, r.Method + " is not answered here: send POST, or GET with the parameters in the query"}
	}
	body, err := (&intake{most: smallBody}).read(r)
	if err != nil {
		var f *Fault
		if !errors.As(err, &f) {
			f = endedEarly()
		}
		return "", f
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return string(body), nil
}

// queryCodes are what services with the Query protocol call faults that others
// call differently.
var queryCodes = map[string]string{
	"UnrecognizedClientException":         "InvalidClientTokenId",
	"InvalidSignatureException":           "SignatureDoesNotMatch",
	"IncompleteSignatureException":        "IncompleteSignature",
	"MissingAuthenticationTokenException": "MissingAuthenticationToken",
	"ExpiredTokenException":               "ExpiredToken",
}

// queryCode is a caller's fault in the Query protocol's words.
func queryCode(f *Fault) *Fault {
	if code, ok := queryCodes[f.Code]; ok {
		return &Fault{code, f.Status, f.Message}
	}
	return f
}

// queryAnswer writes an operation's output as XML.
func queryAnswer(namespace, operation, request string, out any) ([]byte, error) {
	type metadata struct {
		RequestID string `xml:"RequestId"`
	}
	element := func(name string) xml.StartElement { return xml.StartElement{Name: xml.Name{Local: name}} }
	root := element(operation + "Response")
	root.Attr = []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}
	var b bytes.Buffer
	e := xml.NewEncoder(&b)
	err := errors.Join(
		e.EncodeToken(root), e.EncodeElement(out, element(operation+"Result")), e.EncodeElement(metadata{request}, element("ResponseMetadata")),
		e.EncodeToken(root.End()), e.Close())
	return b.Bytes(), err
}

// queryFault writes a fault as XML.
func queryFault(namespace, request string, f *Fault) ([]byte, error) {
	type fault struct{ Type, Code, Message string }
	type response struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Namespace string   `xml:"xmlns,attr"`
		Error     fault
		RequestID string `xml:"RequestId"`
	}
	whose := "Sender"
	if f.Status >= http.StatusInternalServerError {
		whose = "Receiver"
	}
	return xml.Marshal(response{Namespace: namespace, Error: fault{whose, f.Code, f.Message}, RequestID: request})
}
