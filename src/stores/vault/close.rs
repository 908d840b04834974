//! Giving back what was got.

use std::rc::Rc;

use serde::Serialize;

use super::ask::Ask;
use super::call::Call;
use super::core::Core;
use super::credential::json;
use super::error::{VaultError, denied, refused};
use super::lease::Lease;
use super::path;
use super::token::Token;
use crate::model::Event;
use crate::stores::{StoreError, join};
use crate::sys::clock::Boottime;

#[derive(Serialize)]
struct Serial<'a> {
    serial_number: &'a str,
}

impl Core {
    /// Revokes leases and hushpipe's own logins, also one that is under way. The leases of a login go
    /// with it.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        if !self.access.server.spec.revoke_on_exit {
            return Ok(());
        }
        let requests = self.take_requests();
        let withdrawing = requests
            .iter()
            .map(|request| self.forget_at_server(request));
        join::all(withdrawing).await;
        let login = self.access.end_login().await;
        let login = login.map_err(|error| error.named(&self.access.server.store, "the login"));
        let now = Boottime::now();
        let leases: Vec<Rc<Lease>> = self
            .kept
            .borrow()
            .values()
            .flat_map(|kept| kept.leases(now))
            .collect();
        if self.access.tokens().is_empty() && leases.is_empty() {
            return login;
        }
        let result = self.give_back(&leases).await;
        self.kept.borrow_mut().clear();
        self.access.forget();
        login.and(result)
    }

    async fn give_back(&self, leases: &[Rc<Lease>]) -> Result<(), StoreError> {
        let store = &self.access.server.store;
        let _session = self
            .access
            .server
            .session()
            .map_err(|error| error.named(store, ""))?;
        let by_itself: Vec<&Rc<Lease>> = leases
            .iter()
            .filter(|lease| !lease.goes_with_login())
            .collect();
        let with_login = leases.len() - by_itself.len();
        let revoking = by_itself.iter().map(|lease| async {
            let revoked = lease.revoke(&self.access).await;
            revoked.map_err(|error| error.named(store, &lease.asked))
        });
        let revoked = join::all(revoking).await;
        // Now, as one may have been needed for that.
        let tokens = self.access.tokens();
        let ended = join::all(tokens.iter().map(|token| self.end(token))).await;
        let mut faults = Vec::new();
        let good = |result: Result<(), StoreError>, faults: &mut Vec<StoreError>| {
            result.map_err(|fault| faults.push(fault)).is_ok()
        };
        let leases = revoked
            .into_iter()
            .filter_map(|result| good(result, &mut faults).then_some(()))
            .count();
        let logins = ended
            .into_iter()
            .filter_map(|result| good(result, &mut faults).then_some(()))
            .count();
        let all_out = logins == tokens.len();
        self.access.server.observer.observe(&Event::Revoked {
            store: store.clone(),
            leases: leases + if all_out { with_login } else { 0 },
            token: logins > 0,
        });
        faults.into_iter().next().map_or(Ok(()), Err)
    }

    /// Logs out. A login that is gone already is out.
    async fn end(&self, token: &Token) -> Result<(), StoreError> {
        let call = Call::post("auth/token/revoke-self");
        let named = |error: VaultError| error.named(&self.access.server.store, &call.path);
        let answer = self.access.send(&call, token).await.map_err(named)?;
        match answer.status {
            200..=299 | 403 => Ok(()),
            status => {
                let namespace = self.access.server.namespace();
                Err(named(VaultError::Asked(refused(status, &call, namespace))))
            }
        }
    }

    /// Revokes all that was given for a request, at once.
    pub(super) async fn revoke(&self, ask: &Ask) -> Result<(), VaultError> {
        let now = Boottime::now();
        let (leases, serial) = {
            let kept = self.kept.borrow();
            let Some(kept) = kept.get(ask) else {
                return Err(VaultError::Asked(denied(
                    "it has no lease to revoke: write a new value, and rotate",
                )));
            };
            (kept.leases(now), kept.current().field("serial_number"))
        };
        let revoked = join::all(leases.iter().map(|lease| lease.revoke(&self.access))).await;
        let count = revoked.iter().filter(|result| result.is_ok()).count();
        if count > 0 {
            self.was_revoked(ask, count);
        }
        revoked.into_iter().collect::<Result<(), VaultError>>()?;
        let serial = serial
            .as_ref()
            .and_then(|serial| std::str::from_utf8(serial.expose()).ok());
        let certificate = path::revocation(&ask.path).zip(serial);
        if leases.is_empty() && certificate.is_none() {
            return Err(VaultError::Asked(denied(
                "it has no lease to revoke: `rotate` gets a new one",
            )));
        }
        if let (true, Some((path, serial_number))) = (leases.is_empty(), certificate) {
            let call = Call::post(path).body(json(&Serial { serial_number })?);
            let answer = self.access.call(&call).await?;
            if !(200..300).contains(&answer.status) {
                let namespace = self.access.server.namespace();
                return Err(VaultError::Asked(refused(answer.status, &call, namespace)));
            }
            if let Some(kept) = self.kept.borrow_mut().get_mut(ask) {
                kept.was_revoked();
            }
            self.was_revoked(ask, 1);
        }
        Ok(())
    }

    /// Something of it is of no more use: the program is to have another one, also where not all of
    /// it could be revoked.
    fn was_revoked(&self, ask: &Ask, leases: usize) {
        self.access.server.observer.observe(&Event::Revoked {
            store: self.access.server.store.clone(),
            leases,
            token: false,
        });
        self.expire(ask);
        self.wake.notify_one();
    }
}
