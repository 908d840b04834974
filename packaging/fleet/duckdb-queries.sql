-- The report's queries. $at is the time that ages are counted from, $since the beginning of the period.

-- name: by_month
SELECT strftime(time, '%Y-%m') AS month, kind, count(*) AS records
FROM records WHERE time >= $since::TIMESTAMP AND time <= $at::TIMESTAMP
GROUP BY ALL ORDER BY ALL;

-- name: secrets_by_owner_and_age
WITH versions AS (
    SELECT environment, store, secret, version, min(time) AS made, max(time) AS last, arg_max(owner, time) AS owner
    FROM released WHERE time <= $at::TIMESTAMP GROUP BY ALL
), current AS (
    SELECT environment, store, secret, arg_max(made, last) AS made, arg_max(owner, last) AS owner
    FROM versions GROUP BY ALL
)
SELECT coalesce(owner, '') AS owner, count(*) AS secrets,
    count(*) FILTER (WHERE date_diff('day', made, $at::TIMESTAMP) < 30) AS under_30,
    count(*) FILTER (WHERE date_diff('day', made, $at::TIMESTAMP) BETWEEN 30 AND 89) AS under_90,
    count(*) FILTER (WHERE date_diff('day', made, $at::TIMESTAMP) BETWEEN 90 AND 364) AS under_365,
    count(*) FILTER (WHERE date_diff('day', made, $at::TIMESTAMP) >= 365) AS older
FROM current GROUP BY ALL ORDER BY ALL;

-- name: unused
-- Not released for 90 days, and no launcher that got it is without an end.
SELECT environment, store, secret, max(time) AS last
FROM released r
WHERE time <= $at::TIMESTAMP
GROUP BY ALL
HAVING max(time) < $at::TIMESTAMP - INTERVAL 90 DAY
    AND count(*) FILTER (WHERE NOT EXISTS (
        SELECT 1 FROM records e
        WHERE e.kind = 'end' AND e.host = r.host AND e.launcher = r.launcher AND e.time <= $at::TIMESTAMP)) = 0
ORDER BY ALL;

-- name: blast
-- Who has had a secret, or another one of the same value.
WITH wanted AS (SELECT DISTINCT unnest(fingerprints) AS fingerprint FROM released WHERE secret = $secret)
SELECT service, host, program, secret, max(time) AS last, count(*) AS releases
FROM released
WHERE secret = $secret
    OR list_has_any(fingerprints, (SELECT coalesce(list(fingerprint), []) FROM wanted))
GROUP BY ALL ORDER BY ALL;

-- name: crossing
-- Values that are in several environments.
SELECT fingerprint, list(DISTINCT environment ORDER BY environment) AS environments,
    list(DISTINCT secret ORDER BY secret) AS secrets
FROM (SELECT environment, secret, unnest(fingerprints) AS fingerprint FROM released
      WHERE time <= $at::TIMESTAMP)
GROUP BY fingerprint HAVING count(DISTINCT environment) > 1
ORDER BY ALL;

-- name: time_to_uptake
-- From the release of a rotation until the program is well with it, in seconds.
SELECT count(*) AS rotations, median(seconds) AS median, max(seconds) AS longest
FROM (
    SELECT date_diff('second', r.time, v.time) AS seconds
    FROM records r ASOF JOIN (SELECT * FROM records WHERE kind = 'verified') v
        ON v.host = r.host AND v.launcher = r.launcher AND v.time >= r.time
    WHERE r.kind = 'release' AND r.reason = 'rotation'
        AND r.time >= $since::TIMESTAMP AND v.time <= $at::TIMESTAMP
);

-- name: decided
-- Releases, and those of launchers that policy decided on.
SELECT count(*) AS releases,
    count(*) FILTER (WHERE EXISTS (
        SELECT 1 FROM records d WHERE d.kind = 'decision' AND d.host = r.host AND d.launcher = r.launcher)) AS decided
FROM records r
WHERE kind = 'release' AND time >= $since::TIMESTAMP AND time <= $at::TIMESTAMP;

-- name: coverage
-- Each host's records, and how many of their numbers are missing.
SELECT host, count(*) AS records, min(time) AS first, max(time) AS last,
    sum(gap) AS missing
FROM (SELECT host, boot, time, greatest(0, seq::BIGINT - lag(seq::BIGINT, 1, seq::BIGINT - 1)
        OVER (PARTITION BY host ORDER BY seq) - 1) AS gap FROM records)
GROUP BY host ORDER BY host;
