//go:build cgo

package duckdb

import (
	"fmt"
	"strings"

	"tributary/warehouse"
)

// schemaVersion is the version of the tables below. A file of a higher one was
// written by a newer server.
const schemaVersion = 1

// Tables of ours. They are left out of the documentation for queries, but
// nothing in them is secret.
//
// No table has an index: DuckDB keeps indexes in memory whole, and its unique
// constraints refuse a row that the same transaction deletes and inserts.
//
// warehouse_state holds the versions of each key, removed ones too, as of the
// raw row warehouse_meta.folded. Raw rows above that one, the tail, are newer
// than all else that their datasets ever had, so that the last of a key's tail
// rows is its current state. dh, dl and kh, kl are the hashes of dataset and key.
//
// warehouse_heads holds for each dataset the highest count and the latest date
// of anything it had up to that raw row; warehouse_removals the removals that
// no other one covers.
const ownTables = `
CREATE TABLE warehouse_meta (version BIGINT, generation BIGINT, folded BIGINT, store VARCHAR);
CREATE TABLE warehouse_checkpoint (stream UBIGINT, shard UBIGINT, epoch BIGINT, position VARCHAR);
CREATE TABLE warehouse_heads (dh UBIGINT, dl UBIGINT, syncCount BIGINT, atMillis BIGINT);
CREATE TABLE warehouse_removals (dh UBIGINT, dl UBIGINT,
	identityPoolId VARCHAR, identityId VARCHAR, datasetName VARCHAR, syncCount BIGINT, atMillis BIGINT);
CREATE TABLE warehouse_state (
	kh UBIGINT USING COMPRESSION uncompressed, kl UBIGINT USING COMPRESSION uncompressed,
	dh UBIGINT USING COMPRESSION uncompressed, dl UBIGINT USING COMPRESSION uncompressed,
	identityPoolId VARCHAR USING COMPRESSION dict_fsst, identityId VARCHAR USING COMPRESSION dict_fsst,
	datasetName VARCHAR USING COMPRESSION dict_fsst, key VARCHAR USING COMPRESSION dict_fsst,
	value VARCHAR USING COMPRESSION zstd,
	syncCount BIGINT, deviceLastModifiedDate TIMESTAMP, lastModifiedDate TIMESTAMP,
	removed BOOLEAN, isCurrent BOOLEAN);
INSERT INTO warehouse_meta VALUES (%d, 0, 0, NULL);
`

// currentView adds the tail to the state. Its filters reach both halves.
const currentView = `
CREATE VIEW cognito_current_state AS
SELECT identityPoolId, identityId, datasetName, key, value, syncCount, deviceLastModifiedDate, lastModifiedDate
FROM warehouse_state AS s
WHERE s.isCurrent AND NOT s.removed AND NOT EXISTS (
	SELECT 1 FROM cognito_raw_data AS r
	WHERE r.rowNumber > (SELECT folded FROM warehouse_meta)
	AND r.identityId = s.identityId AND r.datasetName = s.datasetName AND r.key = s.key)
UNION ALL
SELECT identityPoolId, identityId, datasetName, key, value, syncCount, deviceLastModifiedDate, lastModifiedDate
FROM (
	SELECT *, lead(rowNumber) OVER (PARTITION BY identityId, datasetName, key ORDER BY rowNumber) AS later
	FROM cognito_raw_data
	WHERE rowNumber > (SELECT folded FROM warehouse_meta))
WHERE later IS NULL AND op <> 'remove'`

const datasetsView = `
CREATE VIEW cognito_datasets AS
SELECT arg_max(identityPoolId, atMillis) AS identityPoolId, identityId, datasetName,
	arg_max(syncCount, atMillis) AS removalSyncCount, make_timestamp(max(atMillis) * 1000) AS removalDate
FROM warehouse_removals GROUP BY identityId, datasetName`

// rawDefinition spells the raw table. Compression is chosen for the load's sake:
// told which one to use DuckDB need not try them all.
func rawDefinition() string {
	var columns []string
	for _, c := range warehouse.Tables()[0].Columns {
		columns = append(columns, fmt.Sprintf("%q %s", c.Name, spell(c)))
	}
	return "CREATE TABLE " + warehouse.RawTable + " (" + strings.Join(columns, ", ") + ")"
}

func spell(c warehouse.Column) string {
	switch {
	case c.Type == warehouse.Number:
		return "BIGINT"
	case c.Type == warehouse.Time:
		return "TIMESTAMP"
	case c.Name == "value":
		return "VARCHAR USING COMPRESSION zstd"
	}
	return "VARCHAR USING COMPRESSION dict_fsst"
}

// schema makes everything in an empty database.
func schema() []string {
	return []string{rawDefinition(), fmt.Sprintf(ownTables, schemaVersion), currentView, datasetsView}
}

// staging makes the loader's own temporary tables.
const staging = `
CREATE TEMP TABLE asked (dh UBIGINT, dl UBIGINT);
CREATE TEMP TABLE newest (kh UBIGINT, kl UBIGINT, dh UBIGINT, dl UBIGINT, rowNumber BIGINT);
CREATE TEMP TABLE marks (kh UBIGINT, kl UBIGINT, syncCount BIGINT, atMillis BIGINT, gone BOOLEAN, isCurrent BOOLEAN);
CREATE TEMP TABLE late AS FROM cognito_raw_data LIMIT 0;
`
