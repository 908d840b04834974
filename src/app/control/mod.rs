//! Running launchers: being one that can be asked, and asking one.

mod desk;
mod fault;
mod find;
#[cfg(feature = "monitor")]
mod metrics;
mod survey;

use std::time::Duration;

use super::event_loop::runtime;
use crate::model::control::{Asked, Reply, Request};
use crate::sys::filesystem;
use crate::sys::users::Database;
use crate::telemetry::control::{AskError, LONGEST_REPLY, Limits};

pub(super) use desk::{Judge, first_status, open, serve};
pub use fault::ControlError;
pub use find::Target;
use find::runtime_directory;
#[cfg(feature = "monitor")]
pub use metrics::{metrics, write as write_metrics};
pub use survey::Seen;
use survey::{MOST, put, survey};

/// How long a launcher may take that is only asked on the way to the one that is meant.
const GLANCE: Duration = Duration::from_secs(2);
/// All launchers that this user may ask.
#[derive(Debug)]
pub struct Listing {
    /// The user's own first. One that ended meanwhile is left out; one that does not answer in time is
    /// not.
    pub seen: Vec<Seen>,
    /// Users of whom not all sockets were asked, as they have too many.
    pub crowded: Vec<u32>,
}

/// Every launcher that this user may ask.
pub fn list(patience: Duration) -> Result<Listing, ControlError> {
    let mut found = find::of_everybody()?;
    let me = filesystem::effective_uid();
    let left_out = found.launchers.split_off(found.launchers.len().min(MOST));
    let left_out = left_out.iter().map(|launcher| launcher.owner);
    let mut crowded: Vec<u32> = found.crowded.into_iter().chain(left_out).collect();
    crowded.sort_unstable();
    crowded.dedup();
    let seen = in_loop(survey(found.launchers, patience))?;
    let mut seen: Vec<Seen> = seen.into_iter().map(|(_, seen)| seen).collect();
    seen.sort_by_key(|seen| (seen.uid != me, seen.uid, seen.pid));
    name_users(&mut seen);
    Ok(Listing { seen, crowded })
}

/// Adds the names of users; `seen` is sorted by them.
fn name_users(seen: &mut [Seen]) {
    let database = Database::host();
    for of_one in seen.chunk_by_mut(|one, next| one.uid == next.uid) {
        let name = of_one
            .first()
            .and_then(|seen| database.local_name(seen.uid));
        for seen in of_one {
            seen.user.clone_from(&name);
        }
    }
}

/// Asks the launcher that is meant. What it refuses is an error.
pub fn request(target: &Target, asked: Asked, patience: Duration) -> Result<Reply, ControlError> {
    let is_status = asked.request == Request::Status;
    in_loop(async {
        let launcher = find::find(target, patience.min(GLANCE)).await?;
        let limits = Limits {
            patience,
            reply: LONGEST_REPLY,
        };
        match put(&launcher, asked, limits).await {
            Err(ControlError::Asking {
                fault: AskError::Silent(patience),
                ..
            }) if !is_status => Err(ControlError::NotYet { patience }),
            other => other,
        }
    })?
}

fn in_loop<T>(work: impl Future<Output = T>) -> Result<T, ControlError> {
    let runtime = runtime().map_err(ControlError::System)?;
    Ok(runtime.block_on(work))
}
