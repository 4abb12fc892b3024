// Package warehouse is the table model of the analytics warehouse and the rules
// by which the log's entries become rows and current state. Engines live in
// the packages below it.
//
// # Tables
//
// cognito_raw_data holds a row for every key and value that ever changed, in
// the ten columns that AWS published, then columns of ours. cognito_current_state
// shows the live records. cognito_datasets shows each dataset's last removal.
// [Tables] describes them.
//
// # Raw rows
//
// A change gives a row for each record it touched, a snapshot one for each
// record of the dataset. The removal of a dataset gives a row for each key that
// was live in it, operation and op remove, value NULL, with the removal's own
// count and date, so that the published query, which takes each key's row of
// the highest count, finds the key removed; if none was live it gives one row
// whose key is NULL.
//
// A row is the same row however often it arrives: (identity, dataset, key,
// sync count, last modified date) tells one from another.
//
// # Current state
//
// What arrives may be late, repeated, or of a dataset whose counts restarted
// after a removal, as streams written by AWS may have it. The current state
// therefore does not depend on the order of arrival, only on what arrived:
//
//  1. A row or a removal has a [Stamp]: its sync count and its date. One
//     covers another if neither its count nor its date is lower.
//  2. A row that a removal of its dataset covers is gone. A row of a lower
//     count but a later date than the removal is not: counts restarted.
//  3. Of a key's rows that are left, the one with the highest count is
//     current, of equal counts the latest. The key is live if that row
//     replaces, and removed if it removes or if no row is left.
//
// A row that another row of its key covers can never become current again, and
// a removal that another one covers can take nothing more away. So what must be
// kept of a dataset is small: per key the rows that no other covers, nearly
// always one, and of the removals those that no other covers ([Dataset]).
//
// A late row that a removal covers, of a key that the removal had not found
// live, gives the removal's row for that key after it, so that the published
// query agrees here too. It cannot agree where counts restarted: it asks for
// the highest count ever.
//
// In a log of this server counts never restart and dates must not go back
// within a dataset; a change dated before the one it follows would still be
// applied, but a removal dated before the record it removes would look like a
// restart.
package warehouse
