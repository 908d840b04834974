//! Signatures, keys, certificates and files of signers, as anybody may write them.

use crate::approval::{Certificate, Moment, PublicKey, Signature, Signers};

/// Bytes are read as each of them, and refused or not: a signature of the fuzzer's is nobody's here.
pub fn signature(data: &[u8]) {
    let now = Moment::from_unix(1_795_867_200);
    let signers = Signers::parse(data, &|_| Some(1));
    if let Ok(signature) = Signature::parse(data)
        && let Ok(key) = signature.verify(b"message", "approval@hushpipe")
        && let Ok(signers) = &signers
    {
        assert!(signers.find(key, "approval@hushpipe", now).is_err());
    }
    if let Ok(key) = PublicKey::parse(data) {
        assert!(key.fingerprint().starts_with("SHA256:"));
        assert!(key.verify(data, data).is_err());
    }
    if let Ok(certificate) = Certificate::parse(data) {
        assert!(!certificate.principals.is_empty());
    }
    if let Err(errors) = signers {
        assert!(!errors.is_empty() && errors.iter().all(|error| error.line > 0));
    }
}
