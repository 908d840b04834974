//! Removing requests that expired long ago, with their signatures and the record of their uses.
//!
//! The directory of requests is sticky, so each user removes their own files, and root those of all.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use super::error::ApprovalsError;
use super::ledger::Ledger;
use super::place::{self, Entry, Place};
use super::{Approvals, now};
use crate::approval::{Request, RequestId};
use crate::model::{Event, Observer, Topic, chain};
use crate::sys::filesystem::effective_uid;

/// For so long an expired request is kept where nobody says otherwise, so that it can be looked at.
pub const KEPT: Duration = Duration::from_hours(30 * 24);

/// So many files are looked at before a request is written.
const FEW: usize = 4_096;
/// So many by the command, which is what helps where somebody made too many.
const MANY: usize = 4 << 20;
/// A file without a request is left alone for so long: its request may come yet.
const LONE: Duration = Duration::from_hours(24);

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Requests that have expired.
    pub requests: usize,
    /// Signatures whose request is gone, and files that a crash left.
    pub files: usize,
    /// What only root, or its owner, may remove.
    pub of_others: usize,
}

impl Approvals {
    /// Removes requests that expired longer ago than this, and what is left of such.
    pub fn prune(&self, older: Duration) -> Result<Pruned, ApprovalsError> {
        self.prune_among(older, MANY)
    }

    /// As [`Approvals::prune`], before a request is written. That it fails is no reason not to write one.
    pub(super) fn tidy(&self, observer: &dyn Observer) {
        if let Err(error) = self.prune_among(KEPT, FEW) {
            observer.observe(&Event::Fault {
                about: Topic::Approvals,
                message: format!("expired requests were not removed: {}", chain(&error)),
            });
        }
    }

    fn prune_among(&self, older: Duration, most: usize) -> Result<Pruned, ApprovalsError> {
        let Some(place) = Place::open(&self.spec.directory)? else {
            return Ok(Pruned::default());
        };
        let entries = entries(&place, most)?;
        let mut pruned = Pruned::default();
        let mut gone = BTreeSet::new();
        let mut own = Vec::new();
        for id in requests(&entries) {
            let Some(request) = expired(&place, &id, older)? else {
                continue;
            };
            if remove(&place, &format!("{id}.json"), &mut pruned.of_others)? {
                pruned.requests += 1;
                own.push(request);
                gone.insert(id);
            }
        }
        let there: BTreeSet<RequestId> =
            requests(&entries).filter(|id| !gone.contains(id)).collect();
        // Where not all was looked at, a request may be among the rest.
        let is_whole = entries.len() < most;
        for (name, entry) in &entries {
            let is_left = match entry {
                Entry::Request(_) => false,
                Entry::Signature(id) if gone.contains(id) => true,
                Entry::Signature(id) => is_whole && !there.contains(id) && is_lone(&place, name)?,
                Entry::New => is_lone(&place, name)?,
            };
            if is_left && remove(&place, name, &mut pruned.of_others)? {
                pruned.files += 1;
            }
        }
        self.forget(&own)?;
        Ok(pruned)
    }

    /// Removes the record of their uses, as far as it is this user's.
    fn forget(&self, gone: &[Request]) -> Result<(), ApprovalsError> {
        match Ledger::open(&self.spec.directory)? {
            Some(ledger) => ledger.lock()?.prune(gone),
            None => Ok(()),
        }
    }
}

