-- Loads the records of {files:String}, one JSON object a line: a pattern of files of the server, as file() reads
-- them. For records that arrive by HTTP, insert the lines into a table with one String column, and read that.

INSERT INTO hushpipe.records
SELECT JSONExtractString(line, 'host'), JSONExtractString(line, 'boot'), JSONExtractUInt(line, 'seq'),
    parseDateTime64BestEffort(JSONExtractString(line, 'time'), 6, 'UTC'), JSONExtractString(line, 'launcher'),
    JSONExtractString(line, 'service'), JSONExtractString(line, 'program'), JSONExtractString(line, 'kind'),
    JSONExtractUInt(line, 'status_id') = 1, JSONExtractString(line, 'message'), JSONExtractString(line, 'reason'),
    JSONExtractUInt(line, 'generation'),
    if(JSONHas(line, 'facts'), JSONExtractString(line, 'facts', 'environment'),
        JSONExtractString(line, 'query', 'context', 'environment')),
    JSONExtractString(line, 'query', 'principal', 'name'), JSONExtractString(line, 'ruling', 'effect'),
    JSONExtract(line, 'ruling', 'policies', 'Array(String)')
FROM file({files:String}, 'LineAsString', 'line String')
WHERE isValidJSON(line) AND JSONHas(line, 'host') AND JSONHas(line, 'seq') AND JSONHas(line, 'time');

INSERT INTO hushpipe.released
SELECT JSONExtractString(line, 'host') AS host, JSONExtractString(line, 'boot') AS boot,
    JSONExtractUInt(line, 'seq'), parseDateTime64BestEffort(JSONExtractString(line, 'time'), 6, 'UTC'),
    JSONExtractString(line, 'launcher') AS launcher, JSONExtractString(line, 'service'),
    JSONExtractString(line, 'program'),
    if(JSONHas(line, 'facts'), JSONExtractString(line, 'facts', 'environment'), decided.environment),
    JSONExtractString(secret, 'store'),
    if(JSONExtractString(secret, 'asked') = '', JSONExtractString(secret, 'name'),
        JSONExtractString(secret, 'asked')),
    JSONExtractString(secret, 'version'), JSONExtractString(secret, 'owner'),
    JSONExtractString(secret, 'classification'), JSONExtract(secret, 'fingerprints', 'Array(String)')
FROM (
    SELECT line, arrayJoin(JSONExtractArrayRaw(line, 'secrets')) AS secret,
        JSONExtractString(line, 'host') AS at_host, JSONExtractString(line, 'boot') AS at_boot,
        JSONExtractString(line, 'launcher') AS at_launcher
    FROM file({files:String}, 'LineAsString', 'line String')
    WHERE isValidJSON(line) AND JSONExtractString(line, 'kind') = 'release'
) AS releases
-- Decisions say where a launcher is, before its release.
LEFT JOIN (
    SELECT host AS d_host, boot AS d_boot, launcher AS d_launcher, any(environment) AS environment
    FROM hushpipe.records WHERE kind IN ('decision', 'denied') GROUP BY ALL
) AS decided ON d_host = at_host AND d_boot = at_boot AND d_launcher = at_launcher
