package warehouse

// Names of the tables and views that queries use.
const (
	RawTable      = "cognito_raw_data"
	CurrentTable  = "cognito_current_state"
	DatasetsTable = "cognito_datasets"
)

// Type is a column's type, which each engine spells its own way.
type Type uint8

// The types of columns.
const (
	Text   Type = iota // of any length, in UTF-8
	Number             // a 64-bit integer
	Time               // in UTC, to the millisecond
)

// Column is a column of a table.
type Column struct {
	Name string
	Type Type
	Doc  string
}

// Table describes a table or a view that queries may use.
type Table struct {
	Name    string
	Doc     string
	Columns []Column
}

// Tables describes all of them.
func Tables() []Table {
	return []Table{rawTable(), currentTable(), datasetsTable()}
}

// rawTable has AWS's columns first, in AWS's order.
func rawTable() Table {
	return Table{RawTable, "One row for every key and value that changed, ever.", []Column{
		{"identityPoolId", Text, "identity pool"},
		{"identityId", Text, "identity"},
		{"datasetName", Text, "dataset"},
		{"operation", Text, "what happened to the dataset: replace or remove"},
		{"key", Text, "record's key; NULL where a dataset was removed that held no records"},
		{"value", Text, "record's value, whole; NULL where it was removed"},
		{"op", Text, "what happened to the record: replace or remove"},
		{"syncCount", Number, "dataset's sync count when the record was written or removed"},
		{"deviceLastModifiedDate", Time, "when the device says it was written; NULL in a dataset's removal"},
		{"lastModifiedDate", Time, "when the server wrote it"},
		{"position", Text, "sequence number of the entry in its stream"},
		{"shard", Text, "stream and shard of the entry"},
		{"eventSyncCount", Number, "dataset's sync count after the event"},
		{"eventLastModifiedDate", Time, "when the event happened"},
		{"rowNumber", Number, "rises with the order of arrival; may have gaps"},
	}}
}

func currentTable() Table {
	return Table{CurrentTable, "One row for every record that is live now.", []Column{
		{"identityPoolId", Text, "identity pool"},
		{"identityId", Text, "identity"},
		{"datasetName", Text, "dataset"},
		{"key", Text, "record's key"},
		{"value", Text, "record's value"},
		{"syncCount", Number, "dataset's sync count when it was written"},
		{"deviceLastModifiedDate", Time, "when the device says it was written"},
		{"lastModifiedDate", Time, "when the server wrote it"},
	}}
}

func datasetsTable() Table {
	return Table{DatasetsTable, "One row for every dataset that was ever removed.", []Column{
		{"identityPoolId", Text, "identity pool"},
		{"identityId", Text, "identity"},
		{"datasetName", Text, "dataset"},
		{"removalSyncCount", Number, "sync count of its last removal"},
		{"removalDate", Time, "when it was last removed"},
	}}
}
