CREATE TABLE meta (
	name text PRIMARY KEY,
	value text NOT NULL
);

CREATE TABLE pools (
	pool_id text PRIMARY KEY,
	revision bigint NOT NULL,
	route bigint NOT NULL,
	body text NOT NULL
);

CREATE TABLE identities (
	identity_id text PRIMARY KEY,
	pool_id text NOT NULL,
	revision bigint NOT NULL,
	disabled boolean NOT NULL,
	created bigint NOT NULL,
	modified bigint NOT NULL,
	logins bytea NOT NULL,
	datasets bigint NOT NULL,
	bytes bigint NOT NULL,
	data_modified bigint NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX identities_of_pool ON identities (pool_id, identity_id);

CREATE TABLE logins (
	pool_id text NOT NULL,
	provider bytea NOT NULL,
	username bytea NOT NULL,
	identity_id text NOT NULL,
	PRIMARY KEY (pool_id, provider, username)
);

CREATE TABLE datasets (
	identity_id text NOT NULL,
	name text NOT NULL,
	sync_count bigint NOT NULL,
	change_id bigint NOT NULL,
	live boolean NOT NULL,
	body bytea NOT NULL,
	PRIMARY KEY (identity_id, name)
) WITH (fillfactor = 70);

CREATE TABLE records (
	identity_id text NOT NULL,
	dataset text NOT NULL,
	key bytea NOT NULL,
	sync_count bigint NOT NULL,
	removed boolean NOT NULL,
	body bytea NOT NULL,
	PRIMARY KEY (identity_id, dataset, key)
);

CREATE INDEX records_by_count ON records (identity_id, dataset, sync_count, key);

CREATE TABLE streams (
	stream_id bigint PRIMARY KEY,
	name text NOT NULL UNIQUE,
	revision bigint NOT NULL,
	body text NOT NULL
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

CREATE TABLE log (
	stream_id bigint NOT NULL,
	shard bigint NOT NULL,
	position bigint NOT NULL,
	arrived bigint NOT NULL,
	body bytea NOT NULL,
	PRIMARY KEY (stream_id, shard, position)
);

CREATE TABLE usage (
	pool_id text NOT NULL,
	stream_id bigint NOT NULL,
	shard bigint NOT NULL,
	bytes bigint NOT NULL,
	modified bigint NOT NULL,
	PRIMARY KEY (pool_id, stream_id, shard)
);

CREATE TABLE sessions (
	pool_id text PRIMARY KEY,
	sessions bigint NOT NULL
);

CREATE TABLE leases (
	sink bytea NOT NULL,
	stream_id bigint NOT NULL,
	shard bigint NOT NULL,
	revision bigint NOT NULL,
	body text NOT NULL,
	PRIMARY KEY (sink, stream_id, shard)
);

CREATE TABLE access_keys (
	key_id bytea PRIMARY KEY,
	revision bigint NOT NULL,
	body text NOT NULL
);

CREATE TABLE sealing_keys (
	key_id bigint PRIMARY KEY,
	revision bigint NOT NULL,
	body text NOT NULL
);

CREATE TABLE unfinished (
	identity_id text PRIMARY KEY
);

CREATE TABLE devices (
	identity_id text NOT NULL,
	device_id bytea NOT NULL,
	revision bigint NOT NULL,
	body text NOT NULL,
	PRIMARY KEY (identity_id, device_id)
);

