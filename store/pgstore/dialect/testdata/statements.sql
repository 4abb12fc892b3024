BEGIN; SET LOCAL statement_timeout = 0;

BEGIN; WITH held AS (SELECT 1 FROM meta WHERE name = 'id' FOR KEY SHARE) SELECT 1 / count(*) FROM held;

CREATE INDEX identities_of_pool ON identities (pool_id, identity_id);

CREATE INDEX records_by_count ON records (identity_id, dataset, sync_count, key);

CREATE TABLE IF NOT EXISTS schema_versions (version bigint PRIMARY KEY);

CREATE TABLE access_keys (
	key_id bytea PRIMARY KEY,
	revision bigint NOT NULL,
	body text NOT NULL
);

CREATE TABLE datasets (
	identity_id text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	sync_count bigint NOT NULL,
	change_id bigint NOT NULL,
	live boolean NOT NULL,
	body bytea NOT NULL,
	PRIMARY KEY (identity_id, name)
) WITH (fillfactor = 70);

CREATE TABLE devices (
	identity_id text COLLATE "C" NOT NULL,
	device_id bytea NOT NULL,
	revision bigint NOT NULL,
	body text NOT NULL,
	PRIMARY KEY (identity_id, device_id)
);

CREATE TABLE identities (
	identity_id text COLLATE "C" PRIMARY KEY,
	pool_id text COLLATE "C" NOT NULL,
	revision bigint NOT NULL,
	disabled boolean NOT NULL,
	created bigint NOT NULL,
	modified bigint NOT NULL,
	logins bytea NOT NULL,
	datasets bigint NOT NULL,
	bytes bigint NOT NULL,
	data_modified bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE leases (
	sink bytea NOT NULL,
	stream_id bigint NOT NULL,
	shard bigint NOT NULL,
	revision bigint NOT NULL,
	body text NOT NULL,
	PRIMARY KEY (sink, stream_id, shard)
);

CREATE TABLE log (
	stream_id bigint NOT NULL,
	shard bigint NOT NULL,
	position bigint NOT NULL,
	arrived bigint NOT NULL,
	body bytea NOT NULL,
	PRIMARY KEY (stream_id, shard, position)
);

CREATE TABLE logins (
	pool_id text COLLATE "C" NOT NULL,
	provider bytea NOT NULL,
	username bytea NOT NULL,
	identity_id text COLLATE "C" NOT NULL,
	PRIMARY KEY (pool_id, provider, username)
);

CREATE TABLE meta (
	name text PRIMARY KEY,
	value text NOT NULL
);

CREATE TABLE pools (
	pool_id text COLLATE "C" PRIMARY KEY,
	revision bigint NOT NULL,
	route bigint NOT NULL,
	body text NOT NULL
);

CREATE TABLE records (
	identity_id text COLLATE "C" NOT NULL,
	dataset text COLLATE "C" NOT NULL,
	key bytea NOT NULL,
	sync_count bigint NOT NULL,
	removed boolean NOT NULL,
	body bytea NOT NULL,
	PRIMARY KEY (identity_id, dataset, key)
);

CREATE TABLE sealing_keys (
	key_id bigint PRIMARY KEY,
	revision bigint NOT NULL,
	body text NOT NULL
);

CREATE TABLE sessions (
	pool_id text COLLATE "C" PRIMARY KEY,
	sessions bigint NOT NULL
);

CREATE TABLE shards (
	stream_id bigint NOT NULL,
	shard bigint NOT NULL,
	open boolean NOT NULL,
	last bigint NOT NULL,
	trimmed bigint NOT NULL,
	arrived bigint NOT NULL,
	PRIMARY KEY (stream_id, shard)
) WITH (fillfactor = 10);

CREATE TABLE streams (
	stream_id bigint PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	revision bigint NOT NULL,
	body text NOT NULL
);

CREATE TABLE unfinished (
	identity_id text COLLATE "C" PRIMARY KEY
);

CREATE TABLE usage (
	pool_id text COLLATE "C" NOT NULL,
	stream_id bigint NOT NULL,
	shard bigint NOT NULL,
	bytes bigint NOT NULL,
	modified bigint NOT NULL,
	PRIMARY KEY (pool_id, stream_id, shard)
);

DELETE FROM access_keys WHERE key_id = $1;

DELETE FROM datasets WHERE identity_id = $1;

DELETE FROM datasets WHERE identity_id = $1 AND name = $2;

DELETE FROM devices WHERE identity_id = $1;

DELETE FROM devices WHERE identity_id = $1 AND device_id = $2;

DELETE FROM identities WHERE identity_id = $1;

DELETE FROM leases WHERE sink = $1 AND stream_id = $2 AND shard = $3;

DELETE FROM leases WHERE stream_id = $1;

DELETE FROM log WHERE stream_id = $1;

DELETE FROM log WHERE stream_id = $1 AND shard = $2;

DELETE FROM log WHERE stream_id = $1 AND shard = $2 AND position <= $3;

DELETE FROM log WHERE stream_id = $1 AND shard = $2 AND position = $3;

DELETE FROM logins WHERE pool_id = $1 AND provider = $2 AND username = $3;

DELETE FROM logins WHERE pool_id = $1 AND provider = $2 AND username = $3 AND identity_id = $4;

DELETE FROM meta WHERE name = 'restores';

DELETE FROM meta WHERE name = 'transfer';

DELETE FROM meta WHERE name IN ('kept_id', 'last_stream', 'restores');

DELETE FROM pools WHERE pool_id = $1;

DELETE FROM records WHERE identity_id = $1 AND dataset = $2;

DELETE FROM records r USING unnest($1::text[], $2::text[]) AS x (identity_id, dataset)
	WHERE r.identity_id = x.identity_id AND r.dataset = x.dataset;

DELETE FROM records r USING unnest($1::text[], $2::text[], $3::bytea[]) AS x (identity_id, dataset, key)
	WHERE r.identity_id = x.identity_id AND r.dataset = x.dataset AND r.key = x.key;

DELETE FROM sealing_keys WHERE key_id = $1;

DELETE FROM sessions WHERE pool_id = $1;

DELETE FROM shards WHERE stream_id = $1;

DELETE FROM shards WHERE stream_id = $1 AND shard = $2;

DELETE FROM streams WHERE stream_id = $1;

DELETE FROM unfinished WHERE identity_id = $1;

DELETE FROM usage WHERE pool_id = $1;

DELETE FROM usage WHERE stream_id = $1;

INSERT INTO access_keys (key_id, revision, body) VALUES ($1, $2, $3)
		ON CONFLICT (key_id) DO UPDATE SET revision = excluded.revision, body = excluded.body;

INSERT INTO access_keys (revision, body, key_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

INSERT INTO datasets (identity_id, name, sync_count, change_id, live, body)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::boolean[], $6::bytea[])
		ON CONFLICT (identity_id, name) DO UPDATE SET sync_count = excluded.sync_count, change_id = excluded.change_id, live = excluded.live, body = excluded.body;

INSERT INTO datasets (identity_id, name, sync_count, change_id, live, body) VALUES ($1, $2, $3, 0, false, $4) ON CONFLICT DO NOTHING;

INSERT INTO devices (identity_id, device_id, revision, body) SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::text[])
		ON CONFLICT (identity_id, device_id) DO UPDATE SET revision = excluded.revision, body = excluded.body;

