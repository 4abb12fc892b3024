package sts

import "tributary/awswire"

// FaultOf is the fault of an error.
func FaultOf(err error) *awswire.Fault { return fault("", err) }
