//! What commands show of requests, and how they add approvals.

use std::path::{Path, PathBuf};

use super::error::ApprovalsError;
use super::ledger::Ledger;
use super::need::name_of;
use super::place::{Place, Stored, short};
use super::signing::{SigningError, sign};
use super::{Approvals, now, signers, summary};
use crate::app::files;
use crate::approval::{
    Approver, Case, CheckError, MAX_REQUEST, Members, NAMESPACE, Request, RequestError, RequestId,
    SignerError, Signers, Spent, Wanted, check,
};
use crate::model::Exit;
use crate::sys::filesystem::effective_uid;

/// A request, as commands show it.
pub struct Shown {
    /// Its name.
    pub id: RequestId,
    /// The user who made its file.
    pub owner: String,
    /// What it says.
    pub request: Result<Request, RequestError>,
    /// Who approved, of those whom the request's policies accept.
    pub approvers: Vec<Approver>,
    /// What is missing, and signatures that do not count.
    pub errors: Vec<CheckError>,
    /// How many launches used it, as far as this user may know.
    pub uses: Option<u32>,
}

/// Why an approval was not added.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// Of the site's place.
    #[error(transparent)]
    Approvals(#[from] ApprovalsError),
    /// It is no request.
    #[error("{}: {why}", crate::model::printable::printable(name))]
    Request {
        /// Which.
        name: String,
        /// Why.
        why: RequestError,
    },
    /// No signature was made.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The key is not one whose approvals count here.
    #[error("the key is not accepted here, and nothing was written: {signers}: {why}", signers = signers.display())]
    Signer {
        /// The file of signers.
        signers: PathBuf,
        /// Why.
        why: SignerError,
    },
}

impl ApproveError {
    /// hushpipe's exit code for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Approvals(error) => error.exit(),
            Self::Request { .. } => Exit::Value,
            Self::Signing(error) => error.exit(),
            Self::Signer { .. } => Exit::Denied,
        }
    }
}

impl Approvals {
    /// All requests, the newest first.
    pub fn all(&self, members: &dyn Members) -> Result<Vec<Shown>, ApprovalsError> {
        let Some(place) = Place::open(&self.spec.directory)? else {
            return Ok(Vec::new());
        };
        let signers = signers::read(&self.spec.signers)?;
        let mut all = Vec::new();
        for (id, names) in place.list()? {
            if let Some(stored) = place.read(&id, &names)? {
                all.push(self.shown(stored, &signers, members));
            }
        }
        let created = |shown: &Shown| shown.request.as_ref().ok().map(|request| request.created);
        all.sort_by_key(|shown| std::cmp::Reverse(created(shown)));
        Ok(all)
    }

    /// One request.
    pub fn one(&self, id: &str, members: &dyn Members) -> Result<Shown, ApprovalsError> {
        let signers = signers::read(&self.spec.signers)?;
        Ok(self.shown(self.stored(id)?.1, &signers, members))
    }

    fn stored(&self, id: &str) -> Result<(Place, Stored), ApprovalsError> {
        let unknown = || ApprovalsError::Unknown {
            id: id.to_owned(),
            path: self.spec.directory.clone(),
        };
        let place = Place::open(&self.spec.directory)?.ok_or_else(unknown)?;
        let whole = RequestId::parse(id);
        let whole = whole
            .or_else(|| of_prefix(&place, id))
            .ok_or_else(unknown)?;
        let stored = place.find(&whole)?.ok_or_else(unknown)?;
        Ok((place, stored))
    }

    fn shown(&self, stored: Stored, signers: &Signers, members: &dyn Members) -> Shown {
        // Others' records are theirs to read.
        let ledger = Ledger::open(&self.spec.directory).ok();
        let spent = match (ledger, &stored.request) {
            (Some(Some(ledger)), Ok(request)) => ledger.read(request).ok(),
            (Some(None), _) => Some(Spent::default()),
            _ => None,
        };
        let spent = spent.filter(|_| stored.owner == effective_uid());
        let (approvers, errors) = match &stored.request {
            Ok(request) => {
                let spent = spent.unwrap_or_default();
                judged(&stored, request, (signers, members), spent)
            }
            Err(_) => (Vec::new(), Vec::new()),
        };
        Shown {
            id: stored.id,
            owner: name_of(stored.owner),
            request: stored.request,
            approvers,
            errors,
            uses: spent.map(|spent| spent.uses),
        }
    }