INSERT INTO devices (revision, body, identity_id, device_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

INSERT INTO identities (identity_id, disabled, created, modified, logins, pool_id, revision, datasets, bytes, data_modified)
			VALUES ($1, $2, $3, $4, $5, $6, 1, 0, 0, 0) ON CONFLICT DO NOTHING;

INSERT INTO identities (identity_id, pool_id, revision, disabled, created, modified, logins, datasets, bytes, data_modified)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::bigint[], $6::bigint[], $7::bytea[], $8::bigint[], $9::bigint[], $10::bigint[]);

INSERT INTO leases (revision, body, sink, stream_id, shard) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING;

INSERT INTO leases (sink, stream_id, shard, revision, body) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (sink, stream_id, shard) DO UPDATE SET revision = excluded.revision, body = excluded.body;

INSERT INTO log (stream_id, shard, position, arrived, body) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
		ON CONFLICT (stream_id, shard, position) DO UPDATE SET arrived = excluded.arrived, body = excluded.body;

INSERT INTO logins (identity_id, pool_id, provider, username) SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[])
		ON CONFLICT (pool_id, provider, username) DO UPDATE SET identity_id = excluded.identity_id;

INSERT INTO logins (pool_id, provider, username, identity_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

INSERT INTO meta (name, value) VALUES ('id', $1), ('last_stream', $2);

INSERT INTO meta (name, value) VALUES ('transfer', $1);

INSERT INTO pools (pool_id, revision, route, body) VALUES ($1, $2, $3, $4)
		ON CONFLICT (pool_id) DO UPDATE SET revision = excluded.revision, route = excluded.route, body = excluded.body;

INSERT INTO pools (pool_id, revision, route, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

INSERT INTO records (identity_id, dataset, key, sync_count, removed, body)
	SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::boolean[], $6::bytea[])
	ON CONFLICT (identity_id, dataset, key) DO UPDATE SET sync_count = excluded.sync_count, removed = excluded.removed, body = excluded.body;

INSERT INTO schema_versions (version) VALUES ($1);

INSERT INTO sealing_keys (key_id, revision, body) VALUES ($1, $2, $3)
		ON CONFLICT (key_id) DO UPDATE SET revision = excluded.revision, body = excluded.body;

INSERT INTO sealing_keys (revision, body, key_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

INSERT INTO sessions (pool_id, sessions)
			SELECT p.pool_id, x.n FROM unnest($1::text[], $2::bigint[]) AS x (pool_id, n) JOIN pools p ON p.pool_id = x.pool_id ORDER BY p.pool_id
			ON CONFLICT (pool_id) DO UPDATE SET sessions = sessions.sessions + excluded.sessions;

INSERT INTO sessions (pool_id, sessions) VALUES ($1, $2);

INSERT INTO shards (stream_id, shard, open, last, trimmed, arrived) VALUES ($1, $2, $3, $4, $5, 0)
		ON CONFLICT (stream_id, shard) DO UPDATE SET open = excluded.open, last = excluded.last, trimmed = excluded.trimmed;

INSERT INTO shards (stream_id, shard, open, last, trimmed, arrived) VALUES ($1, $2, $3, $4, 0, 0) ON CONFLICT DO NOTHING;

INSERT INTO streams (stream_id, name, revision, body) VALUES ($1, $2, $3, $4)
		ON CONFLICT (stream_id) DO UPDATE SET name = excluded.name, revision = excluded.revision, body = excluded.body;

INSERT INTO streams (stream_id, name, revision, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

INSERT INTO unfinished (identity_id) SELECT * FROM unnest($1::text[]);

INSERT INTO unfinished (identity_id) VALUES ($1) ON CONFLICT DO NOTHING;

INSERT INTO usage (pool_id, stream_id, shard, bytes, modified)
			SELECT pool_id, $2::bigint, 0, sum(bytes), max(modified) FROM usage WHERE stream_id = $1 GROUP BY pool_id ORDER BY pool_id
			ON CONFLICT (pool_id, stream_id, shard) DO UPDATE SET bytes = usage.bytes + excluded.bytes, modified = greatest(usage.modified, excluded.modified);

INSERT INTO usage (pool_id, stream_id, shard, bytes, modified)
	SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
	ON CONFLICT (pool_id, stream_id, shard) DO UPDATE SET bytes = usage.bytes + excluded.bytes, modified = greatest(usage.modified, excluded.modified);

INSERT INTO usage (pool_id, stream_id, shard, bytes, modified) VALUES ($1, $2, $3, $4, $5);

SELECT
		coalesce((SELECT sum(bytes) FROM usage u WHERE u.pool_id = p.pool_id), 0)::bigint,
		coalesce((SELECT max(modified) FROM usage u WHERE u.pool_id = p.pool_id), 0)::bigint,
		coalesce((SELECT sessions FROM sessions s WHERE s.pool_id = p.pool_id), 0)::bigint
		FROM pools p WHERE p.pool_id = $1;

SELECT ''::bytea, key_id, 0::bigint, body FROM sealing_keys;

SELECT ''::bytea, stream_id, 0::bigint, body FROM streams;

SELECT 1 FROM identities WHERE identity_id = $1 FOR KEY SHARE;

SELECT 1 FROM identities WHERE identity_id = $1 FOR SHARE;

SELECT 1 FROM identities WHERE identity_id = ANY($1) ORDER BY identity_id FOR UPDATE;

SELECT 1 FROM identities WHERE pool_id = $1 LIMIT 1;

SELECT 1 FROM pools WHERE pool_id = $1 FOR KEY SHARE;

SELECT 1 FROM pools WHERE route = $1 LIMIT 1;

SELECT 1 FROM shards WHERE (stream_id, shard) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
	ORDER BY stream_id, shard FOR UPDATE;

SELECT 1 FROM shards WHERE stream_id = $1 OR stream_id = $2 AND shard = 0 ORDER BY stream_id, shard FOR UPDATE;

SELECT 1 FROM shards WHERE stream_id = $1 ORDER BY stream_id, shard FOR UPDATE;

SELECT 1 FROM streams WHERE stream_id = $1 FOR SHARE;

SELECT 1 FROM streams WHERE stream_id = $1 FOR UPDATE;

SELECT CASE name WHEN 'last_stream' THEN 'last stream' WHEN 'restores' THEN 'restores' ELSE 'id' END::bytea, 0::bigint, 0::bigint, value
		FROM meta WHERE name IN ('id', 'kept_id', 'last_stream', 'restores');

SELECT EXISTS (SELECT 1 FROM streams WHERE stream_id <> $1) OR EXISTS (SELECT 1 FROM pools) OR EXISTS (SELECT 1 FROM identities) OR EXISTS (SELECT 1 FROM unfinished) OR EXISTS (SELECT 1 FROM logins) OR EXISTS (SELECT 1 FROM devices) OR EXISTS (SELECT 1 FROM datasets) OR EXISTS (SELECT 1 FROM records) OR EXISTS (SELECT 1 FROM log) OR EXISTS (SELECT 1 FROM usage) OR EXISTS (SELECT 1 FROM sessions) OR EXISTS (SELECT 1 FROM leases) OR EXISTS (SELECT 1 FROM access_keys) OR EXISTS (SELECT 1 FROM sealing_keys);

SELECT body FROM access_keys;

SELECT body FROM access_keys WHERE key_id = $1;

SELECT body FROM leases WHERE sink = $1;

SELECT body FROM pools WHERE pool_id = $1;

SELECT body FROM pools WHERE pool_id > $1 ORDER BY pool_id LIMIT $2;

SELECT body FROM records WHERE identity_id = $1 AND dataset = $2 AND key = ANY($3) ORDER BY key;

SELECT body FROM records WHERE identity_id = $1 AND dataset = $2 AND sync_count >= $3 AND (sync_count > $3 OR NOT $4 AND key > $5) AND sync_count <= $6 AND NOT removed ORDER BY sync_count, key;

SELECT body FROM records WHERE identity_id = $1 AND dataset = $2 AND sync_count >= $3 AND (sync_count > $3 OR NOT $4 AND key > $5) AND sync_count <= $6 AND NOT removed ORDER BY sync_count, key LIMIT $7;

SELECT body FROM records WHERE identity_id = $1 AND dataset = $2 AND sync_count >= $3 AND (sync_count > $3 OR NOT $4 AND key > $5) AND sync_count <= $6 AND removed ORDER BY sync_count, key;

SELECT body FROM records WHERE identity_id = $1 AND dataset = $2 AND sync_count >= $3 AND (sync_count > $3 OR NOT $4 AND key > $5) AND sync_count <= $6 AND removed ORDER BY sync_count, key LIMIT $7;

SELECT body FROM records WHERE identity_id = $1 AND dataset = $2 AND sync_count >= $3 AND (sync_count > $3 OR NOT $4 AND key > $5) AND sync_count <= $6 ORDER BY sync_count, key;

SELECT body FROM records WHERE identity_id = $1 AND dataset = $2 AND sync_count >= $3 AND (sync_count > $3 OR NOT $4 AND key > $5) AND sync_count <= $6 ORDER BY sync_count, key LIMIT $7;

SELECT body FROM sealing_keys;

SELECT body FROM streams;

SELECT body FROM streams WHERE name = $1 AND name <> '';

SELECT body FROM streams WHERE name = $1 FOR UPDATE;

SELECT body FROM streams WHERE name > $1 ORDER BY name LIMIT $2;

SELECT body FROM streams WHERE stream_id = $1;

SELECT body FROM streams WHERE stream_id = $1 FOR SHARE;

SELECT change_id FROM datasets WHERE identity_id = $1 AND name = $2;

SELECT coalesce(max(identity_id), '') FROM (
			SELECT identity_id FROM identities WHERE pool_id = $1 AND identity_id >= $2 ORDER BY identity_id LIMIT $3) AS i;

SELECT coalesce(max(version), 0) FROM schema_versions;

SELECT convert_to(pool_id, 'UTF8'), 0::bigint, 0::bigint, body FROM pools;

SELECT count(*) FROM meta WHERE name = 'id';

SELECT count(*), coalesce(sum(l.size), 0)::bigint FROM unnest($3::bigint[]) AS x (position),
		LATERAL (SELECT octet_length(body) AS size FROM log l WHERE l.stream_id = $1 AND l.shard = $2 AND l.position = x.position LIMIT 1) AS l;

SELECT d.identity_id, d.device_id, d.body FROM devices d JOIN identities i ON i.identity_id = d.identity_id WHERE (d.identity_id, d.device_id) > ($1, $2) ORDER BY d.identity_id, d.device_id LIMIT $3;

SELECT d.identity_id, d.device_id, d.body FROM devices d JOIN identities i ON i.identity_id = d.identity_id WHERE d.identity_id = $1 AND d.device_id = $2;

SELECT d.identity_id, d.device_id, d.body FROM devices d JOIN identities i ON i.identity_id = d.identity_id WHERE d.identity_id = $1 ORDER BY d.device_id;

SELECT d.identity_id, d.device_id, d.body FROM unnest($1::text[], $2::bytea[]) AS x (identity_id, device_id),
		LATERAL (SELECT * FROM devices d WHERE d.identity_id = x.identity_id AND d.device_id = x.device_id LIMIT 1) AS d,
		LATERAL (SELECT 1 FROM identities i WHERE i.identity_id = x.identity_id LIMIT 1) AS i;

SELECT d.identity_id, d.name, d.body FROM datasets d WHERE (d.identity_id, d.name) > ($1, $2) ORDER BY d.identity_id, d.name LIMIT $3;

SELECT d.identity_id, d.name, d.body FROM unnest($1::text[], $2::text[]) AS x (identity_id, name),
		LATERAL (SELECT * FROM datasets d WHERE d.identity_id = x.identity_id AND d.name = x.name LIMIT 1) AS d;

SELECT d.name, i.pool_id, d.body FROM datasets d JOIN identities i ON i.identity_id = d.identity_id
			WHERE d.identity_id = $1 AND d.name > $2 AND d.live ORDER BY d.name LIMIT $3;

SELECT identity_id FROM logins WHERE pool_id = $1 AND provider = $2 AND username = $3;

SELECT identity_id, name, body FROM (
	SELECT d.identity_id, d.name, d.body, d.size, sum(d.size) OVER (ORDER BY d.identity_id, d.name) AS through
	FROM (SELECT identity_id FROM identities WHERE pool_id = $1 AND identity_id >= $2 ORDER BY identity_id LIMIT $4) AS i,
	LATERAL (SELECT d.identity_id, d.name, d.body, octet_length(d.body) AS size FROM datasets d
		WHERE d.identity_id = i.identity_id AND d.live AND (d.identity_id > $2 OR d.name > $3) ORDER BY d.name OFFSET 0) AS d
) AS t WHERE through <= $5 OR through = size ORDER BY identity_id, name;

SELECT identity_id, pool_id, logins FROM identities WHERE identity_id = ANY($1);

SELECT identity_id, pool_id, revision, disabled, created, modified, logins, datasets, bytes, data_modified FROM identities WHERE identity_id = ANY($1);

SELECT identity_id, pool_id, revision, disabled, created, modified, logins, datasets, bytes, data_modified FROM identities WHERE identity_id > $1 ORDER BY identity_id LIMIT $2;

SELECT identity_id, pool_id, revision, disabled, created, modified, logins, datasets, bytes, data_modified FROM identities WHERE identity_id IN (SELECT identity_id FROM unfinished WHERE identity_id > $1 ORDER BY identity_id LIMIT $2) ORDER BY identity_id;

SELECT identity_id, pool_id, revision, disabled, created, modified, logins, datasets, bytes, data_modified FROM identities WHERE pool_id = $1 AND identity_id > $2 ORDER BY identity_id LIMIT $3;

SELECT key_id, 0::bigint, 0::bigint, body FROM access_keys;

SELECT l.* FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS x (stream_id, shard, position),
		LATERAL (SELECT stream_id, shard, position, arrived, body FROM log l WHERE l.stream_id = x.stream_id AND l.shard = x.shard AND l.position = x.position LIMIT 1) AS l,
		LATERAL (SELECT trimmed FROM shards s WHERE s.stream_id = x.stream_id AND s.shard = x.shard LIMIT 1) AS s WHERE l.position > s.trimmed;

SELECT name, value FROM meta WHERE name IN ('id', 'transfer') ORDER BY name FOR SHARE;

SELECT name, value FROM meta WHERE name IN ('id', 'transfer') ORDER BY name FOR UPDATE;

SELECT pool_id, revision, disabled, created, modified, logins, datasets, bytes, data_modified FROM identities WHERE identity_id = $1;

SELECT pool_id, revision, disabled, created, modified, logins, datasets, bytes, data_modified FROM identities WHERE identity_id = $1 FOR UPDATE;

SELECT pool_id, stream_id, shard, bytes, modified, 0::bigint FROM usage
		UNION ALL SELECT pool_id, 0, 0, 0, 0, sessions FROM sessions WHERE sessions <> 0 ORDER BY pool_id;

SELECT position, arrived FROM log WHERE stream_id = $1 AND shard = $2 AND position > $3 ORDER BY position LIMIT 1;

SELECT position, arrived, body FROM (
	SELECT position, arrived, body, sum(octet_length(body)) OVER (ORDER BY position) AS through, octet_length(body) AS size
	FROM (SELECT position, arrived, body FROM log WHERE stream_id = $1 AND shard = $2 AND position > $3 ORDER BY position LIMIT $4) AS l
) AS t WHERE through <= $5 OR through = size ORDER BY position;

SELECT r.identity_id, r.dataset, r.body FROM unnest($1::text[], $2::text[]) AS x (identity_id, dataset),
			LATERAL (SELECT * FROM records r WHERE r.identity_id = x.identity_id AND r.dataset = x.dataset ORDER BY r.key OFFSET 0) AS r
			ORDER BY r.identity_id, r.dataset, r.key;

SELECT revision, route FROM pools WHERE pool_id = $1;

SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';

SELECT shard, greatest(trimmed, coalesce((SELECT max(position) FROM log l WHERE l.stream_id = s.stream_id AND l.shard = s.shard), 0))
	FROM shards s WHERE stream_id = $1;

SELECT shard, greatest(trimmed, coalesce((SELECT max(position) FROM log l WHERE l.stream_id = s.stream_id AND l.shard = s.shard), 0))
	FROM shards s WHERE stream_id = $1 AND shard = $2;

SELECT sink, stream_id, shard, body FROM leases;

SELECT stream_id, shard, last FROM shards;

SELECT stream_id, shard, open, trimmed, last FROM shards;

SELECT stream_id, shard, position, arrived, body FROM (
			SELECT stream_id, shard, position, arrived, body, sum(octet_length(body)) OVER (ORDER BY position) AS through, octet_length(body) AS size
			FROM (SELECT stream_id, shard, position, arrived, body FROM log WHERE stream_id = $1 AND shard = $2 AND position > $3 ORDER BY position LIMIT $4) AS l
		) AS t WHERE through <= $5 OR through = size ORDER BY position;

SELECT stream_id, shard, trimmed, last FROM shards WHERE stream_id = $1 AND shard >= $2 OR stream_id > $1 ORDER BY stream_id, shard LIMIT 1;

SELECT sync_count, change_id FROM datasets WHERE identity_id = $1 AND name = $2;

SELECT trimmed, last, (SELECT value FROM meta WHERE name = 'restores') FROM shards WHERE stream_id = $1 AND shard = $2;

SELECT trimmed, last, arrived FROM shards WHERE stream_id = $1 AND shard = $2;

SELECT value FROM meta WHERE name = 'id';

SELECT value FROM meta WHERE name = 'last_stream' FOR UPDATE;

SELECT value FROM meta WHERE name = 'restores';

SELECT value FROM meta WHERE name IN ('id', 'kept_id');

SELECT version();

SELECT x.identity_id, x.name FROM unnest($1::text[], $2::text[]) AS x (identity_id, name),
			LATERAL (SELECT 1 FROM records r WHERE r.identity_id = x.identity_id AND r.dataset = x.name LIMIT 1) AS r;

SELECT x.n, coalesce(d.sync_count, 0), coalesce(d.change_id, 0), i.revision
	FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS x (identity_id, name, n)
	JOIN identities i ON i.identity_id = x.identity_id
	LEFT JOIN datasets d ON d.identity_id = x.identity_id AND d.name = x.name;

SELECT x.n, i.pool_id, i.revision, i.disabled, i.created, i.modified, i.logins, i.datasets, i.bytes, i.data_modified, p.revision, d.body,
	CASE WHEN d.body IS NULL THEN (SELECT value FROM meta WHERE name = 'restores') END
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS x (identity_id, name, n)
JOIN identities i ON i.identity_id = x.identity_id
JOIN pools p ON p.pool_id = i.pool_id
LEFT JOIN datasets d ON d.identity_id = x.identity_id AND d.name = x.name;

SELECT x.n, l.identity_id FROM unnest($1::text[], $2::bytea[], $3::bytea[]) WITH ORDINALITY AS x (pool_id, provider, username, n),
		LATERAL (SELECT identity_id FROM logins l WHERE l.pool_id = x.pool_id AND l.provider = x.provider AND l.username = x.username LIMIT 1) AS l;

SET LOCAL statement_timeout = 0;

SET enable_hashjoin = off;

SET enable_mergejoin = off;

SET enable_seqscan = off;

SET jit = off;

SET plan_cache_mode = force_generic_plan;

SHOW transaction_read_only;

TRUNCATE access_keys;

TRUNCATE datasets;

TRUNCATE devices;

TRUNCATE identities;

TRUNCATE leases;

TRUNCATE log;

TRUNCATE logins;

TRUNCATE pools;

TRUNCATE records;

TRUNCATE sealing_keys;

TRUNCATE sessions;

TRUNCATE shards;

TRUNCATE streams;

TRUNCATE unfinished;

TRUNCATE usage;

UPDATE access_keys SET revision = $1, body = $2 WHERE revision = $1 - 1 AND key_id = $3;

UPDATE devices SET revision = $1, body = $2 WHERE revision = $1 - 1 AND identity_id = $3 AND device_id = $4;

UPDATE identities SET revision = revision + 1, disabled = $2, created = $3, modified = $4, logins = $5 WHERE identity_id = $1;

UPDATE leases SET revision = $1, body = $2 WHERE revision = $1 - 1 AND sink = $3 AND stream_id = $4 AND shard = $5;

UPDATE meta SET name = 'id' WHERE name = 'kept_id';

UPDATE meta SET name = 'kept_id' WHERE name = 'id';

UPDATE meta SET value = $1 WHERE name = 'last_stream';

UPDATE meta SET value = $1 WHERE name = 'transfer';

UPDATE pools SET revision = $2, route = $3, body = $4 WHERE pool_id = $1 AND revision = $5;

UPDATE sealing_keys SET revision = $1, body = $2 WHERE revision = $1 - 1 AND key_id = $3;

UPDATE shards SET open = $3 WHERE stream_id = $1 AND shard = $2;

UPDATE shards SET open = false;

UPDATE shards SET open = false WHERE stream_id = $1 AND shard = $2;

UPDATE shards SET trimmed = greatest(trimmed, $3) WHERE stream_id = $1 AND shard = $2;

UPDATE shards s SET arrived = coalesce((SELECT l.arrived FROM log l WHERE l.stream_id = s.stream_id AND l.shard = s.shard
			AND l.position = (SELECT max(m.position) FROM log m WHERE m.stream_id = s.stream_id AND m.shard = s.shard)), 0);

UPDATE streams SET revision = $2, body = $3 WHERE stream_id = $1;

WITH done AS (
	INSERT INTO datasets (identity_id, name, sync_count, change_id, live, body)
	SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::boolean[], $6::bytea[])
	ON CONFLICT DO NOTHING RETURNING 1
) SELECT 1 / (CASE WHEN count(*) = $7 THEN 1 ELSE 0 END) FROM done;

WITH done AS (
	SELECT 1 FROM pools p JOIN unnest($1::text[], $2::bigint[]) AS x (pool_id, route) ON p.pool_id = x.pool_id AND p.route = x.route
) SELECT 1 / (CASE WHEN count(*) = $3 THEN 1 ELSE 0 END) FROM done;

WITH held AS (SELECT 1 FROM meta WHERE name = 'transfer' AND value = $1 FOR KEY SHARE) SELECT 1 / count(*) FROM held;

WITH x AS (
	SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
	AS x (identity_id, pool_id, revision, more, datasets, bytes, at)
), done AS (
	UPDATE identities i SET revision = i.revision + x.more, datasets = i.datasets + x.datasets,
		bytes = i.bytes + x.bytes, data_modified = greatest(i.data_modified, x.at)
	FROM x WHERE i.identity_id = x.identity_id AND i.pool_id = x.pool_id AND i.revision = x.revision RETURNING 1
) SELECT 1 / (CASE WHEN count(*) = $8 THEN 1 ELSE 0 END) FROM done;

WITH x AS (
	SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[], $8::bytea[])
	AS x (identity_id, name, base_count, base_change, sync_count, change_id, live, body)
), done AS (
	UPDATE datasets d SET sync_count = x.sync_count, change_id = x.change_id, live = x.live, body = x.body
	FROM x WHERE d.identity_id = x.identity_id AND d.name = x.name AND d.sync_count = x.base_count AND d.change_id = x.base_change RETURNING 1
) SELECT 1 / (CASE WHEN count(*) = $9 THEN 1 ELSE 0 END) FROM done;

WITH x AS (
	SELECT stream_id, shard, body, row_number() OVER (PARTITION BY stream_id, shard ORDER BY n) AS n
	FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) WITH ORDINALITY AS x (stream_id, shard, body, n)
), counts AS (
	SELECT stream_id, shard, count(*) AS n FROM x GROUP BY stream_id, shard
), moved AS (
	UPDATE shards s SET last = s.last + c.n, arrived = greatest(s.arrived, $4)
	FROM counts c WHERE s.stream_id = c.stream_id AND s.shard = c.shard AND s.open
	RETURNING s.stream_id, s.shard, s.last - c.n AS before, s.arrived
), done AS (
	INSERT INTO log (stream_id, shard, position, arrived, body)
	SELECT x.stream_id, x.shard, m.before + x.n, m.arrived, x.body
	FROM x JOIN moved m ON m.stream_id = x.stream_id AND m.shard = x.shard
	RETURNING stream_id, shard, position
) SELECT 1 / (CASE WHEN count(*) = $5 THEN 1 ELSE 0 END) FROM done;

WITH x AS (
	SELECT stream_id, shard, body, row_number() OVER (PARTITION BY stream_id, shard ORDER BY n) AS n
	FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) WITH ORDINALITY AS x (stream_id, shard, body, n)
), counts AS (
	SELECT stream_id, shard, count(*) AS n FROM x GROUP BY stream_id, shard
), moved AS (
	UPDATE shards s SET last = s.last + c.n, arrived = greatest(s.arrived, $4)
	FROM counts c WHERE s.stream_id = c.stream_id AND s.shard = c.shard AND s.open
	RETURNING s.stream_id, s.shard, s.last - c.n AS before, s.arrived
), done AS (
	INSERT INTO log (stream_id, shard, position, arrived, body)
	SELECT x.stream_id, x.shard, m.before + x.n, m.arrived, x.body
	FROM x JOIN moved m ON m.stream_id = x.stream_id AND m.shard = x.shard
	RETURNING stream_id, shard, position
) SELECT shard, position FROM done ORDER BY shard, position;

begin;

begin isolation level repeatable read read only;

commit;

rollback;

