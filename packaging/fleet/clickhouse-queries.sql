-- The report's queries. {at:String} is the time that ages are counted from, {since:String} the beginning of the
-- period, as clickhouse-client's --param_at and --param_since give them.

-- name: by_month
SELECT formatDateTime(time, '%Y-%m') AS month, kind, count() AS records
FROM hushpipe.records FINAL
WHERE time >= toDateTime64({since:String}, 6, 'UTC') AND time <= toDateTime64({at:String}, 6, 'UTC')
GROUP BY month, kind ORDER BY month, kind;

-- name: secrets_by_owner_and_age
SELECT owner, count() AS secrets, countIf(age < 30) AS under_30, countIf(age >= 30 AND age < 90) AS under_90,
    countIf(age >= 90 AND age < 365) AS under_365, countIf(age >= 365) AS older
FROM (
    SELECT environment, store, secret, argMax(last_owner, last) AS owner,
        intDiv(dateDiff('second', argMax(made, last), toDateTime64({at:String}, 6, 'UTC')), 86400) AS age
    FROM (
        SELECT environment, store, secret, version, min(time) AS made, max(time) AS last,
            argMax(owner, time) AS last_owner
        FROM hushpipe.released FINAL WHERE time <= toDateTime64({at:String}, 6, 'UTC')
        GROUP BY environment, store, secret, version
    ) GROUP BY environment, store, secret
) GROUP BY owner ORDER BY owner;

-- name: unused
-- Not released for 90 days, and no launcher that got it is without an end.
SELECT environment, store, secret, max(time) AS last
FROM hushpipe.released AS r FINAL
LEFT JOIN (
    SELECT DISTINCT host AS e_host, launcher AS e_launcher, 1 AS ended FROM hushpipe.records
    WHERE kind = 'end' AND time <= toDateTime64({at:String}, 6, 'UTC')
) AS e ON e_host = host AND e_launcher = launcher
WHERE time <= toDateTime64({at:String}, 6, 'UTC')
GROUP BY environment, store, secret
HAVING last < toDateTime64({at:String}, 6, 'UTC') - INTERVAL 90 DAY AND countIf(ended = 0) = 0
ORDER BY environment, store, secret;

-- name: blast
-- Who has had a secret, or another one of the same value.
WITH (
    SELECT groupUniqArrayArray(fingerprints) FROM hushpipe.released WHERE secret = {secret:String}
) AS wanted
SELECT service, host, program, secret, max(time) AS last, count() AS releases
FROM hushpipe.released FINAL
WHERE secret = {secret:String} OR hasAny(fingerprints, wanted)
GROUP BY service, host, program, secret ORDER BY service, host, program, secret;

-- name: crossing
-- Values that are in several environments.
SELECT fingerprint, arraySort(groupUniqArray(toString(environment))) AS environments,
    arraySort(groupUniqArray(secret)) AS secrets
FROM (
    SELECT environment, secret, arrayJoin(fingerprints) AS fingerprint FROM hushpipe.released FINAL
    WHERE time <= toDateTime64({at:String}, 6, 'UTC')
) GROUP BY fingerprint HAVING uniqExact(environment) > 1 ORDER BY fingerprint;

-- name: time_to_uptake
-- From the release of a rotation until the program is well with it, in seconds.
SELECT count() AS rotations, quantileExact(seconds) AS median, max(seconds) AS longest
FROM (
    SELECT dateDiff('second', r.time, v.time) AS seconds
    FROM (
        SELECT host, launcher, time FROM hushpipe.records FINAL
        WHERE kind = 'release' AND reason = 'rotation' AND time >= toDateTime64({since:String}, 6, 'UTC')
    ) AS r ASOF JOIN (
        SELECT host, launcher, time FROM hushpipe.records FINAL
        WHERE kind = 'verified' AND time <= toDateTime64({at:String}, 6, 'UTC')
    ) AS v ON v.host = r.host AND v.launcher = r.launcher AND v.time >= r.time
);

-- name: decided
-- Releases, and those of launchers that policy decided on.
SELECT count() AS releases, countIf((host, launcher) IN (
    SELECT host, launcher FROM hushpipe.records WHERE kind = 'decision'
)) AS decided
FROM hushpipe.records FINAL
WHERE kind = 'release' AND time >= toDateTime64({since:String}, 6, 'UTC')
    AND time <= toDateTime64({at:String}, 6, 'UTC');

-- name: coverage
-- Each host's records, and how many of their numbers are missing.
SELECT host, count() AS records, min(time) AS first, max(time) AS last,
    max(seq) - min(seq) + 1 - uniqExact(seq) AS missing
FROM hushpipe.records FINAL GROUP BY host ORDER BY host;
