//! Certificates for a test, by openssl(1).

use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate authority of a test's own: PEM files in a directory.
pub struct Authority {
    directory: PathBuf,
    name: String,
}

/// A certificate and its key, PEM files.
pub struct Issued {
    /// The certificate alone.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one, valid since yesterday and for a day: `NAME.pem` and `NAME.key`.
    pub fn new(directory: &Path, name: &str) -> Self {
        Self::valid_from(directory, name, "-1 day")
    }

    /// One that ended eight days ago.
    pub fn expired(directory: &Path, name: &str) -> Self {
        Self::valid_from(directory, name, "-10 days")
    }

    fn valid_from(directory: &Path, name: &str, since: &str) -> Self {
        let authority = Self {
            directory: directory.to_path_buf(),
            name: name.to_owned(),
        };
        let mut openssl = openssl_at(since);
        openssl.args(["req", "-x509", "-days", "2", "-nodes", "-newkey", "ec"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-subj", &format!("/CN={name}")]);
        openssl.args(["-addext", "basicConstraints=critical,CA:TRUE"]);
        openssl.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        openssl.arg("-keyout").arg(authority.path("key"));
        openssl.arg("-out").arg(authority.certificate());
        run(&mut openssl);
        authority
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.directory.join(format!("{}.{kind}", self.name))
    }

    /// Its own certificate, for who trusts it.
    pub fn certificate(&self) -> PathBuf {
        self.path("pem")
    }

    /// A server's certificate for these names: `DNS:localhost,IP:127.0.0.1`.
    pub fn server(&self, file: &str, names: &str) -> Issued {
        self.issue(file, &format!("subjectAltName={names}"), "serverAuth")
    }

    /// A client's certificate with this common name.
    pub fn client(&self, name: &str) -> Issued {
        self.issue(name, &format!("subjectAltName=DNS:{name}"), "clientAuth")
    }

    fn issue(&self, file: &str, names: &str, usage: &str) -> Issued {
        let at = |kind: &str| self.directory.join(format!("{file}.{kind}"));
        let mut request = Command::new("openssl");
        request.args(["req", "-new", "-nodes", "-newkey", "ec"]);
        request.args(["-pkeyopt", "ec_paramgen_curve:P-256"]);
        request.args(["-subj", &format!("/CN={file}")]);
        request.arg("-keyout").arg(at("key"));
        request.arg("-out").arg(at("csr"));
        run(&mut request);
        let extensions = format!("{names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n");
        std::fs::write(at("ext"), extensions).expect("the directory is writable");
        let mut sign = openssl_at("-1 day");
        sign.args(["x509", "-req", "-days", "2", "-CAcreateserial"]);
        sign.arg("-in")
            .arg(at("csr"))
            .arg("-extfile")
            .arg(at("ext"));
        sign.arg("-CA").arg(self.certificate());
        sign.arg("-CAkey").arg(self.path("key"));
        sign.arg("-out").arg(at("pem"));
        run(&mut sign);
        Issued {
            certificate: at("pem"),
            key: at("key"),
        }
    }
}

/// Through this a program with libfaketime is started. The library makes files in /dev/shm that are
/// named for the process id, leaves some, and fails where another process of that id has left one.
pub const ALONE: [&str; 6] = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs none /dev/shm && exec \"$@\"",
    "sh",
];

/// openssl(1) at another time: what it makes is valid from then on. Tests set clocks back.
fn openssl_at(time: &str) -> Command {
    let mut openssl = Command::new(ALONE[0]);
    openssl
        .args(&ALONE[1..])
        .args(["faketime", time, "openssl"]);
    openssl
}

/// Runs a command that must succeed; gives what it wrote.
pub(super) fn run(command: &mut Command) -> Vec<u8> {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
