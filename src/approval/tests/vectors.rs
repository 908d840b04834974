//! tests/vectors/sshsig: what OpenSSH's own tests verify.

use std::fs;

use super::made::{Certified, Key, armoured};
use crate::approval::wire::{WireError, put_string};
use crate::approval::{CertificateError, PublicKey, Signature, SignatureError};

fn vector(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/vectors/sshsig/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read(path).unwrap()
}

fn verify(name: &str) -> Result<String, SignatureError> {
    let signature = Signature::parse(&vector(&format!("{name}.sig")))?;
    let key = signature.verify(&vector("signed-data"), "unittest")?;
    Ok(key.key().algorithm().to_owned())
}

#[test]
fn opensshs_own_signatures_verify() {
    for (name, algorithm) in [
        ("ed25519", "ssh-ed25519"),
        ("ecdsa", "ecdsa-sha2-nistp256"),
        ("rsa", "ssh-rsa"),
        ("ed25519_sk", "sk-ssh-ed25519@openssh.com"),
        ("ecdsa_sk", "sk-ecdsa-sha2-nistp256@openssh.com"),
    ] {
        assert_eq!(verify(name).as_deref(), Ok(algorithm), "{name}");
    }
}

#[test]
fn what_is_unknown_is_refused_by_name() {
    let error = verify("mldsa44-ed25519").unwrap_err().to_string();
    assert!(
        error.contains("unknown algorithm") && error.contains("mldsa44"),
        "{error}"
    );
    let error = verify("ecdsa_sk_webauthn").unwrap_err().to_string();
    assert!(error.contains("webauthn-sk-ecdsa"), "{error}");
}

#[test]
fn no_other_bytes_and_no_other_namespace_verify() {
    let signature = Signature::parse(&vector("ed25519.sig")).unwrap();
    let mut data = vector("signed-data");
    data[3] ^= 1;
    assert_eq!(
        signature.verify(&data, "unittest"),
        Err(SignatureError::Invalid)
    );
    let error = signature.verify(&vector("signed-data"), "approval@hushpipe");
    assert!(matches!(error, Err(SignatureError::Namespace { .. })));
}

/// No signature is another one by a changed bit: it is refused, or it is the same signature.
#[test]
fn no_changed_bit_of_a_signature_verifies() {
    let key = Key::new(1);
    let file = key.sign("n", b"message");
    let blob = blob_of(&file);
    for at in 0..blob.len() * 8 {
        let mut changed = blob.clone();
        changed[at / 8] ^= 1 << (at % 8);
        let verified = Signature::parse(&armoured(&changed))
            .and_then(|signature| signature.verify(b"message", "n").map(|_| ()));
        assert!(verified.is_err(), "bit {at}");
    }
    for length in 0..blob.len() {
        assert!(
            Signature::parse(&armoured(&blob[..length])).is_err(),
            "{length}"
        );
    }
    let mut longer = blob;
    longer.push(0);
    let error = Signature::parse(&armoured(&longer)).unwrap_err();
    assert_eq!(error, SignatureError::Wire(WireError::Trailing));
}

fn blob_of(file: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let text = std::str::from_utf8(file).unwrap();
    let lines: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD
        .decode(lines)
        .unwrap()
}

#[test]
fn the_armour_is_exact() {
    let good = String::from_utf8(Key::new(1).sign("n", b"")).unwrap();
    assert!(Signature::parse(good.replace('\n', "\r\n").as_bytes()).is_ok());
    assert!(Signature::parse(format!("{good}\n \n").as_bytes()).is_ok());
    for wrong in [
        String::new(),
        format!("\n{good}"),
        format!("{good}more"),
        good.replace("-----END SSH SIGNATURE-----", ""),
        good.replace("SSH SIGNATURE", "PGP SIGNATURE"),
        good.replace("U1NIU0lH", "U1NI*0lH"),
        good.replace("U1NIU0lH", "U1NIU0lI"),
    ] {
        assert!(Signature::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let long = vec![b'-'; 10_000_000];
    assert!(matches!(
        Signature::parse(&long),
        Err(SignatureError::TooLong(_))
    ));
}

#[test]
fn a_hardware_key_must_have_been_touched() {
    let verify = |flags| {
        let file = Key::hardware(5, flags).sign("n", b"m");
        let signature = Signature::parse(&file).unwrap();
        signature.verify(b"m", "n").map(|_| ())
    };
    assert_eq!(verify(0x01), Ok(()));
    assert_eq!(verify(0x05), Ok(()));
    assert_eq!(verify(0x00), Err(SignatureError::Presence));
    assert_eq!(verify(0x04), Err(SignatureError::Presence));
}

#[test]
fn a_certificate_is_a_users_of_its_authority_and_unrestricted() {
    let (key, authority) = (Key::new(1), Key::new(2));
    let parse = |certified: &Certified<'_>| {
        let file = key.sign_as(&certified.blob(&key, &authority), "n", b"m");
        Signature::parse(&file).and_then(|signature| signature.verify(b"m", "n").cloned())
    };
    assert!(parse(&Certified::USER).is_ok());
    let refused = |certified: Certified<'_>| match parse(&certified) {
        Err(SignatureError::Certificate(error)) => error,
        other => panic!("{other:?}"),
    };
    let host = Certified {
        kind: 2,
        ..Certified::USER
    };
    assert_eq!(refused(host), CertificateError::NotUser);
    let none = Certified {
        principals: &[],
        ..Certified::USER
    };
    assert_eq!(refused(none), CertificateError::NoPrincipals);
    let forced = Certified {
        critical: Some("force-command"),
        ..Certified::USER
    };
    assert_eq!(
        refused(forced),
        CertificateError::Critical("force-command".to_owned())
    );
    let mut forged = Certified::USER.blob(&key, &authority);
    let at = forged
        .windows(6)
        .position(|part| part == b"alice@")
        .unwrap();
    forged[at] = b'A';
    let error = Signature::parse(&key.sign_as(&forged, "n", b"m")).unwrap_err();
    let SignatureError::Certificate(CertificateError::Signature(_)) = error else {
        panic!("{error:?}");
    };
}

#[test]
fn a_key_has_one_encoding() {
    let blob = Key::new(1).blob();
    assert!(PublicKey::parse(&blob).is_ok());
    assert!(PublicKey::parse(&blob[..blob.len() - 1]).is_err());
    assert!(PublicKey::parse(&[&blob[..], &[0]].concat()).is_err());
    let mut unknown = Vec::new();
    put_string(&mut unknown, b"ssh-dss");
    let error = PublicKey::parse(&unknown).unwrap_err().to_string();
    assert!(error.starts_with("unknown algorithm ssh-dss"), "{error}");
}
