//! A store of any kind that holds canaries, and what hushpipe logs in to it with.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::canary::Canary;
use super::deliveries::{COMMAND, DIRECTORY, SEALED, value};
use crate::harness::bao::auth::APPROLE_AUTH;
use crate::harness::{Bao, Hushpipe, Place, Running, is_long, shipped};

/// The kinds of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sealed,
    Directory,
    Command,
    Vault,
}

/// The hushpipe that is shipped, if there is one, else the one that cargo built. Where time does not
/// matter both: other flags of the compiler leave other traces on the stack.
pub fn binaries() -> Vec<Option<PathBuf>> {
    match shipped() {
        Some(shipped) if is_long() => vec![None, Some(shipped)],
        other => vec![other],
    }
}

/// A store.
pub struct Stocked {
    kind: Kind,
    bao: Option<Bao>,
    /// What is given to hushpipe for its login.
    ids: Vec<Canary>,
}

impl Stocked {
    /// Puts the values where the store has them.
    pub fn new(kind: Kind, hushpipe: Hushpipe, canaries: &[Canary]) -> (Self, Hushpipe) {
        let bao = (kind == Kind::Vault).then(|| Bao::settings().raw_audit().start());
        let hushpipe = match kind {
            Kind::Sealed => hushpipe.sealed(&[]),
            _ => hushpipe,
        };
        let ids = bao.iter().flat_map(|bao| {
            let ids = bao.application(hushpipe.place());
            [
                Canary::of("role_id", &ids.role_id),
                Canary::of("secret_id", &ids.secret_id),
            ]
        });
        let ids = ids.collect();
        let stocked = Self { kind, bao, ids };
        for canary in canaries {
            stocked.put(hushpipe.place(), canary);
        }
        (stocked, hushpipe)
    }

    /// The server of a vault store.
    pub fn bao(&self) -> &Bao {
        self.bao.as_ref().expect("the store is a server's")
    }

    /// Sets a value, as who keeps the store would.
    pub fn put(&self, place: &Place, canary: &Canary) {
        let (name, value) = (&canary.name, value(canary));
        match (self.kind, &self.bao) {
            (Kind::Sealed, _) => place.seal(name, &value),
            (_, Some(bao)) => drop(bao.kv_put(name, &json!({ "value": value }))),
            _ => {
                place.make_directory("values");
                place.replace(&format!("values/{name}"), value);
            }
        }
    }

    /// The same, of a launch that runs: it looks for itself, soon.
    pub fn change(&self, running: &Running, canary: &Canary) {
        self.put(running.place(), canary);
    }

    /// A new value of a secret, which joins the canaries.
    pub fn renew(&self, running: &Running, name: &str, canaries: &mut Vec<Canary>) {
        let canary = Canary::new(name);
        self.change(running, &canary);
        canaries.push(canary);
    }

    /// A rotation of `file` that works, then one of `fifo` that the program is not well with, as the file
    /// `bad` has it say.
    pub fn rotate_and_roll_back(&self, running: &Running, canaries: &mut Vec<Canary>) {
        self.renew(running, "file", canaries);
        running.wait_for_stderr("generation 2 is in place");
        running.place().write("bad", "");
        self.renew(running, "fifo", canaries);
        running.wait_for_stderr("rolled back");
    }

    /// A manifest with a secret of each name; in what follows, `@` after a name is the value that
    /// was put.
    pub fn manifest(&self, place: &Place, names: &[&str], rest: &str) -> String {
        let store = match &self.bao {
            Some(bao) => bao.store(&place.fill(APPROLE_AUTH)),
            None => match self.kind {
                Kind::Sealed => SEALED,
                Kind::Directory => DIRECTORY,
                _ => COMMAND,
            }
            .to_owned(),
        };
        // No event tells that a command would print something else. Exec mode does not look again.
        let refresh = match self.kind {
            Kind::Command | Kind::Vault if !rest.contains("mode: exec") => ", refresh: 1s",
            _ => "",
        };
        let key = match self.kind {
            Kind::Vault => "path: kv/data/",
            _ => "key: ",
        };
        let secret = |name: &&str| format!("  {name}: {{ store: it, {key}{name}{refresh} }}\n");
        let secrets: String = names.iter().map(secret).collect();
        let field = if self.bao.is_some() { ".value" } else { "" };
        let rest = rest.replace('@', field);
        format!("version: 1\nservice: leak\nstores:\n  it: {store}\nsecrets:\n{secrets}{rest}")
    }

    /// What hushpipe has logged in with so far, and what it got for that.
    pub fn logins(&self) -> Vec<Canary> {
        let tokens = self.bao.iter().flat_map(Bao::login_tokens);
        let tokens = tokens.map(|token| Canary::of("token", &token));
        let ids = self.ids.iter().map(|id| Canary::of(&id.name, &id.value()));
        ids.chain(tokens).collect()
    }

    /// Whether these are the store's own files, which are plain.
    pub fn owns(&self, place: &Path, path: &str) -> bool {
        let own = match self.kind {
            Kind::Sealed => return false,
            Kind::Directory | Kind::Command => ["values"].as_slice(),
            Kind::Vault => &["role_id", "secret_id"],
        };
        let own = own
            .iter()
            .map(|name| place.join(name).display().to_string());
        own.into_iter().any(|own| path.contains(&own))
    }
}
