package cognitoidentity

import "tributary/awswire"

// FaultOf is the fault of an operation's error.
func FaultOf(operation string, err error) *awswire.Fault {
	for _, o := range (&front{}).operations() {
		if o.name == operation {
			return fault(o.kinds, err)
		}
	}
	return nil
}

// Operations names all operations, and tells which are public.
func Operations() map[string]bool {
	out := map[string]bool{}
	for _, o := range (&front{}).operations() {
		out[o.name] = o.public
	}
	return out
}
