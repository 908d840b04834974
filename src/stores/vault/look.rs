//! Looking for new versions without reading values, where the server can tell.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::answer::{self, Secret, Standing};
use super::answered::Answered;
use super::ask::Ask;
use super::call::Call;
use super::core::Core;
use super::credential::{self, Stamp, json};
use super::error::{VaultError, refused};
use super::looked::{Kind, NOT_AGAIN, State};
use super::path;
use super::wrapping;
use crate::model::Version;
use crate::sys::clock::Boottime;

#[derive(Serialize)]
struct Paths<'a> {
    paths: [&'a str; 1],
}

/// How a request is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looking {
    /// The manifest says how often, also where people have to authorize each reading.
    pub insists: bool,
    /// Its value may be read, if nothing else tells.
    pub reads: bool,
}

impl Core {
    /// Whether a request has another state than at its last answer, or may have: where nothing but its
    /// value tells, and that may not be read.
    pub(super) async fn look(&self, ask: &Ask, how: Looking) -> Result<bool, VaultError> {
        let known = |core: &Self| {
            let looked = core.looked.borrow();
            looked.get(ask).map(|look| (look.kind, look.state.clone()))
        };
        let Some((kind, _)) = known(self) else {
            return Ok(false);
        };
        if self.is_controlled(ask) && kind != Kind::Made {
            return self.look_at_controlled(ask, kind, how.insists).await;
        }
        let state = match kind {
            Kind::Made => return self.look_at_made(ask).await,
            Kind::Versioned => match self.standing(ask, Call::brief).await? {
                Some(Standing::There(version)) => State::Numbered(version),
                Some(Standing::Gone) => State::Faulty,
                None if how.reads => self.look_at_data(ask).await?,
                None => return Ok(true),
            },
            Kind::Plain if how.reads => self.look_at_data(ask).await?,
            Kind::Plain => {
                self.unhint(ask);
                return Ok(true);
            }
        };
        // A fetch may have come between.
        Ok(known(self).is_some_and(|(_, known)| known != state))
    }

    fn is_controlled(&self, ask: &Ask) -> bool {
        let looked = self.looked.borrow();
        looked.get(ask).is_some_and(|look| look.controlled)
    }

    /// Where people have to authorize a reading, none is made to look: the metadata tell, or the period
    /// that the manifest names.
    async fn look_at_controlled(
        &self,
        ask: &Ask,
        kind: Kind,
        insists: bool,
    ) -> Result<bool, VaultError> {
        let standing = match kind {
            Kind::Versioned => self.standing(ask, Call::brief).await?,
            _ => None,
        };
        let state = match standing {
            Some(Standing::There(version)) => State::Numbered(version),
            Some(Standing::Gone) => State::Faulty,
            None => return Ok(insists),
        };
        let looked = self.looked.borrow();
        Ok(looked.get(ask).is_some_and(|look| look.state != state))
    }

    fn state_of(&self, secret: Secret) -> State {
        match secret.version {
            Some(version) => State::Numbered(version),
            None => State::At(self.version_of(secret)),
        }
    }

    /// By reading it; the value goes at once.
    async fn look_at_data(&self, ask: &Ask) -> Result<State, VaultError> {
        match self.read_by(ask, ask.call().brief()).await {
            Ok(Answered::Controlled(pending)) => {
                // Since the last fetch people have to authorize it: from now on only fetching asks them.
                self.forget_at_server(&pending).await;
                let mut looked = self.looked.borrow_mut();
                Ok(match looked.get_mut(ask) {
                    Some(look) => {
                        look.controlled = true;
                        look.state.clone()
                    }
                    None => State::Faulty,
                })
            }
            Ok(Answered::Secret(read)) => {
                if let Some(look) = self.looked.borrow_mut().get_mut(ask) {
                    look.hint(read.secret.ttl);
                }
                Ok(self.state_of(read.secret))
            }
            Err(error) if error.is_outage() => Err(error),
            Err(_) => {
                self.unhint(ask);
                Ok(State::Faulty)
            }
        }
    }

    /// The time that the server named has come: it is no reason to look again at once.
    fn unhint(&self, ask: &Ask) {
        if let Some(look) = self.looked.borrow_mut().get_mut(ask) {
            look.hinted = None;
        }
    }

