package pgstore

// SchemaSteps gives the statements of all migrations as an engine of a version
// gets them.
func SchemaSteps(version string) []string {
	var out []string
	for _, m := range steps(0, version) {
		out = append(out, m.statements()...)
	}
	return out
}
