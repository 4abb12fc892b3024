package dialect

// What the SQL of pgstore may be made of. All of it is in PostgreSQL,
// CockroachDB, YugabyteDB and, on tables that are not distributed, Citus. What
// is not listed is refused, so that whoever needs more looks it up first. Not
// to be had everywhere, and therefore never to be listed: triggers, procedures
// and DO, LISTEN and NOTIFY, advisory locks, LOCK TABLE, sequences (serial),
// system columns (ctid, xmin), COPY, temporary tables.

func set(names ...string) map[string]bool {
	out := map[string]bool{}
	for _, n := range names {
		out[n] = true
	}
	return out
}

var (
	// SET for the one setting in settings, SHOW for whether writes are taken.
	// TRUNCATE is for a store that is to be filled, and serves nobody.
	statements = set("BEGIN", "COMMIT", "ROLLBACK", "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE TABLE", "CREATE INDEX", "TRUNCATE", "SET", "SHOW")

	// sum(bigint) is a numeric everywhere; it is cast or assigned to a bigint.
	// unnest takes several arrays and an ORDINALITY in all four.
	functions = set("convert_to", "count", "greatest", "max", "min", "octet_length", "row_number", "sum", "unnest", "version")

	// As CockroachDB's parser spells them: text, bigint, boolean, bytea.
	types = set("STRING", "INT8", "BOOL", "BYTES", "STRING[]", "INT8[]", "BOOL[]", "BYTES[]")

	// "/" only as 1 / (CASE …): dividing by zero, 22012 everywhere, is how a
	// statement says that its condition does not hold.
	operators = set("=", "!=", "<", "<=", ">", ">=", "IN", "= ANY", "+", "-", "/")

	// FOR KEY SHARE and FOR SHARE are row locks in YugabyteDB and, at READ
	// COMMITTED, in CockroachDB, which has them do nothing at SERIALIZABLE, where
	// nothing is needed. SKIP LOCKED and NOWAIT are not allowed.
	locks = set("FOR UPDATE", "FOR SHARE", "FOR KEY SHARE")

	// CockroachDB checks it and ignores it, with a notice; so does YugabyteDB.
	storageParams = set("fillfactor")

	settings = set("statement_timeout", "transaction_read_only")

	// The syntax, by the parser's names. RETURNING is RETURNING of a target's own
	// columns, ORDINALITY and LATERAL an AliasedTableExpr (a move reads by lists of
	// keys; CockroachDB has LATERAL joins since 20.1); OFFSET is OFFSET 0 alone,
	// which keeps PostgreSQL from merging a subquery.
	syntax = set(
		"BeginTransaction", "CommitTransaction", "RollbackTransaction", "TransactionModes", "SetVar", "ShowVar",
		"Select", "ParenSelect", "SelectClause", "SelectExpr", "From", "Where", "Order", "Limit", "LockingItem",
		"UnionClause", "With", "CTE", "Subquery", "AliasedTableExpr", "RowsFromExpr", "JoinTableExpr", "OnJoinCond", "AliasClause", "ColumnDef",
		"Insert", "OnConflict", "Update", "UpdateExpr", "Delete", "NoReturningClause", "AsOfClause", "WindowDef",
		"Truncate", "CreateTable", "ColumnTableDef", "UniqueConstraintTableDef", "IndexTableDef", "IndexElem", "IndexInvisibility",
		"CreateIndex", "StorageParam", "ReferenceActions", "ValuesClause",
		"TableName", "ObjectNamePrefix", "UnresolvedName", "UnqualifiedStar",
		"AndExpr", "OrExpr", "NotExpr", "ParenExpr", "ComparisonExpr", "IsNullExpr", "BinaryExpr", "CaseExpr", "When", "CastExpr", "CoalesceExpr",
		"FuncExpr", "Tuple", "Placeholder", "NumVal", "StrVal",
	)
)

// mayFail is for PostgreSQL's planner and its disk: prepare sends them and goes
// on when an engine refuses them.
var mayFail = []string{
	`SET plan_cache_mode = force_generic_plan`,
	`SET jit = off`,
	`SET enable_seqscan = off`,
	`SET enable_hashjoin = off`,
	`SET enable_mergejoin = off`,
	`SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`,
}