    /// Reads the request that is to be approved: what is shown to the user is what is signed.
    pub fn to_approve(&self, id: &str) -> Result<Approving, ApproveError> {
        let (_, stored) = self.stored(id)?;
        let request = stored.request.map_err(|why| ApproveError::Request {
            name: id.to_owned(),
            why,
        })?;
        Ok(Approving {
            request,
            bytes: stored.bytes,
            owner: Some(name_of(stored.owner)),
            beside: None,
        })
    }

    /// Signs it, if the key is one that this site accepts, and puts the signature beside it.
    pub fn approve(
        &self,
        approving: &Approving,
        key: Option<&Path>,
    ) -> Result<PathBuf, ApproveError> {
        let signers = signers::read(&self.spec.signers)?;
        let (signature, key) = sign(&approving.bytes, NAMESPACE, key)?;
        if let Err(why) = signers.find(&key, NAMESPACE, now()) {
            let signers = self.spec.signers.clone();
            return Err(ApproveError::Signer { signers, why });
        }
        let (place, _) = self.stored(approving.request.id.as_str())?;
        let user = name_of(effective_uid());
        Ok(place.sign(&approving.request.id, (&user, &key), &signature)?)
    }
}

/// The one request whose id starts so.
fn of_prefix(place: &Place, prefix: &str) -> Option<RequestId> {
    let listing = place.list().ok()?;
    let mut found = listing
        .into_keys()
        .filter(|id| id.as_str().starts_with(prefix));
    let one = found.next().filter(|_| prefix.len() >= 4)?;
    found.next().is_none().then_some(one)
}

/// Judged as what it says it is for, and as its file's owner launches it: whether it is so, a launch finds
/// out.
fn judged(
    stored: &Stored,
    request: &Request,
    (signers, members): (&Signers, &dyn Members),
    spent: Spent,
) -> (Vec<Approver>, Vec<CheckError>) {
    let wanted: Vec<Wanted> = request.policies.wanted.iter().cloned().collect();
    let checked = check(&Case {
        request,
        bytes: &stored.bytes,
        signatures: &stored.signatures,
        signers,
        wanted: &wanted,
        launch: &request.launch(),
        requesters: &[name_of(stored.owner)],
        spent,
        members,
        now: now(),
    });
    match checked {
        Ok(approved) => (approved.approvers, summary(approved.ignored, stored.unread)),
        Err(not) => (not.approvers, summary(not.errors, stored.unread)),
    }
}

/// A request that is to be signed.
pub struct Approving {
    /// What it says.
    pub request: Request,
    /// The user who made its file, where it lies in the site's directory.
    pub owner: Option<String>,
    bytes: Vec<u8>,
    beside: Option<PathBuf>,
}

impl Approving {
    /// Of a file anywhere: it was copied here to be signed.
    pub fn of_file(path: &Path) -> Result<Self, ApproveError> {
        let bytes = files::read_at_most(path, MAX_REQUEST as u64);
        let bytes = bytes.map_err(|source| ApprovalsError::System {
            doing: "read",
            path: path.to_owned(),
            source,
        })?;
        let request = Request::parse(&bytes).map_err(|why| ApproveError::Request {
            name: path.display().to_string(),
            why,
        })?;
        Ok(Self {
            request,
            owner: None,
            bytes,
            beside: Some(path.to_owned()),
        })
    }

    /// Signs it, and puts `FILE.NAME-KEY.sig` beside it. Whether the key counts, its site knows.
    pub fn sign_beside(&self, key: Option<&Path>) -> Result<PathBuf, ApproveError> {
        let (signature, key) = sign(&self.bytes, NAMESPACE, key)?;
        let mut path = self.beside.clone().unwrap_or_default().into_os_string();
        path.push(format!(".{}-{}.sig", name_of(effective_uid()), short(&key)));
        let path = PathBuf::from(path);
        let text = String::from_utf8_lossy(&signature);
        files::replace(&path, &text, 0o644).map_err(|source| ApprovalsError::System {
            doing: "write",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }
}
