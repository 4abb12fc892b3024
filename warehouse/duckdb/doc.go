// Package duckdb is the warehouse in the process: a file of DuckDB's.
//
// DESIGN.md in the folder above says how rows get in and why this way.
package duckdb

// Config says where the warehouse is and what it may take.
type Config struct {
	Path string // the file, made if it does not exist; "" keeps all in memory
	// Store is the id of the store that fills the warehouse. A warehouse keeps the
	// first that it hears of, and is not opened for another. "": not checked.
	Store string
	// Threads that work on one statement; 1 if 0. Loader and queries have a
	// thread each in any case.
	Threads int
	// MemoryLimit bounds DuckDB's buffers and the intermediate results of all
	// queries together, in DuckDB's notation; "256MB" if "".
	MemoryLimit string
	// Queries is how many run at a time, others wait; 2 if 0.
	Queries int
	// FoldRows is after how many rows the current state's table is brought up to
	// date; 200,000 if 0. Until then its view looks through so many raw rows.
	FoldRows int
}
