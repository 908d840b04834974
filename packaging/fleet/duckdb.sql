-- The records of many hosts in DuckDB: tables, and how they are filled. README.md says how.
--
-- A record is known by its host, boot and number: a sink delivers at least once, and what was loaded already is
-- left out. No column has a value; `fingerprints` are HMACs of values under the site's key.

CREATE TABLE IF NOT EXISTS records (
    host VARCHAR NOT NULL,
    boot VARCHAR NOT NULL,
    seq UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    launcher VARCHAR NOT NULL,
    service VARCHAR,
    program VARCHAR,
    kind VARCHAR NOT NULL,
    is_success BOOLEAN,
    message VARCHAR,
    reason VARCHAR,
    generation UBIGINT,
    -- Of the site or the manifest: of a release without a policy, and of what policy was asked.
    environment VARCHAR,
    person VARCHAR,
    effect VARCHAR,
    policies VARCHAR[],
);

-- One row for each secret of a release.
CREATE TABLE IF NOT EXISTS released (
    host VARCHAR NOT NULL,
    boot VARCHAR NOT NULL,
    seq UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    launcher VARCHAR NOT NULL,
    service VARCHAR,
    program VARCHAR,
    environment VARCHAR,
    store VARCHAR,
    secret VARCHAR,
    version VARCHAR,
    owner VARCHAR,
    classification VARCHAR,
    fingerprints VARCHAR[],
);

-- What is to be loaded: `SET VARIABLE files = 'fleet/**/*.jsonl'` before. Records have other members, too.
CREATE OR REPLACE TEMP VIEW incoming AS
SELECT *
FROM read_json(getvariable('files'), format = 'newline_delimited', ignore_errors = true,
    maximum_object_size = 4194304, columns = {
        host: 'VARCHAR', boot: 'VARCHAR', seq: 'UBIGINT', time: 'TIMESTAMP', launcher: 'VARCHAR',
        service: 'VARCHAR', program: 'VARCHAR', kind: 'VARCHAR', status_id: 'UTINYINT', message: 'VARCHAR',
        reason: 'VARCHAR', generation: 'UBIGINT',
        secrets: 'STRUCT(name VARCHAR, store VARCHAR, asked VARCHAR, version VARCHAR, owner VARCHAR,
                  classification VARCHAR, fingerprints VARCHAR[])[]',
        facts: 'STRUCT(environment VARCHAR)',
        query: 'STRUCT(principal STRUCT(name VARCHAR), context STRUCT(environment VARCHAR))',
        ruling: 'STRUCT(effect VARCHAR, policies VARCHAR[])'
    })
WHERE host IS NOT NULL AND seq IS NOT NULL AND time IS NOT NULL AND kind IS NOT NULL;

BEGIN;
CREATE OR REPLACE TEMP TABLE fresh AS
SELECT DISTINCT ON (i.host, i.boot, i.seq) i.*
FROM incoming i
LEFT JOIN (SELECT host, boot, max(seq) AS last FROM records GROUP BY ALL) known
    ON known.host = i.host AND known.boot = coalesce(i.boot, '')
WHERE known.last IS NULL OR i.seq > known.last;

INSERT INTO records
SELECT host, coalesce(boot, ''), seq, time, coalesce(launcher, ''), service, program, kind, status_id = 1, message,
    reason, generation, coalesce(facts.environment, query.context.environment), query.principal.name,
    ruling.effect, ruling.policies
FROM fresh;

INSERT INTO released
SELECT f.host, coalesce(f.boot, ''), f.seq, f.time, coalesce(f.launcher, ''), f.service, f.program,
    coalesce(f.facts.environment, d.environment), s.store, coalesce(nullif(s.asked, ''), s.name), s.version,
    s.owner, s.classification, s.fingerprints
FROM (SELECT *, unnest(secrets) AS s FROM fresh WHERE kind = 'release') f
-- Decisions say where a launcher is, before its release.
LEFT JOIN (
    SELECT host, boot, launcher, any_value(environment) AS environment FROM records
    WHERE kind IN ('decision', 'denied') GROUP BY ALL
) d ON d.host = f.host AND d.boot = coalesce(f.boot, '') AND d.launcher = f.launcher;
COMMIT;
