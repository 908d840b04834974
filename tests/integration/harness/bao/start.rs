//! How OpenBao is started: its configuration, and when it is ready.
//!
//! <https://openbao.org/docs/configuration/>, and below it `self-init`, `seal/static`.

use std::path::Path;

use serde_json::{Value, json};

use super::{Bao, ROOT};
use crate::harness::certificates::Authority;
use crate::harness::ports::free_port;
use crate::harness::server::Server;
use crate::harness::{Place, wait_until};

/// What a test's OpenBao is like.
#[derive(Clone, Default)]
pub struct Settings {
    durable: bool,
    manual: bool,
    names: Option<String>,
    expired: bool,
    audit: Audit,
    tls: Option<[String; 2]>,
    more: String,
}

/// How the audit log writes tokens and values.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Audit {
    #[default]
    Hashed,
    Raw,
}

impl Settings {
    /// It keeps everything on the disk: after [`Bao::kill`] and [`Bao::restart`] all is there.
    pub const fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// It does not unseal itself: after [`Bao::seal`] it can be unsealed while it runs.
    pub const fn manual(mut self) -> Self {
        self.manual = true;
        self
    }

    /// Its certificate is for these names, not for 127.0.0.1: `DNS:other.example`.
    pub fn named(mut self, names: &str) -> Self {
        self.names = Some(names.to_owned());
        self
    }

    /// Its certificate's CA ended eight days ago.
    pub const fn expired(mut self) -> Self {
        self.expired = true;
        self
    }

    /// Its audit log has tokens and values as they are: for tests that must know them.
    pub const fn raw_audit(mut self) -> Self {
        self.audit = Audit::Raw;
        self
    }

    /// The lowest and the highest version of TLS that it speaks: `tls10`, `tls12`.
    pub fn tls(mut self, lowest: &str, highest: &str) -> Self {
        self.tls = Some([lowest, highest].map(str::to_owned));
        self
    }

    /// More configuration, in HCL: `default_lease_ttl = "5s"`.
    pub fn with(mut self, more: &str) -> Self {
        self.more.push_str(more);
        self.more.push('\n');
        self
    }

    fn tls_versions(&self) -> String {
        let Some([lowest, highest]) = &self.tls else {
            return String::new();
        };
        format!("tls_min_version = {lowest:?}\n  tls_max_version = {highest:?}")
    }

    /// Starts it and waits until it answers.
    pub fn start(self) -> Bao {
        let place = Place::new();
        let authority = if self.expired {
            Authority::expired(place.path(), "ca")
        } else {
            Authority::new(place.path(), "ca")
        };
        let names = self.names.as_deref();
        authority.server("server", names.unwrap_or("DNS:localhost,IP:127.0.0.1"));
        place.write("seal.key", [7; 32]);
        let mut bao = Bao {
            settings: self,
            place,
            authority,
            port: 0,
            plain_port: 0,
            server: None,
            unseal_key: None,
        };
        bao.start_anywhere();
        bao
    }
}

impl Bao {
    /// Another process may take a port between the look and the start: then on others.
    fn start_anywhere(&mut self) {
        let mut last = String::new();
        for _ in 0..5 {
            self.port = free_port();
            self.plain_port = free_port();
            match self.launch() {
                Ok(()) => return,
                Err(log) if log.contains("address already in use") => last = log,
                Err(log) => panic!("{log}"),
            }
        }
        panic!("{last}");
    }

    /// Starts the process on its ports; what it said, when it does not come up.
    pub(super) fn launch(&mut self) -> Result<(), String> {
        self.place.write("bao.hcl", self.configuration());
        // What is left of a killed one.
        std::fs::remove_file(self.socket()).ok();
        std::fs::remove_file(self.place.join("log")).ok();
        let configuration = format!("-config={}", self.place.join("bao.hcl").display());
        let words = [&program(), "server", &configuration];
        let mut server = Server::start(&words, &self.place.join("log"), self.place.path());
        let started = wait_until(|| {
            let ended = server.has_ended();
            // Self-initialisation is done by then.
            let up = server.log().contains("OpenBao server started!");
            (up || ended).then_some(up)
        });
        let log = server.log();
        self.server = Some(server);
        if started != Some(true) {
            self.server = None;
            return Err(log);
        }
        if self.settings.manual {
            self.unseal();
        }
        self.until_ready();
        Ok(())
    }

    fn until_ready(&self) {
        let ready = wait_until(|| {
            let answer = self.request("GET", "sys/mounts", None);
            (answer.status == 200).then_some(())
        });
        assert!(ready.is_some(), "OpenBao is not ready\n{}", self.log());
    }

