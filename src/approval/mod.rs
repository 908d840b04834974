//! Approvals: requests, OpenSSH's signatures of them, and who may sign. The room is pure: bytes, a clock's
//! time and a time zone go in, judgements come out; files, waiting and processes are `app`'s.
//!
//! The signatures are those of `ssh-keygen -Y` (PROTOCOL.sshsig), by keys that an allowed_signers file
//! names (ssh-keygen(1)), so that anybody can check an approval with what is on every host.

mod certificate;
mod check;
mod error;
mod key;
mod moment;
mod pattern;
mod request;
mod signers;
mod sshsig;
#[cfg(test)]
pub(crate) mod tests;
mod wire;

pub use certificate::Certificate;
pub use check::{
    ApprovalError, Approved, Approver, Case, CheckError, Members, NAMESPACE, NotApproved,
    SignatureFile, Spent, check, differences, terms,
};
pub use error::{CertificateError, SignatureError};
pub use key::PublicKey;
pub use moment::{Civil, Moment, Zone};
pub use pattern::PatternList;
pub use request::{
    Action, Asked, Launch, MAX_REQUEST, MAX_USES, Manifest, Policies, Program, Request,
    RequestError, RequestId, Terms, Variables, Wanted, shown_arguments,
};
pub use signers::{MAX_SIGNERS, Signer, SignerError, Signers, SignersError};
pub use sshsig::{MAX_SIGNATURE, Signature, SigningKey};
