//! At the end: stores take back what they gave.

use std::time::Duration;

use super::fetch::{Stores, sources};
use crate::model::{Event, Observer, Plan, StoreName, Topic, chain, format_duration};
use crate::stores::join;
use crate::supervisor::{Interrupted, Supervisor};

/// How long the end of hushpipe may wait for it.
const BOUND: Duration = Duration::from_secs(5);

/// Said of what could not be given back.
const LEFT: &str = "leases and logins are left to run out";

/// Revokes leases and logs out, all stores at once, within [`BOUND`]. A signal that asks hushpipe to
/// end ends the waiting. What could not be given back is said, and changes no exit code.
pub async fn close(stores: &Stores, supervisor: &mut Supervisor, observer: &dyn Observer) {
    close_some(stores, |_| true, supervisor, observer).await;
}

/// Before hushpipe becomes the program: nobody will be there to renew or to give back. A store whose
/// values do not end with its login is logged out of at once; of the others it is said.
pub async fn close_before_exec(
    plan: &Plan,
    stores: &Stores,
    supervisor: &mut Supervisor,
    observer: &dyn Observer,
) {
    let mut used: Vec<&StoreName> = Vec::new();
    for (source, names) in sources(plan) {
        let leases = stores[&source.store].leases();
        let Some(left) = leases.and_then(|leases| leases.good_for(source)) else {
            continue;
        };
        used.push(&source.store);
        for name in names {
            let whole = Duration::from_secs(left.as_secs());
            let left = format_duration(whole);
            observer.observe(&Event::Weaker {
                about: Topic::Lease,
                message: format!(
                    "secret {name} expires in {left}, and in exec mode hushpipe does not remain \
                     to renew or revoke it"
                ),
            });
        }
    }
    close_some(stores, |name| !used.contains(&name), supervisor, observer).await;
}

async fn close_some(
    stores: &Stores,
    wanted: impl Fn(&StoreName) -> bool,
    supervisor: &mut Supervisor,
    observer: &dyn Observer,
) {
    let wanted = stores
        .iter()
        .filter(|(name, store)| wanted(name) && store.leases().is_some());
    let closing: Vec<_> = wanted.map(|(_, store)| store.close()).collect();
    if closing.is_empty() {
        return;
    }
    let closing = join::all(closing);
    let closing = tokio::time::timeout(BOUND, closing);
    let message = match supervisor.during(closing).await {
        Ok(Ok(results)) => {
            for fault in results.into_iter().filter_map(Result::err) {
                let message = format!("{}; {LEFT}", chain(&fault));
                observer.observe(&Event::Fault {
                    about: Topic::Store,
                    message,
                });
            }
            return;
        }
        Ok(Err(_)) => format!("the stores did not take all back within 5s: {LEFT}"),
        Err(Interrupted::Signal(signal)) => format!("{signal} ended the wait for stores: {LEFT}"),
        Err(Interrupted::Fault(fault)) => format!("{}: {LEFT}", chain(&fault)),
    };
    observer.observe(&Event::Fault {
        about: Topic::Store,
        message,
    });
}
