//! A PostgreSQL cluster of a test's own, from Debian's package.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use nix::sys::signal::Signal;
use nix::unistd::User;

use super::certificates::run;
use super::ports::free_port;
use super::server::Server;
use super::{Place, wait_until};

/// A running PostgreSQL, with a role `app` that owns nothing: the group of an application's roles.
pub struct Postgres {
    place: Place,
    port: u16,
    server: Server,
}

/// Of the superuser `postgres`.
pub const PASSWORD: &str = "the-superusers-password";

/// What every command of PostgreSQL runs through: it refuses root.
const AS_POSTGRES: [&str; 4] = [
    "--reuid=postgres",
    "--regid=postgres",
    "--clear-groups",
    "--",
];

/// A program of the newest version that is installed: Debian has no links to the servers in PATH.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let mut versions: Vec<PathBuf> = versions.flatten().map(|entry| entry.path()).collect();
    versions.sort();
    let newest = versions.pop().expect("PostgreSQL is installed");
    newest.join("bin").join(name)
}

fn postgres_user() -> u32 {
    let user = User::from_name("postgres").expect("users can be looked up");
    user.expect("Debian's package makes the user").uid.as_raw()
}

fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(AS_POSTGRES).arg(program);
    command
}

/// A cluster that was never started, for copies: to make one takes six times as long as to copy it.
/// It stays beside what cargo builds.
fn new_cluster() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let server = program("initdb");
    let version = server
        .iter()
        .rev()
        .nth(2)
        .expect("/usr/lib/postgresql/N/bin");
    let cluster = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("postgresql")
        .join(version);
    let _one = MAKING.lock().expect("whoever makes it does not panic");
    if !cluster.exists() {
        let place = Place::new();
        place.write("password", PASSWORD);
        place.give_to(postgres_user());
        let mut initdb = as_postgres(&server);
        initdb.args([
            "--auth=scram-sha-256",
            "--no-sync",
            "--no-locale",
            "--encoding=UTF8",
        ]);
        initdb.arg("--pwfile").arg(place.join("password"));
        initdb.arg("--pgdata").arg(place.join("data"));
        run(initdb.current_dir(place.path()));
        let new = cluster.with_extension(std::process::id().to_string());
        std::fs::create_dir_all(&new).expect("cargo's directory can be written");
        copy(&place.join("data"), &new);
        // Another process of tests may have made it meanwhile.
        if std::fs::rename(new.join("data"), &cluster).is_err() {
            assert!(cluster.exists(), "{} cannot be made", cluster.display());
        }
        std::fs::remove_dir_all(new).expect("it was just made");
    }
    cluster
}

/// With its modes; the copy is `data` in that directory.
fn copy(cluster: &Path, into: &Path) {
    let mut copy = Command::new("cp");
    copy.args(["--recursive", "--preserve=mode"]).arg(cluster);
    run(copy.arg(into.join("data")).current_dir(into));
}

/// Runs SQL at a port of 127.0.0.1; gives the rows, fields parted by `|`, or what went wrong.
pub fn sql(
    port: u16,
    user: &str,
    password: &str,
    database: &str,
    text: &str,
) -> Result<String, String> {
    let output = Command::new("psql")
        .args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
        ])
        .args(["--host=127.0.0.1", &format!("--port={port}")])
        .args(["--username", user, "--dbname", database, "--command", text])
        .env("PGPASSWORD", password)
        .output()
        .map_err(|error| format!("psql: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

impl Postgres {
    /// Makes one and starts it: passwords by SCRAM, at 127.0.0.1, nothing forced to the disk.
    pub fn start() -> Self {
        let place = Place::new();
        copy(&new_cluster(), place.path());
        place.give_to(postgres_user());
        let (port, server) = Self::serve(&place);
        let postgres = Self {
            place,
            port,
            server,
        };
        postgres.query("CREATE ROLE app NOLOGIN");
        postgres
    }

    fn serve(place: &Place) -> (u16, Server) {
        for _ in 0..5 {
            let port = free_port();
            let mut server = Self::launch(place, port);
            let ready = wait_until(|| {
                let up = server.log().contains("ready to accept connections");
                (up || server.has_ended()).then_some(up)
            });
            if ready == Some(true) {
                return (port, server);
            }
            assert!(
                server.log().contains("Address already in use"),
                "{}",
                server.log()
            );
        }
        panic!("no port is free");
    }

    fn launch(place: &Place, port: u16) -> Server {
        let program = program("postgres").display().to_string();
        let (data, sockets) = (place.join("data"), place.path());
        let words = |path: &Path| path.display().to_string();
        let (data, sockets, port) = (words(&data), words(sockets), port.to_string());
        let mut all = vec!["setpriv"];
        all.extend(AS_POSTGRES);
        all.extend([&*program, "-D", &data, "-k", &sockets, "-p", &port]);
        all.extend(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        all.extend(["-c", "max_connections=200"]);
        Server::start(&all, &place.join("log"), place.path())
    }

    /// Where it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL as the superuser; gives the rows, fields parted by `|`.
    pub fn query(&self, text: &str) -> String {
        sql(self.port, "postgres", PASSWORD, "postgres", text)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// The names of the roles that the database engine made and that are still there.
    pub fn leased_roles(&self) -> Vec<String> {
        let rows = self.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'");
        rows.lines().map(str::to_owned).collect()
    }

    /// What it said.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

impl Drop for Postgres {
    /// By a fast shutdown, so that its shared memory goes with it.
    fn drop(&mut self) {
        self.server.stop(Signal::SIGINT);
    }
}
