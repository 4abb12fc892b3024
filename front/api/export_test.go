package api

// FaultOf is the front's table of errors.
var FaultOf = fault
