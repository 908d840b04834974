-- The records of many hosts in ClickHouse: tables. clickhouse-load.sql fills them from files.
--
-- A record is known by its host, boot and number: ReplacingMergeTree keeps one of those that a sink sent twice, and
-- the queries ask FINAL. No column has a value; `fingerprints` are HMACs of values under the site's key.

CREATE DATABASE IF NOT EXISTS hushpipe;

CREATE TABLE IF NOT EXISTS hushpipe.records (
    host LowCardinality(String),
    boot LowCardinality(String),
    seq UInt64,
    time DateTime64(6, 'UTC'),
    launcher String,
    service LowCardinality(String),
    program LowCardinality(String),
    kind LowCardinality(String),
    is_success Bool,
    message String,
    reason LowCardinality(String),
    generation UInt64,
    environment LowCardinality(String),
    person LowCardinality(String),
    effect LowCardinality(String),
    policies Array(LowCardinality(String))
) ENGINE = ReplacingMergeTree ORDER BY (host, boot, seq);

CREATE TABLE IF NOT EXISTS hushpipe.released (
    host LowCardinality(String),
    boot LowCardinality(String),
    seq UInt64,
    time DateTime64(6, 'UTC'),
    launcher String,
    service LowCardinality(String),
    program LowCardinality(String),
    environment LowCardinality(String),
    store LowCardinality(String),
    secret String,
    version String,
    owner LowCardinality(String),
    classification LowCardinality(String),
    fingerprints Array(String)
) ENGINE = ReplacingMergeTree ORDER BY (host, boot, seq, store, secret)
