//! hushpipe with secrets of a real OpenBao: against curl with the same requests, against OpenBao's
//! own agent, over a slow line, and while secrets change.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::harness::{Bao, FaultProxy, Place, Wire, bao};
use super::launches::{interleaved, launch};
use super::supervised::{Supervised, now, own_program, run_handler};
use super::table::{Row, percentile};
use super::{Effort, SECRETS};

const LAUNCHES: usize = 40;

/// Paths behind the slow line, and launches from there.
const PATHS: usize = 200;
const FAR_LAUNCHES: usize = 10;

/// What a round trip through the proxy takes more: each direction is delayed by half of it.
const AWAY: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(20),
    Duration::from_millis(100),
];

/// The agent takes seconds.
const AGENT_LAUNCHES: usize = 5;

/// Writes that are waited for, one after the other, and how often is polled for them.
const WRITES: usize = 100;
const INTERVAL: f64 = 1_000.0;

/// A server with secrets, and who may read them.
struct Vault<'a> {
    hushpipe: &'a Path,
    bao: Bao,
    place: Place,
    login: bao::AppRole,
}

impl<'a> Vault<'a> {
    fn new(hushpipe: &'a Path) -> Self {
        let bao = Bao::start();
        let place = Place::new();
        for number in 0..PATHS {
            let value = format!("value-{number:032}");
            bao.kv_put(&format!("s{number}"), &json!({ "v": value }));
        }
        let login = bao.application(&place);
        Self {
            hushpipe,
            bao,
            place,
            login,
        }
    }

    /// Writes a manifest with so many secrets, each with `settings`, and gives its path.
    fn manifest(&self, name: &str, address: &str, secrets: (usize, &str), rest: &str) -> PathBuf {
        let auth = self.place.fill(bao::auth::APPROLE_AUTH);
        // The agent and curl do not log out either.
        let store = self.bao.store_at(address, &auth, ", revoke_on_exit: false");
        let (count, settings) = secrets;
        let secrets: Vec<String> = (0..count)
            .map(|n| format!("  s{n}: {{ store: bao, path: kv/data/s{n}{settings} }}\n"))
            .collect();
        let secrets = secrets.concat();
        let text = format!(
            "version: 1\nservice: bench\nstores:\n  bao: {store}\nsecrets:\n{secrets}{rest}"
        );
        let name = format!("{name}.yaml");
        self.place.write(&name, text);
        self.place.join(&name)
    }

    /// `run --exec` of /bin/true with so many secrets.
    fn launch(&self, name: &str, address: &str, secrets: usize) -> Command {
        let rest = format!("{}run: {{ command: [/bin/true] }}\n", as_one(secrets));
        let manifest = self.manifest(name, address, (secrets, ""), &rest);
        let mut command = Command::new(self.hushpipe);
        command.args(["-q", "run", "--exec", "-m"]).arg(manifest);
        command
    }

    /// A hushpipe that supervises the handler, with secrets that are polled so often.
    fn supervise(&self, refresh: &str) -> Command {
        let settings = format!(", refresh: {refresh}");
        let file = self.place.join("run/all");
        let rest = format!(
            "deliver:\n  - {{ file: \"{}\", content: \"{}\" }}\nrun:\n{}",
            file.display(),
            all(SECRETS),
            run_handler()
        );
        let address = self.bao.address();
        let manifest = self.manifest(refresh, &address, (SECRETS, &settings), &rest);
        let mut command = Command::new(self.hushpipe);
        command.args(["-q", "run", "-m"]).arg(manifest);
        command
    }

    /// curl(1) with the requests of such a launch, one after the other over one connection. It
    /// cannot take the token from the first answer: it has one.
    fn curl(&self) -> Command {
        let body = json!({ "role_id": self.login.role_id, "secret_id": self.login.secret_id });
        let token = format!("X-Vault-Token: {}", self.bao.token("app", "1h"));
        let url = |path: &str| format!("{}/v1/{path}", self.bao.address());
        let mut command = Command::new("curl");
        let common = |command: &mut Command| {
            command
                .args(["--silent", "--fail", "--output", "/dev/null", "--cacert"])
                .arg(self.bao.ca_file());
        };
        common(&mut command);
        command
            .args(["--data", &body.to_string()])
            .arg(url("auth/approle/login"));
        for number in 0..SECRETS {
            command.arg("--next");
            common(&mut command);
            command
                .args(["--header", &token])
                .arg(url(&format!("kv/data/s{number}")));
        }
        command
    }