    /// Unseals it. One that unseals itself does so only when it starts: it is started again.
    pub fn unseal(&mut self) {
        if !self.settings.manual {
            self.kill();
            self.restart();
            return;
        }
        if let Some(key) = &self.unseal_key {
            let body = json!({ "key": key });
            self.post("sys/unseal", &body);
            self.until_ready();
            return;
        }
        let body = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let keys = self.post("sys/init", &body);
        let text = |value: &Value| value.as_str().expect("it is a text").to_owned();
        self.unseal_key = Some(text(&keys["keys"][0]));
        let body = json!({ "key": self.unseal_key });
        self.post("sys/unseal", &body);
        self.set_up(&text(&keys["root_token"]));
    }

    /// What self-initialisation does, by requests.
    fn set_up(&self, root: &str) {
        for (path, data) in set_up() {
            let done = wait_until(|| {
                let answer = self.request_as(root, "POST", path, Some(&data));
                (answer.status < 300).then_some(())
            });
            assert!(done.is_some(), "{path}\n{}", self.log());
        }
    }

    fn configuration(&self) -> String {
        let at = |name: &str| self.place.join(name).display().to_string();
        let storage = if self.settings.durable {
            format!("storage \"pebbledb\" {{\n  path = {:?}\n}}", at("data"))
        } else {
            "storage \"inmem\" {}".to_owned()
        };
        let listeners = self.listeners();
        let itself = if self.settings.manual {
            String::new()
        } else {
            format!("{}\n{}", seal(&at("seal.key")), initialize())
        };
        format!(
            "{storage}\n{listeners}\n{itself}\n\
             api_addr = {:?}\nlog_level = \"warn\"\n\
             audit \"file\" \"requests\" {{\n  options {{\n    file_path = {:?}\n    \
             log_raw = \"{}\"\n  }}\n}}\n{}",
            self.address(),
            at("audit.log"),
            self.settings.audit == Audit::Raw,
            self.settings.more
        )
    }

    fn listeners(&self) -> String {
        let at = |name: &str| self.place.join(name).display().to_string();
        format!(
            r#"
listener "tcp" {{
  address = "127.0.0.1:{}"
  cluster_address = "127.0.0.1:0"
  tls_cert_file = {:?}
  tls_key_file = {:?}
  {}
}}
listener "tcp" {{
  address = "127.0.0.1:{}"
  cluster_address = "127.0.0.1:0"
  tls_disable = true
}}
listener "unix" {{
  address = {:?}
  socket_mode = "0666"
}}"#,
            self.port,
            at("server.pem"),
            at("server.key"),
            self.settings.tls_versions(),
            self.plain_port,
            at("bao.sock"),
        )
    }
}

/// A key of 32 bytes in a file unseals it whenever it starts.
fn seal(key: &str) -> String {
    format!(
        "seal \"static\" {{\n  current_key_id = \"1\"\n  current_key = {:?}\n}}",
        format!("file://{key}")
    )
}

/// The requests of a first start.
fn set_up() -> [(&'static str, Value); 3] {
    let root =
        json!({ "id": ROOT, "display_name": "test", "policies": ["root"], "no_parent": true });
    [
        ("auth/token/create-orphan", root),
        (
            "sys/mounts/kv",
            json!({ "type": "kv", "options": { "version": "2" } }),
        ),
        (
            "sys/mounts/kv1",
            json!({ "type": "kv", "options": { "version": "1" } }),
        ),
    ]
}

/// The same as configuration; HCL takes JSON's values, with `=` for `:`.
fn initialize() -> String {
    let requests = set_up()
        .into_iter()
        .enumerate()
        .map(|(number, (path, data))| {
            format!(
                "  request \"r{number}\" {{\n    operation = \"update\"\n    path = {path:?}\n    \
             data = {}\n  }}\n",
                hcl(&data)
            )
        });
    format!("initialize \"test\" {{\n{}}}", requests.collect::<String>())
}

fn hcl(value: &Value) -> String {
    let Value::Object(members) = value else {
        return value.to_string();
    };
    let members = members
        .iter()
        .map(|(name, value)| format!("{name} = {}\n", hcl(value)));
    format!("{{\n{}}}", members.collect::<String>())
}

/// The server's program: as tests/install puts it beside what cargo builds, else from PATH.
pub fn program() -> String {
    let own = std::env::current_exe().expect("the test knows its program");
    let tools = own.ancestors().map(|above| above.join("tools/bin/bao"));
    let found = tools.into_iter().find(|path| Path::exists(path));
    found.map_or_else(|| "bao".to_owned(), |path| path.display().to_string())
}