/// What is there, by name; what is no file of hushpipe's is passed over.
fn entries(place: &Place, most: usize) -> Result<Vec<(String, Entry)>, ApprovalsError> {
    let mut found = Vec::new();
    place.visit(|name| {
        if let Some(entry) = place::entry(name) {
            found.push((name.to_owned(), entry));
        }
        if found.len() < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(found)
}

fn requests(entries: &[(String, Entry)]) -> impl Iterator<Item = RequestId> {
    entries.iter().filter_map(|(_, entry)| match entry {
        Entry::Request(id) => Some(id.clone()),
        Entry::Signature(_) | Entry::New => None,
    })
}

/// The request, if its time has been over for so long.
fn expired(
    place: &Place,
    id: &RequestId,
    older: Duration,
) -> Result<Option<Request>, ApprovalsError> {
    let stored = place.read(id, &[])?;
    let request = stored.and_then(|stored| stored.request.ok());
    Ok(request.filter(|request| request.expires.after(older) <= now()))
}

/// Whether a file that belongs to nothing has been there for a while.
fn is_lone(place: &Place, name: &str) -> Result<bool, ApprovalsError> {
    let Some(status) = place.status(name)? else {
        return Ok(false);
    };
    let age = SystemTime::now().duration_since(status.modified_at());
    Ok(age.is_ok_and(|age| age > LONE))
}

/// Whether it is gone now by this; what others have to remove is counted.
fn remove(place: &Place, name: &str, of_others: &mut usize) -> Result<bool, ApprovalsError> {
    let Some(status) = place.status(name)? else {
        return Ok(false);
    };
    let user = effective_uid();
    if user != 0 && status.uid != user {
        *of_others += 1;
        return Ok(false);
    }
    match place.remove(name) {
        Ok(()) => Ok(true),
        // Root without the capability, or a directory of the name.
        Err(ApprovalsError::System { source, .. })
            if matches!(
                source.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory
            ) =>
        {
            *of_others += 1;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::approval::tests::check::launch;
    use crate::approval::{Moment, Terms};
    use crate::model::ApprovalSpec;

    /// A request that expired so many days ago, with a signature beside it.
    fn write(place: &Place, nonce: u8, days: u64) -> Request {
        let before = Moment::from_unix(now().unix() - days * 24 * 60 * 60);
        let request = Request::new(
            &launch(),
            Terms {
                id: RequestId::new([nonce; 16]),
                by: "carol".to_owned(),
                created: Moment::from_unix(before.unix() - 60),
                expires: before,
                uses: 1,
                wanted: BTreeSet::new(),
            },
        );
        place.write(&request).unwrap();
        fs::write(path(place, &format!("{}.json.a.sig", request.id)), "x").unwrap();
        request
    }

    fn path(place: &Place, name: &str) -> PathBuf {
        place.path.join("requests").join(name)
    }

    fn approvals(directory: &Path) -> Approvals {
        Approvals::new(&ApprovalSpec {
            signers: directory.join("signers"),
            directory: directory.to_owned(),
            wait: Duration::ZERO,
        })
    }

    #[test]
    fn what_expired_long_ago_goes_with_its_signatures_and_stays_ended() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::make(directory.path()).unwrap();
        let (old, recent) = (write(&place, 1, 31), write(&place, 2, 29));
        let ledger = Ledger::make(directory.path()).unwrap();
        ledger.lock().unwrap().spend(&old.id, old.created).unwrap();
        fs::write(path(&place, "something else"), "").unwrap();
        let approvals = approvals(directory.path());
        let pruned = approvals.prune(KEPT).unwrap();
        assert_eq!((pruned.requests, pruned.files, pruned.of_others), (1, 1, 0));
        let mut left: Vec<String> = fs::read_dir(path(&place, ""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let names = [
            format!("{}.json", recent.id),
            format!("{}.json.a.sig", recent.id),
            "something else".to_owned(),
        ];
        assert_eq!(left, names);
        // The file of its uses is gone, and it has ended all the same, whatever the clock says.
        assert_eq!(ledger.uses(&old.id).unwrap().uses, 0);
        assert!(ledger.read(&old).unwrap().ended);
        assert!(!ledger.read(&recent).unwrap().ended);
        assert_eq!(approvals.prune(KEPT).unwrap(), Pruned::default());
        assert_eq!(approvals.prune(Duration::ZERO).unwrap().requests, 1);
    }

    #[test]
    fn what_belongs_to_no_request_goes_once_it_is_a_day_old() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::make(directory.path()).unwrap();
        let signature = format!("{}.json.sig", "1".repeat(32));
        let before = SystemTime::now() - Duration::from_hours(25);
        for name in [&*signature, ".new-0123", "README"] {
            let file = fs::File::create(path(&place, name)).unwrap();
            file.set_modified(before).unwrap();
        }
        fs::write(path(&place, ".new-4567"), "").unwrap();
        fs::write(path(&place, &format!("{}.json.sig", "2".repeat(32))), "").unwrap();
        let pruned = approvals(directory.path()).prune(KEPT).unwrap();
        assert_eq!((pruned.requests, pruned.files), (0, 2));
        assert_eq!(fs::read_dir(path(&place, "")).unwrap().count(), 3);
    }
}