    /// `bao agent` that logs in in the same way and gives the handler the same secrets, in its
    /// environment: it has no better way.
    /// <https://openbao.org/docs/agent-and-proxy/agent/process-supervisor/>
    fn agent(&self) -> Command {
        let at = |name: &str| self.place.join(name).display().to_string();
        let secret = |n| {
            let content = format!(
                "{{{{ with secret \\\"kv/data/s{n}\\\" }}}}{{{{ .Data.data.v }}}}{{{{ end }}}}"
            );
            format!("env_template \"S{n}\" {{\n  contents = \"{content}\"\n}}\n")
        };
        let secrets: Vec<String> = (0..SECRETS).map(secret).collect();
        let text = format!(
            "vault {{\n  address = {:?}\n  ca_cert = \"{}\"\n}}\nauto_auth {{\n  method \"approle\" {{\n    \
             config = {{\n      role_id_file_path = {:?}\n      secret_id_file_path = {:?}\n      \
             remove_secret_id_file_after_reading = false\n    }}\n  }}\n}}\n{}\
             exec {{\n  command = [{:?}, \"handler\"]\n}}\n",
            self.bao.address(),
            self.bao.ca_file().display(),
            at("role_id"),
            at("secret_id"),
            secrets.concat(),
            own_program(),
        );
        self.place.write("agent.hcl", text);
        let mut command = Command::new(bao::program());
        command
            .args(["agent", "-log-level=error"])
            .arg(format!("-config={}", at("agent.hcl")));
        command
    }

    /// Writes the next version of a secret; gives the time of the answer.
    fn write(&self, number: usize) -> u128 {
        let server = ("127.0.0.1", self.bao.plain_port());
        let mut server = TcpStream::connect(server).expect("OpenBao listens");
        let body = json!({ "data": { "v": format!("new-{number:032}") } }).to_string();
        let request = format!(
            "POST /v1/kv/data/s0 HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: {}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            bao::ROOT,
            body.len()
        );
        server.write_all(request.as_bytes()).expect("OpenBao reads");
        let mut status = [0; "HTTP/1.1 200".len()];
        server.read_exact(&mut status).expect("OpenBao answers");
        let at = now();
        assert_eq!(&status, b"HTTP/1.1 200", "{}", self.bao.log());
        at
    }
}

/// All secrets, for a template.
fn all(secrets: usize) -> String {
    let one = |n| format!("{{{{ s{n}.v }}}}");
    (0..secrets).map(one).collect::<Vec<_>>().concat()
}

/// One sealed memfd with all of them.
fn as_one(secrets: usize) -> String {
    format!(
        "deliver:\n  - {{ fd: 3, as: memfd, content: \"{}\" }}\n",
        all(secrets)
    )
}

/// All of it.
pub fn measure(hushpipe: &Path, effort: Effort) -> Vec<Row> {
    let vault = Vault::new(hushpipe);
    let mut rows = near(&vault, effort.rounds(LAUNCHES));
    rows.extend(far(&vault, effort.rounds(FAR_LAUNCHES)));
    rows.extend(against_agent(&vault, effort.rounds(AGENT_LAUNCHES)));
    rows.extend(changes(&vault, effort.rounds(WRITES)));
    rows
}

/// Launches beside the server.
fn near(vault: &Vault<'_>, launches: usize) -> Vec<Row> {
    let hushpipe = vault.launch("near", &vault.bao.address(), SECRETS);
    let times = interleaved(&mut [vault.curl(), hushpipe], launches);
    vec![
        Row::info("OpenBao: login and 10 reads by curl, ms", times[0].median),
        Row::info("OpenBao: run --exec, 10 secrets, ms", times[1].median),
        Row::timed(
            "OpenBao: run --exec, 10 secrets / curl",
            times[1].median / times[0].median,
            1.3,
        ),
    ]
}

