//! Looking for new versions without reading values, where the server can tell.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::Core;
use super::access::Call;
use super::answer::{self, Numbered, Secret, Standing};
use super::ask::Ask;
use super::error::{Trouble, refused};
use super::fetch::{made_on_demand, wrapped_version};
use super::login::{self, Stamp, json};
use super::path;
use super::wrapping;
use crate::model::Version;
use crate::sys::clock::Boottime;

/// What is known of a request from its last answer.
pub(super) struct Look {
    pub kind: Kind,
    pub state: State,
    /// When there may be another one, by the server's word.
    pub hinted: Option<Boottime>,
    /// When it was fetched last.
    pub fetched: Boottime,
    /// Its metadata may not be read, and are not asked for before this.
    no_metadata: Option<Boottime>,
}

/// How long metadata that may not be read are not asked for: a policy may be mended, and to read the
/// value instead shows it needlessly.
const NOT_AGAIN: Duration = Duration::from_mins(10);

/// After the end of a time that the server named, to find what comes after it.
const AFTER: Duration = Duration::from_secs(1);

/// How changes are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// KV version 2: by its metadata.
    Versioned,
    /// By reading it again.
    Plain,
    /// It does not change: it is replaced.
    Made,
}

/// What was found last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    At(Version),
    /// A version of KV v2.
    Numbered(Numbered),
    /// It is gone, or may not be read.
    Faulty,
}

#[derive(Serialize)]
struct Paths<'a> {
    paths: [&'a str; 1],
}

impl Look {
    pub fn new(kind: Kind, state: State) -> Self {
        Self {
            kind,
            state,
            hinted: None,
            fetched: Boottime::now(),
            no_metadata: None,
        }
    }

    /// It was fetched again.
    pub fn found(&mut self, kind: Kind, state: State) {
        *self = Self {
            no_metadata: self.no_metadata,
            ..Self::new(kind, state)
        };
    }

    /// Its metadata may not be read now.
    const fn hides(&mut self, until: Boottime) {
        self.no_metadata = Some(until);
    }

    /// Whether its metadata may be asked for.
    fn may_tell(&self, now: Boottime) -> bool {
        self.no_metadata.is_none_or(|until| until <= now)
    }

    /// The server said at its answer that what it gave is good for so long.
    pub fn hint(&mut self, ttl: Option<Duration>) {
        let hinted = ttl.map(|ttl| Boottime::now() + ttl + AFTER);
        self.hinted = hinted.filter(|_| self.kind == Kind::Plain);
    }
}

impl Core {
    /// Whether a request has another state than at its last answer.
    pub(super) async fn look(&self, ask: &Ask) -> Result<bool, Trouble> {
        let known = |core: &Self| {
            let looked = core.looked.borrow();
            looked.get(ask).map(|look| (look.kind, look.state.clone()))
        };
        let Some((kind, _)) = known(self) else {
            return Ok(false);
        };
        let state = match kind {
            Kind::Made => return self.look_at_made(ask).await,
            Kind::Versioned => match self.standing(ask, Call::brief).await? {
                Some(Standing::There(version)) => State::Numbered(version),
                Some(Standing::Gone) => State::Faulty,
                None => self.look_at_data(ask).await?,
            },
            Kind::Plain => self.look_at_data(ask).await?,
        };
        // A fetch may have come between.
        Ok(known(self).is_some_and(|(_, known)| known != state))
    }

    fn state_of(&self, secret: Secret) -> State {
        match secret.version {
            Some(version) => State::Numbered(version),
            None => State::At(self.version_of(secret)),
        }
    }

    /// By reading it; the value goes at once.
    async fn look_at_data(&self, ask: &Ask) -> Result<State, Trouble> {
        match self.read_by(ask, ask.call().brief()).await {
            Ok(read) => {
                if let Some(look) = self.looked.borrow_mut().get_mut(ask) {
                    look.hint(read.secret.ttl);
                }
                Ok(self.state_of(read.secret))
            }
            Err(trouble) if trouble.is_outage() => Err(trouble),
            Err(_) => {
                // The time that the server named has come: it is no reason to look again at once.
                if let Some(look) = self.looked.borrow_mut().get_mut(ask) {
                    look.hinted = None;
                }
                Ok(State::Faulty)
            }
        }
    }

    /// Whether a lease was revoked behind our back, or the file of a wrapping token has another.
    async fn look_at_made(&self, ask: &Ask) -> Result<bool, Trouble> {
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
    ) -> Result<Option<Standing>, Trouble> {
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
                let now = SystemTime::now();
                Ok(answer::standing(&answer.body, ask.version, now))
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
    pub(super) async fn is_kv(&self, ask: &Ask) -> Result<bool, Trouble> {
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
    pub(super) async fn on_demand(&self, ask: &Ask) -> Result<Version, Trouble> {
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
            let namespace = self.access.spec.namespace.as_deref();
            Err(Trouble::Asked(refused(403, &call, namespace)))
        }
    }

    /// Whether a wrapping token can still be opened. Nothing is opened.
    pub(super) async fn wrapped(&self, ask: &Ask) -> Result<Version, Trouble> {
        let Some(path) = &ask.token_file else {
            return Ok(wrapped_version());
        };
        wrapping::look_up(
            &self.access,
            &login::read(path, &self.access.trusted)?,
            path,
        )
        .await?;
        Ok(wrapped_version())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_that_may_not_be_read_are_asked_for_again_after_a_while() {
        let now = Boottime::now();
        let mut look = Look::new(Kind::Versioned, State::Faulty);
        assert!(look.may_tell(now));
        look.hides(now + NOT_AGAIN);
        // Values that are read meanwhile say nothing of it.
        look.found(Kind::Versioned, State::Faulty);
        assert!(!look.may_tell(now) && !look.may_tell(now + NOT_AGAIN / 2));
        assert!(look.may_tell(now + NOT_AGAIN));
    }
}
