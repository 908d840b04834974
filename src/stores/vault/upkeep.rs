//! The work that a watch does while the program runs.

use std::rc::Rc;

use super::ask::Ask;
use super::core::Core;
use super::error::VaultError;
use super::lease::Lease;
use super::look::Looking;
use crate::model::{Event, Topic};
use crate::stores::poll::Done;

impl Core {
    fn lease(&self, id: &str) -> Option<Rc<Lease>> {
        let kept = self.kept.borrow();
        let all = kept
            .values()
            .flat_map(|kept| kept.alive().chain(kept.unused()));
        all.into_iter().find(|lease| lease.id == id).cloned()
    }

    fn down(&self, error: VaultError, asked: &str) -> Done {
        Done::Down(error.named(&self.access.server.store, asked))
    }

    /// What the program has ends, and it is not to get, or cannot get, another one.
    pub(super) fn tell_end(&self, ask: &Ask) {
        let message = format!(
            "store {}, {}: the program's value expires soon and cannot be replaced: `refresh` is \
             never, or its wrapping token is used up",
            self.access.server.store, ask.path
        );
        self.access.server.observer.observe(&Event::Weaker {
            about: Topic::Lease,
            message,
        });
    }

    /// Changes are reported of the sources in these places.
    pub(super) async fn look_again(&self, ask: &Ask, how: Looking, places: Vec<usize>) -> Done {
        match self.look(ask, how).await {
            Ok(true) => Done::Changed(places),
            Ok(false) => Done::Well,
            Err(error) => Done::Down(self.named(error, ask)),
        }
    }

    pub(super) async fn keep_login(&self) -> Done {
        let Some(token) = self.access.known() else {
            return Done::Well;
        };
        match self.access.keep_login(&token).await {
            Ok(()) => Done::Well,
            Err(error) => self.down(error, "auth/token/renew-self"),
        }
    }

    pub(super) async fn renew(&self, id: &str) -> Done {
        let Some(lease) = self.lease(id) else {
            return Done::Well;
        };
        match lease.renew(&self.access).await {
            Ok(()) => Done::Well,
            Err(error) => self.down(error, &lease.asked),
        }
    }

    /// Best effort: what cannot be given back runs out.
    pub(super) async fn give_back_unused(&self, id: &str) -> Done {
        let Some(lease) = self.lease(id) else {
            return Done::Well;
        };
        match lease.revoke(&self.access).await {
            Err(error) if error.is_outage() => return self.down(error, &lease.asked),
            Err(error) => {
                let fault = error.named(&self.access.server.store, &lease.asked);
                self.access.server.observer.observe(&Event::Fault {
                    about: Topic::Lease,
                    message: format!("a lease that is not used is left to run out: {fault}"),
                });
            }
            Ok(()) => {}
        }
        for kept in self.kept.borrow_mut().values_mut() {
            kept.settle(id);
        }
        Done::Well
    }
}
