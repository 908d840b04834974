//! A real OpenBao server for a test.
//!
//! ```ignore
//! let bao = Bao::start();
//! bao.kv_put("stripe", &json!({ "key": "sk_live_1" }));
//! let hushpipe = Hushpipe::new();
//! let store = bao.store_by_approle(hushpipe.place());
//! hushpipe.manifest(&format!("… stores:\n  bao: {store}\n …"))
//! ```
//!
//! It has a directory and ports of its own, initialises itself within 0.3 s, and ends with the
//! test. It listens by TLS ([`Bao::address`], [`Bao::ca_file`]), by plain HTTP ([`Bao::plain`]) and
//! on a unix socket ([`Bao::socket`]). KV version 2 is at `kv`, version 1 at `kv1`; what else a
//! test needs it mounts by the words of [`auth`] and [`engines`]. All requests are in an audit log.

pub mod auth;
pub mod engines;
pub mod kv;
pub mod start;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::Place;
use super::certificates::Authority;
use super::processes::wait_until;
use super::server::Server;

pub use auth::AppRole;
pub use start::{Settings, program};

/// The token that may do everything.
pub const ROOT: &str = "the-root-token-of-the-test";
/// How the audit log calls it.
const ROOT_NAME: &str = "token-test";
/// What it says with 500 when two requests wrote at once, and this one came second: nothing of it was
/// kept.
const NOT_COMMITTED: &str = "transaction commit failed";

/// A running OpenBao.
pub struct Bao {
    settings: Settings,
    place: Place,
    authority: Authority,
    port: u16,
    plain_port: u16,
    server: Option<Server>,
    /// With [`Settings::manual`]: what unseals it.
    unseal_key: Option<String>,
}

/// What OpenBao answered.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; null where there is none.
    pub body: Value,
}

impl Bao {
    /// Starts one that keeps everything in memory.
    pub fn start() -> Self {
        Settings::default().start()
    }

    /// Settings of one to start.
    pub fn settings() -> Settings {
        Settings::default()
    }

    /// `https://127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The TLS port, for a proxy in front.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT`, without TLS.
    pub fn plain(&self) -> String {
        format!("http://127.0.0.1:{}", self.plain_port)
    }

    /// The port without TLS.
    pub const fn plain_port(&self) -> u16 {
        self.plain_port
    }

    /// A unix socket that it listens on, without TLS.
    pub fn socket(&self) -> PathBuf {
        self.place.join("bao.sock")
    }

    /// The CA that its certificate is of.
    pub fn ca_file(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// The CA itself: it may issue client certificates.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Its own directory.
    pub fn directory(&self) -> &Path {
        self.place.path()
    }

    /// A store of a manifest, as a YAML flow mapping, that logs in in this way.
    pub fn store(&self, auth: &str) -> String {
        self.store_at(&self.address(), auth, "")
    }

    /// The same at another address (a proxy's), with more settings: `, namespace: team`.
    pub fn store_at(&self, address: &str, auth: &str, more: &str) -> String {
        let ca = self.ca_file();
        format!(
            r#"{{ type: vault, address: "{address}", ca_file: "{}", auth: {auth}{more} }}"#,
            ca.display()
        )
    }

    /// A request as root. `path` has no `v1/`.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.request_as(ROOT, method, path, body)
    }

