#!/usr/bin/env python3
"""The tables and queries of packaging/fleet, in DuckDB and (--clickhouse) ClickHouse, against what is true of a
fleet that is made up; and how long they take with many records.

    warehouse.py                    a small fleet, loaded twice: the answers, by DuckDB
    warehouse.py --clickhouse       and by ClickHouse
    warehouse.py --records 100000000 [--directory DIR]
                                    so many records, made by DuckDB itself: the times, as a table

Needs the packages duckdb and chdb: tests/requirements.txt.
"""

import argparse
import datetime
import json
import pathlib
import re
import statistics
import sys
import tempfile
import time

FLEET = pathlib.Path(__file__).parents[2] / "packaging" / "fleet"
HOSTS, SERVICES, OF_SERVICE = 7, 20, 5
START = datetime.datetime(2026, 1, 1)
AT, SINCE = "2026-09-01 00:00:00", "2026-01-01 00:00:00"


def fleet():
    """Records, and what is true of them."""
    truth = {"uses": {}, "months": {}, "owners": {}, "ended": set(), "uptake": [], "decided": 0, "releases": 0}
    records, numbers = [], {}

    def add(host, service, at, kind, **more):
        numbers[host] = numbers.get(host, -1) + 1
        moment = START + datetime.timedelta(seconds=at)
        month = moment.strftime("%Y-%m")
        truth["months"][month, kind] = truth["months"].get((month, kind), 0) + 1
        records.append({
            "seq": numbers[host], "time": moment.strftime("%Y-%m-%dT%H:%M:%S.000000Z"), "host": f"host-{host}",
            "boot": f"b{host}", "launcher": f"{host * 1000 + service:016x}", "pid": 1, "uid": 0,
            "service": f"service-{service}", "program": f"/usr/bin/service-{service}", "kind": kind,
            "status_id": 1, **more})
        return moment

    for service in range(SERVICES):
        environment = ["production", "staging"][service % 2]
        for host in {service % HOSTS, (service * 3 + 1) % HOSTS}:
            begin = service * 86400 * 10
            facts = {"environment": environment}
            is_decided = host % 2 == 0
            if is_decided:
                add(host, service, begin, "decision", query={"principal": {"name": "x"}, "context": facts},
                    ruling={"effect": "allow", "policies": ["p"]})
            for generation, reason in ((1, "launch"), (2, "rotation")):
                secrets = []
                for index in range(service * OF_SERVICE, (service + 1) * OF_SERVICE):
                    # The first secret of every tenth service has its neighbour's value, in another environment.
                    twin = service % 10 == 9 and index % OF_SERVICE == 0
                    value = (index - OF_SERVICE if twin else index) * 10 + generation
                    secrets.append({
                        "name": f"s{index}", "store": "vault", "asked": f"team/{index}", "version": f"v{generation}",
                        "owner": f"owner-{service % 3}", "fingerprints": [f"{value:064x}"], "deliveries": []})
                moment = add(host, service, begin + generation * 100, "release", reason=reason, secrets=secrets,
                             generation=generation, **({} if is_decided else {"facts": facts}))
                truth["releases"] += 1
                truth["decided"] += is_decided
                for secret in secrets:
                    truth["uses"].setdefault(secret["asked"], {})[f"service-{service}", f"host-{host}"] = moment
                    truth["owners"][secret["asked"]] = (secret["owner"], moment)
                if reason == "rotation":
                    add(host, service, begin + generation * 100 + 5 + host, "verified", generation=generation)
                    truth["uptake"].append(5 + host)
            if service % 4 == 3:
                add(host, service, begin + 1000, "end", code=0)
                truth["ended"].add(service)
    return records, truth


def queries(path):
    """The queries of a file, by name."""
    parts = re.split(r"^-- name: (\w+)$", path.read_text(), flags=re.M)[1:]
    return {name: text.strip().rstrip(";") for name, text in zip(parts[::2], parts[1::2])}


class DuckDB:
    def __init__(self, directory=None):
        import duckdb

        self.connection = duckdb.connect(str(directory / "fleet.duckdb") if directory else ":memory:")
        self.queries = queries(FLEET / "duckdb-queries.sql")

    def load(self, pattern):
        self.connection.execute(f"SET VARIABLE files = '{pattern}'")
        self.connection.execute((FLEET / "duckdb.sql").read_text())

    def ask(self, name, **values):
        text = self.queries[name]
        wanted = {key: value for key, value in values.items() if f"${key}" in text}
        return self.connection.execute(text, wanted).fetchall()


class ClickHouse:
    def __init__(self, directory=None):
        from chdb import session

        self.session = session.Session(str(directory / "clickhouse")) if directory else session.Session()
        self.queries = queries(FLEET / "clickhouse-queries.sql")
        self.statements((FLEET / "clickhouse.sql").read_text())

    def statements(self, text, **values):
        text = re.sub(r"--.*", "", text)
        for statement in text.split(";"):
            if statement.strip():
                self.session.query(self.filled(statement, values))

    @staticmethod
    def filled(text, values):
        """What `--param_NAME` of clickhouse-client does."""
        return re.sub(r"\{(\w+):\w+\}", lambda found: "'" + values[found[1]] + "'", text)

    def load(self, pattern):
        self.statements((FLEET / "clickhouse-load.sql").read_text(), files=pattern)

    def ask(self, name, **values):
        found = self.session.query(self.filled(self.queries[name], values), "JSONCompactEachRow")
        return [tuple(json.loads(line)) for line in str(found).splitlines() if line]


