//! The room as a whole: OpenSSH's vectors, `ssh-keygen` both ways, files of signers, and every reason
//! why a request is not approved.

pub(crate) mod check;
mod keygen;
mod made;
mod requests;
mod signers;
mod vectors;