    /// A request with another token. Where the server could not write what the request makes it write
    /// (reading a static role at the moment in which its password is changed, as one of them), it is
    /// made again, as clients do.
    pub fn request_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let header = format!("X-Vault-Token: {token}");
        let answer = || {
            self.request_with(&["--header", &header], method, path, body)
                .unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.log()))
        };
        wait_until(|| Some(answer()).filter(|answer| !answer.is_conflict())).unwrap_or_else(answer)
    }

    /// A request by curl(1), with arguments for it: `["--header", "X-Vault-Namespace: team"]`.
    pub fn request_with(
        &self,
        curl: &[&str],
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "20"])
            .args(["--write-out", "\n%{http_code}", "--request", method])
            .args(curl)
            .arg(format!("{}/v1/{path}", self.plain()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if body.is_some() {
            command.args(["--data-binary", "@-"]);
        }
        let mut child = command.spawn().map_err(|error| format!("curl: {error}"))?;
        let mut stdin = child.stdin.take().expect("it is a pipe");
        if let Some(body) = body {
            stdin
                .write_all(body.to_string().as_bytes())
                .map_err(|error| format!("curl's input: {error}"))?;
        }
        drop(stdin);
        let output = child.wait_with_output().expect("it is a child");
        Answer::read(&output.stdout)
            .ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// A request as root that must succeed; gives the body.
    pub fn get(&self, path: &str) -> Value {
        self.succeeds("GET", path, None)
    }

    /// A request as root that must succeed; gives the body.
    pub fn list(&self, path: &str) -> Value {
        self.succeeds("LIST", path, None)
    }

    /// A request as root that must succeed; gives the body.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.succeeds("POST", path, Some(body))
    }

    /// A request as root that must succeed.
    pub fn delete(&self, path: &str) {
        self.succeeds("DELETE", path, None);
    }

    fn succeeds(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.request(method, path, body);
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path}: {} {}\n{}",
            answer.status,
            answer.body,
            self.log()
        );
        answer.body
    }

    /// The tokens that logins gave. Needs [`Settings::raw_audit`].
    pub fn login_tokens(&self) -> Vec<String> {
        let token = |entry: Value| {
            let path = entry["request"]["path"].as_str()?;
            let token = entry["response"]["auth"]["client_token"].as_str();
            token
                .filter(|_| path.ends_with("/login"))
                .map(str::to_owned)
        };
        self.audit_log().into_iter().filter_map(token).collect()
    }

    /// A field of all that was given at paths that start so, oldest first. Needs
    /// [`Settings::raw_audit`].
    pub fn given(&self, prefix: &str, field: &str) -> Vec<String> {
        let given = |entry: Value| {
            let path = entry["request"]["path"].as_str()?;
            let value = entry["response"]["data"][field].as_str();
            value
                .filter(|_| path.starts_with(prefix))
                .map(str::to_owned)
        };
        self.audit_log().into_iter().filter_map(given).collect()
    }

    /// Every text at a place (a JSON pointer) in an answer, oldest first:
    /// `/response/data/secret_id`. Needs [`Settings::raw_audit`].
    pub fn answered(&self, pointer: &str) -> Vec<String> {
        let text = |entry: Value| Some(entry.pointer(pointer)?.as_str()?.to_owned());
        self.audit_log().into_iter().filter_map(text).collect()
    }

    fn audit_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.place.join("audit.log")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The requests that were made, by anyone but root: the entries of the audit log, oldest first.
    pub fn audit(&self) -> Vec<Value> {
        self.audit_log()
            .into_iter()
            .filter(|entry| entry["type"] == "request")
            .filter(|entry| {
                let name = entry["auth"]["display_name"].as_str().unwrap_or_default();
                // `root` is who initialises the server.
                ![ROOT_NAME, "root"].contains(&name)
            })
            .collect()
    }

    /// The paths of those requests.
    pub fn audited_paths(&self) -> Vec<String> {
        let path = |entry: Value| entry["request"]["path"].as_str().map(str::to_owned);
        self.audit().into_iter().filter_map(path).collect()
    }

    /// How many of them were for paths that start so.
    pub fn requests(&self, prefix: &str) -> usize {
        let paths = self.audited_paths();
        paths.iter().filter(|path| path.starts_with(prefix)).count()
    }

    /// What it said.
    pub fn log(&self) -> String {
        self.server.as_ref().map(Server::log).unwrap_or_default()
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.server().pid()
    }

    /// It does nothing more, but its connections stay: SIGSTOP.
    pub fn freeze(&self) {
        self.server().signal(Signal::SIGSTOP);
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.server().signal(Signal::SIGCONT);
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.server.take().expect("it runs").kill();
    }

    /// Starts it again on the same ports. What it had in memory is gone, and it has initialised
    /// itself anew, but for [`Settings::durable`].
    pub fn restart(&mut self) {
        assert!(self.server.is_none(), "it still runs");
        self.launch().unwrap_or_else(|log| panic!("{log}"));
    }

    /// Seals it: it answers 503 until [`Bao::unseal`].
    pub fn seal(&self) {
        self.post("sys/seal", &Value::Null);
    }
}

impl Answer {
    fn is_conflict(&self) -> bool {
        self.status == 500 && self.body.to_string().contains(NOT_COMMITTED)
    }

    /// What curl wrote: the body, a line end, the status.
    fn read(output: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(output);
        let (body, status) = text.rsplit_once('\n')?;
        let status = status.parse().ok().filter(|status| *status != 0)?;
        Some(Self {
            status,
            body: serde_json::from_str(body).unwrap_or_default(),
        })
    }
}