def check(engine, records, truth, directory):
    def day(value):
        return value if isinstance(value, datetime.datetime) else datetime.datetime.fromisoformat(str(value)[:19])

    for host in range(HOSTS):
        lines = [json.dumps(record) for record in records if record["host"] == f"host-{host}"]
        # What a sink sent twice, and a line that is none.
        lines = lines[:3] + lines + ["{ no record"]
        (directory / f"host-{host}.jsonl").write_text("\n".join(lines) + "\n")
    for _ in range(2):
        engine.load(f"{directory}/*.jsonl")
    months = {(month, kind): int(count) for month, kind, count in engine.ask("by_month", since=SINCE, at=AT)}
    assert months == truth["months"], (months, truth["months"])

    at = datetime.datetime.fromisoformat(AT)
    owners = {}
    for owner, made in truth["owners"].values():
        age = (at - made).days
        row = owners.setdefault(owner, [0, 0, 0, 0, 0])
        row[0] += 1
        row[1 + (age >= 30) + (age >= 90) + (age >= 365)] += 1
    found = {owner: [int(one) for one in row] for owner, *row in engine.ask("secrets_by_owner_and_age", at=AT)}
    assert found == owners, (found, owners)

    unused = set()
    for asked, uses in truth["uses"].items():
        service = int(asked.split("/")[1]) // OF_SERVICE
        if service in truth["ended"] and (at - max(uses.values())).days >= 90:
            unused.add(asked)
    found = {row[2] for row in engine.ask("unused", at=AT)}
    assert found == unused and unused, (found, unused)

    # The first secret of service 9 has the value of the first one of service 8.
    asked = f"team/{9 * OF_SERVICE}"
    uses = set(truth["uses"][asked]) | set(truth["uses"][f"team/{8 * OF_SERVICE}"])
    found = {(row[0], row[1]) for row in engine.ask("blast", secret=asked)}
    assert found == uses, (found, uses)

    crossing = engine.ask("crossing", at=AT)
    assert len(crossing) == 2 * (SERVICES // 10), crossing
    assert all(list(row[1]) == ["production", "staging"] for row in crossing)

    count, median, longest = engine.ask("time_to_uptake", since=SINCE, at=AT)[0]
    wanted = truth["uptake"]
    assert (int(count), int(longest)) == (len(wanted), max(wanted)), (count, longest)
    assert abs(float(median) - statistics.median(wanted)) <= 1, (median, statistics.median(wanted))

    releases, decided = engine.ask("decided", since=SINCE, at=AT)[0]
    assert (int(releases), int(decided)) == (truth["releases"], truth["decided"]), (releases, decided)

    coverage = engine.ask("coverage")
    assert [row[0] for row in coverage] == sorted(f"host-{host}" for host in range(HOSTS))
    assert sum(int(row[1]) for row in coverage) == len(records)
    assert all(int(row[4]) == 0 for row in coverage), coverage
    assert all(day(row[2]) <= day(row[3]) for row in coverage)


def measure(engine, records):
    """Fills DuckDB's tables with so many records: of ten, one is a release with one secret."""
    engine.connection.execute("SET VARIABLE files = '/dev/null'")
    engine.connection.execute((FLEET / "duckdb.sql").read_text())
    began = time.monotonic()
    engine.connection.execute(f"""
        INSERT INTO records
        SELECT 'host-' || (i % 1000), 'b', i // 1000, TIMESTAMP '2025-09-01' + INTERVAL (i // 4) SECOND,
            printf('%016x', i // 10000 * 1000 + i % 1000), 'service-' || (i % 1000 // 3), '/usr/bin/app',
            CASE i // 1000 % 10 WHEN 0 THEN 'start' WHEN 1 THEN 'decision' WHEN 2 THEN 'release'
                WHEN 3 THEN 'delivered' WHEN 4 THEN 'verified' WHEN 9 THEN 'end' ELSE 'control' END,
            true, '', CASE WHEN i // 1000 % 10 = 2 THEN 'rotation' END, 1, 'production', NULL, 'allow', NULL
        FROM range({records}) t(i)""")
    engine.connection.execute("""
        INSERT INTO released
        SELECT host, boot, seq, time, launcher, service, program, environment, 'vault',
            'secret-' || (hash(service, seq % 30) % 10000), 'v' || (seq // 1000), 'owner-' || (seq % 20), '',
            [md5(service || seq // 1000)]
        FROM records WHERE kind = 'release'""")
    rows = [("filled", time.monotonic() - began)]
    for name in engine.queries:
        began = time.monotonic()
        engine.ask(name, at=AT, since="2026-06-01 00:00:00", secret="secret-77")
        rows.append((name, time.monotonic() - began))
    print(f"{records:,} records")
    for name, seconds in rows:
        print(f"  {name:<28} {seconds:8.2f} s")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--clickhouse", action="store_true")
    arguments.add_argument("--records", type=int)
    arguments.add_argument("--directory", type=pathlib.Path)
    arguments = arguments.parse_args()
    if arguments.records:
        return measure(DuckDB(arguments.directory), arguments.records)
    records, truth = fleet()
    engines = [DuckDB] + ([ClickHouse] if arguments.clickhouse else [])
    for engine in engines:
        with tempfile.TemporaryDirectory() as directory:
            check(engine(), records, truth, pathlib.Path(directory))
        print(f"{engine.__name__}: all answers are as they should be")


if __name__ == "__main__":
    sys.exit(main())
