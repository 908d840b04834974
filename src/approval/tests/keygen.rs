//! What ssh-keygen(1) signs, read here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::approval::{Moment, Signature, SignatureError, SignerError, Signers};

const NAMESPACE: &str = "approval@hushpipe";

fn keygen(arguments: &[&str]) {
    let output = Command::new("ssh-keygen")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("ssh-keygen is installed (tests/install)");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ssh-keygen {arguments:?}: {error}");
}

struct Keys(tempfile::TempDir);

impl Keys {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn make(&self, name: &str, kind: &[&str]) -> PathBuf {
        let path = self.path(name);
        let shown = path.to_str().unwrap();
        keygen(&[&["-q", "-N", "", "-C", "", "-f", shown, "-t"], kind].concat());
        path
    }

    /// The signature of `message` by that key, or by the certificate beside it.
    fn sign(&self, key: &Path, message: &str) -> Vec<u8> {
        let file = self.path("message");
        fs::write(&file, message).unwrap();
        let signature = self.path("message.sig");
        fs::remove_file(&signature).ok();
        let (key, file) = (key.to_str().unwrap(), file.to_str().unwrap());
        keygen(&["-q", "-Y", "sign", "-n", NAMESPACE, "-f", key, file]);
        fs::read(signature).unwrap()
    }
}

fn public(key: &Path) -> String {
    let path = format!("{}.pub", key.display());
    fs::read_to_string(path).unwrap().trim().to_owned()
}

fn signers(text: &str) -> Signers {
    Signers::parse(text.as_bytes(), &|_| None).unwrap()
}

fn now() -> Moment {
    Moment::of(std::time::SystemTime::now())
}

#[test]
fn signatures_of_ssh_keygen_verify() {
    let keys = Keys::new();
    for (name, kind) in [
        ("ed25519", &["ed25519"][..]),
        ("p256", &["ecdsa", "-b", "256"]),
        ("p384", &["ecdsa", "-b", "384"]),
        ("rsa", &["rsa", "-b", "3072"]),
    ] {
        let key = keys.make(name, kind);
        let signature = Signature::parse(&keys.sign(&key, "a message\n")).unwrap();
        let signing = signature.verify(b"a message\n", NAMESPACE).unwrap();
        let all = signers(&format!("{name}@example.com {}", public(&key)));
        let signer = all.find(signing, NAMESPACE, now()).unwrap();
        assert_eq!(signer.names, [format!("{name}@example.com")]);
        let shown = signing.key().fingerprint();
        let output = Command::new("ssh-keygen")
            .arg("-lf")
            .arg(&key)
            .output()
            .unwrap();
        assert!(
            String::from_utf8_lossy(&output.stdout).contains(&shown),
            "{shown}"
        );
        assert_eq!(
            signature.verify(b"another", NAMESPACE),
            Err(SignatureError::Invalid)
        );
    }
}

#[test]
fn keys_that_are_refused_are_named() {
    let keys = Keys::new();
    let verify = |key: &Path| {
        let signature = Signature::parse(&keys.sign(key, "m")).unwrap();
        signature.verify(b"m", NAMESPACE).map(|_| ()).unwrap_err()
    };
    let short = keys.make("short", &["rsa", "-b", "2048"]);
    assert_eq!(verify(&short), SignatureError::RsaBits(2048));
    let p521 = keys.make("p521", &["ecdsa", "-b", "521"]);
    let error = verify(&p521).to_string();
    assert!(error.contains("ecdsa-sha2-nistp521"), "{error}");
    // Others in the same file are not harmed by them.
    let good = keys.make("good", &["ed25519"]);
    let lines = [&short, &p521, &good].map(|key| format!("a {}\n", public(key)));
    signers(&lines.concat());
}

#[test]
fn certificates_of_ssh_keygen_count_for_whom_their_authority_may_name() {
    let keys = Keys::new();
    for (ca, kind) in [("ca", &["ed25519"][..]), ("rsa-ca", &["rsa", "-b", "3072"])] {
        let authority = keys.make(ca, kind);
        let key = keys.make(&format!("key-{ca}"), &["ecdsa"]);
        let public_key = format!("{}.pub", key.display());
        let (shown, principals) = (authority.to_str().unwrap(), "alice@example.com,root");
        keygen(&[
            "-q",
            "-s",
            shown,
            "-I",
            "id",
            "-n",
            principals,
            "-V",
            "+1d",
            &public_key,
        ]);
        let certificate = PathBuf::from(format!("{}-cert.pub", key.display()));
        let signature = Signature::parse(&keys.sign(&certificate, "m")).unwrap();
        let signing = signature.verify(b"m", NAMESPACE).unwrap();
        let line = |who: &str| signers(&format!("{who} cert-authority {}", public(&authority)));
        let signer = line("*@example.com")
            .find(signing, NAMESPACE, now())
            .unwrap();
        assert_eq!(signer.names, ["alice@example.com"]);
        let error = line("*@example.org").find(signing, NAMESPACE, now());
        assert!(matches!(
            error,
            Err(SignerError::Principals { line: 1, .. })
        ));
        let later = Moment::from_unix(now().unix() + 2 * 86400);
        let error = line("*")
            .find(signing, NAMESPACE, later)
            .unwrap_err()
            .to_string();
        assert!(error.contains("has expired"), "{error}");
        // The authority's own key does not make it one, nor is the certified key listed by itself.
        let plain = signers(&format!("a {}\nb {}", public(&authority), public(&key)));
        let error = plain.find(signing, NAMESPACE, now());
        assert!(matches!(error, Err(SignerError::Unknown { .. })));
    }
}