/// Launches over slow lines, the best of each: load only adds. What a round trip really takes tells
/// curl, which needs two: one for TLS 1.3, and one for its request. The proxy takes connections at
/// once, which over a real line is one round trip more: it is counted as one.
///
/// A launch with so many paths keeps both processors busy for as long as some round trips of 20 ms, and
/// how much of that lies within them is chance. The slowest line tells how many there are: what is
/// not whole of one is load.
fn far(vault: &Vault<'_>, launches: usize) -> Vec<Row> {
    let proxy = FaultProxy::start(vault.bao.port());
    let mut hushpipe = vault.launch("far", &proxy.address(), PATHS);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--fail", "--output", "/dev/null", "--cacert"])
        .arg(vault.bao.ca_file())
        .arg(format!("{}/v1/sys/health", proxy.address()));
    let mut connections = 0;
    let mut best = [[f64::INFINITY; 2]; AWAY.len()];
    for _ in 0..launches {
        for (away, [curls, ours]) in AWAY.iter().zip(&mut best) {
            proxy.set(match away {
                &Duration::ZERO => Wire::Good,
                away => Wire::Delay(*away / 2),
            });
            *curls = curls.min(launch(&mut curl));
            let before = proxy.connections();
            *ours = ours.min(launch(&mut hushpipe));
            connections += proxy.connections() - before;
        }
    }
    let [[curl, near], [_, far], [slow_curl, farther]] = best;
    let round_trip = (slow_curl - curl) / 2.0;
    let all = 1.0 + (farther - near) / round_trip;
    vec![
        Row::info("OpenBao: run --exec, 200 paths, ms", near),
        Row::info("OpenBao: the same, 20 ms away, ms", far),
        Row::info("OpenBao: the same, 100 ms away, ms", farther),
        Row::info("OpenBao: a round trip 100 ms away, by curl, ms", round_trip),
        Row::info("OpenBao: 200 paths: round trips, with load's share", all),
        Row::timed(
            "OpenBao: 200 paths: round trips with TCP's",
            all.round(),
            4.0,
        ),
        Row::counted(
            "OpenBao: connections for 200 paths",
            connections as f64 / (AWAY.len() * launches) as f64,
            1.0,
        ),
    ]
}

/// From the start of a supervisor to the first line of the program, and what is resident then.
fn against_agent(vault: &Vault<'_>, launches: usize) -> Vec<Row> {
    let [agent_took, agent_resident] = ready(vault.agent(), launches);
    let [took, resident] = ready(vault.supervise("30s"), launches);
    vec![
        Row::info(
            "OpenBao: bao agent, 10 secrets, until the program is ready, ms",
            agent_took,
        ),
        Row::info("OpenBao: bao agent, resident, MiB", agent_resident),
        Row::info(
            "OpenBao: hushpipe run, 10 secrets, until the program is ready, ms",
            took,
        ),
        Row::info("OpenBao: hushpipe run, resident, MiB", resident),
        Row::timed(
            "OpenBao: until the program is ready, hushpipe run / bao agent",
            took / agent_took,
            1.0,
        ),
        Row::counted(
            "OpenBao: resident, hushpipe run / bao agent",
            resident / agent_resident,
            1.0,
        ),
    ]
}

/// Milliseconds until the program is ready, and MiB that are resident then: medians.
fn ready(mut supervisor: Command, launches: usize) -> [f64; 2] {
    let one = |_| {
        let since = Instant::now();
        let supervised = Supervised::of(&mut supervisor);
        let took = since.elapsed().as_secs_f64() * 1000.0;
        let resident = supervised.resident();
        supervised.stop();
        (took, resident)
    };
    let (mut took, mut resident): (Vec<f64>, Vec<f64>) = (0..launches).map(one).unzip();
    [percentile(&mut took, 0.5), percentile(&mut resident, 0.5)]
}

/// Writes, until the program's signal.
fn changes(vault: &Vault<'_>, writes: usize) -> Vec<Row> {
    let mut supervised = Supervised::of(&mut vault.supervise("1s"));
    let launched = supervised.resident();
    let mut times = supervised.changes(writes, |number| vault.write(number));
    let rotated = supervised.resident();
    supervised.stop();
    vec![
        Row::resident("OpenBao: resident after the hand-over, MiB", launched, 5.0),
        Row::resident(
            format!("OpenBao: resident after {writes} rotations, MiB"),
            rotated,
            5.0,
        ),
        Row::info(
            "OpenBao: write to signal, refresh: 1s, p50, ms",
            percentile(&mut times, 0.5),
        ),
        Row::timed(
            "OpenBao: write to signal, past the interval, p99, ms",
            percentile(&mut times, 0.99) - INTERVAL,
            10.0,
        ),
    ]
}