    /// Whether a lease was revoked behind our back, or the file of a wrapping token has another.
    async fn look_at_made(&self, ask: &Ask) -> Result<bool, VaultError> {
        let (lease, stamp) = {
            let kept = self.kept.borrow();
            let Some(kept) = kept.get(ask) else {
                return Ok(false);
            };
            (kept.current().lease.clone(), kept.stamp)
        };
        if let (Some(stamp), Some(path)) = (stamp, &ask.token_file)
            && Stamp::of(path).is_ok_and(|found| found != stamp)
        {
            self.expire(ask);
            return Ok(true);
        }
        let Some(lease) = lease.filter(|lease| lease.can_be_looked_up()) else {
            return Ok(false);
        };
        let gone = lease.look_up(&self.access).await? == super::lease::Standing::Gone;
        if gone {
            self.expire(ask);
        }
        Ok(gone)
    }

    pub(super) fn expire(&self, ask: &Ask) {
        if let Some(kept) = self.kept.borrow_mut().get_mut(ask) {
            kept.expire();
        }
    }

    /// What the metadata of KV v2 say; `None` where there are none, or where they may not be read.
    pub(super) async fn standing(
        &self,
        ask: &Ask,
        sent: impl FnOnce(Call) -> Call,
    ) -> Result<Option<Standing>, VaultError> {
        let now = Boottime::now();
        let forbidden = |core: &Self| {
            let looked = core.looked.borrow();
            looked.get(ask).is_some_and(|look| !look.may_tell(now))
        };
        let Some(path) = path::metadata(&ask.path).filter(|_| !forbidden(self)) else {
            return Ok(None);
        };
        let answer = self.access.call(&sent(Call::get(path))).await?;
        match answer.status {
            // What are no metadata were somebody else's answer: the next one may be the server's.
            200 => {
                let found = answer::standing(&answer.body, ask.version, SystemTime::now());
                if let (Some(Standing::There(version)), Some(look)) =
                    (&found, self.looked.borrow_mut().get_mut(ask))
                {
                    look.sees(version);
                }
                Ok(found)
            }
            404 => Ok(Some(Standing::Gone)),
            _ => {
                if let Some(look) = self.looked.borrow_mut().get_mut(ask) {
                    look.hides(now + NOT_AGAIN);
                }
                Ok(None)
            }
        }
    }

    /// Whether a path is one of an engine that only stores.
    pub(super) async fn is_kv(&self, ask: &Ask) -> Result<bool, VaultError> {
        #[derive(Deserialize)]
        struct Mount<'a> {
            #[serde(borrow, rename = "type")]
            kind: Cow<'a, str>,
        }
        let path = ask.path.trim_matches('/');
        let call = Call::get(format!("sys/internal/ui/mounts/{path}"));
        let answer = self.access.call(&call).await?;
        if answer.status != 200 {
            // Not told: by its shape.
            return Ok(path::metadata(path).is_some());
        }
        let mount: Mount = answer::data(&answer.body)?;
        Ok(matches!(&*mount.kind, "kv" | "generic" | "cubbyhole"))
    }

    /// Something that is made when it is asked for: whether it may be asked for.
    pub(super) async fn on_demand(&self, ask: &Ask) -> Result<Version, VaultError> {
        let path = ask.path.trim_matches('/');
        let body = json(&Paths { paths: [path] })?;
        let call = Call::post("sys/capabilities-self").body(body);
        let answer = self.access.call(&call).await?;
        if answer.status != 200 {
            // The login may not ask what it may: the launch will tell.
            return Ok(made_on_demand());
        }
        let given: BTreeMap<String, serde_json::Value> = answer::data(&answer.body)?;
        let has = |name: &str| {
            let list = given.get(path).and_then(serde_json::Value::as_array);
            list.is_some_and(|list| list.iter().any(|one| one == name))
        };
        let call = ask.call();
        let may = has("root")
            || match call.method {
                reqwest::Method::GET => has("read"),
                _ => has("update") || has("create"),
            };
        if may {
            Ok(made_on_demand())
        } else {
            let namespace = self.access.server.namespace();
            Err(VaultError::Asked(refused(403, &call, namespace)))
        }
    }

    /// Whether a wrapping token can still be opened. Nothing is opened.
    pub(super) async fn wrapped(&self, ask: &Ask) -> Result<Version, VaultError> {
        let Some(path) = &ask.token_file else {
            return Ok(wrapped_version());
        };
        let server = &self.access.server;
        let token = credential::read(path, &server.trusted)?;
        wrapping::look_up(server, &token, path).await?;
        Ok(wrapped_version())
    }
}

/// For people: it is made when it is fetched.
fn made_on_demand() -> Version {
    Version("made on demand".to_owned())
}

/// What a fetch of something that is wrapped would find.
fn wrapped_version() -> Version {
    Version("wrapped".to_owned())
}
