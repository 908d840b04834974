//! Identities: the keys that open age files.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use age::secrecy::ExposeSecret;
use rustix::io::Errno;

use super::native::Native;
use super::signing::Signer;
use crate::secret::{Buffer, FileError, SecretBytes, Trusted, read_to_end};
use crate::stores::Fault;
use crate::sys::{durable, filesystem};

/// An identity file holds keys and comments; more than this is something else.
const MAX_FILE: usize = 1 << 20;

/// Identities as age takes them.
pub type Parsed = Vec<Box<dyn age::Identity>>;

/// The content of an identity file, kept out of sight between uses.
pub struct Identities {
    path: PathBuf,
    owners: Vec<u32>,
    content: Buffer,
}

impl Identities {
    /// Reads and checks an identity file: age's (`AGE-SECRET-KEY-1…` lines and comments) or an
    /// OpenSSH private key without passphrase. It must be a file that its owner, who is we or root,
    /// can read alone; one in $CREDENTIALS_DIRECTORY may be readable by its group, as systemd makes
    /// it.
    /// `owners` are trusted as well.
    pub fn read(path: &Path, owners: &[u32]) -> Result<Self, Fault> {
        let content = read_private(path, owners)?;
        parse(path, content.expose())?;
        let content = Buffer::new(content.expose()).map_err(|source| unreadable(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            owners: owners.to_vec(),
            content,
        })
    }

    /// Shows the identities to `look`.
    pub fn with<R>(&self, look: impl FnOnce(&Parsed) -> Result<R, Fault>) -> Result<R, Fault> {
        let parsed = self.content.with(|bytes| parse(&self.path, bytes))?;
        look(&parsed)
    }

    /// The recipients that the identities open files for, as recipients.txt has them.
    pub fn recipients(&self) -> Result<Vec<String>, Fault> {
        self.content.with(|bytes| {
            if is_ssh(bytes) {
                let recipient = age::ssh::Recipient::try_from(parse_ssh(&self.path, bytes)?);
                return recipient
                    .map(|recipient| vec![recipient.to_string()])
                    .map_err(|_| malformed(&self.path, "a key of this type has no recipient"));
            }
            let identities = parse_native(&self.path, bytes)?;
            Ok(identities.iter().map(Native::recipient).collect())
        })
    }

    /// Those that can sign, with their recipients.
    pub fn signers(&self) -> Result<Vec<Signer>, Fault> {
        let recipients = self.recipients()?;
        self.content.with(|bytes| {
            if is_ssh(bytes) {
                let recipient = recipients.into_iter().next().unwrap_or_default();
                let signer = Signer::ssh(recipient, bytes);
                let signer = signer.ok_or_else(|| malformed(&self.path, "it cannot sign"))?;
                return Ok(vec![signer]);
            }
            let identities = parse_native(&self.path, bytes)?;
            let signers = identities.iter().zip(recipients);
            Ok(signers
                .map(|(identity, recipient)| identity.signer(recipient))
                .collect())
        })
    }

    /// Whether the file still has what was read.
    pub fn is_current(&self) -> bool {
        read_private(&self.path, &self.owners)
            .is_ok_and(|content| self.content.same(content.expose()))
    }
}

/// Makes a file with a new X25519 identity, as age-keygen does, for its owner alone. Directories on
/// the way are made as well.
pub fn create(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        durable::make_directories(parent, 0o700)?;
    }
    let identity = age::x25519::Identity::generate();
    let now = humantime::format_rfc3339_seconds(SystemTime::now());
    let public = identity.to_public();
    // Large enough: no copy of the key stays behind where it grew.
    let mut text = Vec::with_capacity(512);
    text.extend(format!("# created: {now}\n# public key: {public}\n").as_bytes());
    text.extend(identity.to_string().expose_secret().as_bytes());
    text.push(b'\n');
    durable::create(path, SecretBytes::new(text).expose(), 0o600)
}

/// Checks on the open file, so that nobody swaps it in between. What is no identity is said to be none
/// before anything is said of who can read it.
fn read_private(path: &Path, owners: &[u32]) -> Result<SecretBytes, Fault> {
    let file = Trusted::new(owners).open(path).map_err(advised)?;
    let status = filesystem::status(&file).map_err(|source| unreadable(path, source))?;
    let content = read_to_end(&file, MAX_FILE).map_err(|errno| match errno {
        Errno::FBIG => malformed(path, "it is larger than 1 MiB"),
        errno => unreadable(path, errno.into()),
    })?;
    let is_open = check_readers(path, status.mode);
    if is_open.is_err() {
        parse(path, content.expose())?;
    }
    is_open.map(|()| content)
}

fn advised(error: FileError) -> Fault {
    match error {
        FileError::System { path, source } if source.kind() == io::ErrorKind::NotFound => {
            let advice = "no identity file: make one with `hushpipe identity new`, or name yours: \
                 --identity, HUSHPIPE_IDENTITY";
            let source = io::Error::new(io::ErrorKind::NotFound, advice);
            unreadable(&path, source)
        }
        error => error.into(),
    }
}

fn check_readers(path: &Path, mode: u32) -> Result<(), Fault> {
    let refused = if is_credential(path) { 0o037 } else { 0o077 };
    if mode & refused == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err(Fault::Denied {
        reason: format!(
            "identity file {shown} is open to others (mode {mode:04o}): chmod 600 {shown}"
        ),
    })
}

/// systemd gives a unit's credentials as root:root 0440, in a directory that the unit alone sees.
fn is_credential(path: &Path) -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY")
        .is_some_and(|directory| path.parent() == Some(Path::new(&directory)))
}

/// The identities in a file; the path is for messages.
pub fn parse(path: &Path, content: &[u8]) -> Result<Parsed, Fault> {
    if is_public(content) {
        let reason = "it has a public key: name the file with the private key";
        return Err(malformed(path, reason));
    }
    if is_ssh(content) {
        return Ok(vec![Box::new(parse_ssh(path, content)?)]);
    }
    let identities = parse_native(path, content)?;
    Ok(identities
        .into_iter()
        .map(|identity| Box::new(identity) as Box<dyn age::Identity>)
        .collect())
}

/// OpenSSH's `.pub` files, and age's recipients.
fn is_public(content: &[u8]) -> bool {
    let lines = content.split(|byte| *byte == b'\n');
    let mut lines = lines.map(<[u8]>::trim_ascii_start);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"));
    first.is_some_and(|line| {
        [&b"ssh-"[..], b"ecdsa-", b"sk-ssh-", b"age1"]
            .iter()
            .any(|start| line.starts_with(start))
    })
}

fn is_ssh(content: &[u8]) -> bool {
    content.starts_with(b"-----BEGIN ")
}

fn parse_ssh(path: &Path, content: &[u8]) -> Result<age::ssh::Identity, Fault> {
    match age::ssh::Identity::from_buffer(content, None) {
        Ok(identity @ age::ssh::Identity::Unencrypted(_)) => Ok(identity),
        Ok(age::ssh::Identity::Encrypted(_)) => Err(malformed(
            path,
            "it is protected by a passphrase, which hushpipe cannot ask for: use an age identity, \
             or a key without passphrase",
        )),
        Ok(age::ssh::Identity::Unsupported(_)) => Err(malformed(
            path,
            "its type of SSH key cannot open age files: use ssh-ed25519",
        )),
        Err(_) => Err(malformed(path, "it is not a whole OpenSSH private key")),
    }
}

/// Why a line is no identity, without what is in it.
fn unknown_identity(number: usize, line: &[u8]) -> String {
    let plugin = line
        .strip_prefix(b"AGE-PLUGIN-")
        .and_then(|rest| rest.split(|byte| *byte == b'1').next())
        .and_then(|name| std::str::from_utf8(name).ok())
        .map(|name| name.trim_end_matches('-').to_ascii_lowercase())
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    match plugin {
        Some(name) => format!(
            "line {number} is for age-plugin-{name}, and hushpipe runs no plugins: use an \
             AGE-SECRET-KEY-1… identity"
        ),
        None => format!("line {number} is not an AGE-SECRET-KEY-1… identity"),
    }
}

fn parse_native(path: &Path, content: &[u8]) -> Result<Vec<Native>, Fault> {
    let mut identities = Vec::new();
    // Editors of Windows and some CIs put a byte order mark before the text.
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let identity = std::str::from_utf8(line)
            .ok()
            .and_then(Native::parse)
            .ok_or_else(|| malformed(path, &unknown_identity(index + 1, line)))?;
        identities.push(identity);
    }
    if identities.is_empty() {
        return Err(malformed(
            path,
            "it has no identity: make one with `hushpipe identity new` or age-keygen",
        ));
    }
    Ok(identities)
}

fn malformed(path: &Path, reason: &str) -> Fault {
    Fault::Malformed {
        reason: format!("identity file {}: {reason}", path.display()),
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> Fault {
    Fault::Unreachable {
        tried: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(content: &[u8], mode: u32) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        write(&path, content).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let identities = Identities::read(&path, &[]).and_then(|read| read.recipients());
        identities.map_err(|fault| match fault {
            Fault::Denied { reason } | Fault::Malformed { reason } => reason,
            Fault::Unreachable { source, .. } => source.to_string(),
            _ => "another fault".to_owned(),
        })
    }

    #[test]
    fn comments_and_several_identities_are_read() {
        let keys = [(); 2].map(|()| age::x25519::Identity::generate());
        let [one, two] = keys.each_ref().map(|key| {
            use age::secrecy::ExposeSecret;
            key.to_string().expose_secret().to_owned()
        });
        let file = format!("\u{feff}# created: today\r\n{one}\r\n\n# another\n  {two}");
        let public = keys.map(|key| key.to_public().to_string());
        assert_eq!(read(file.as_bytes(), 0o600).unwrap(), public);
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting_the_file() {
        let error = read(b"# only a comment\n", 0o600).unwrap_err();
        assert!(error.contains("it has no identity"), "{error}");
        let error = read(b"\nAGE-SECRET-KEY-1QQQ\n", 0o400).unwrap_err();
        assert!(
            error.contains("line 2") && !error.contains("QQQ"),
            "{error}"
        );
        let error = read(b"AGE-PLUGIN-YUBIKEY-1QQQHUNTER\n", 0o600).unwrap_err();
        assert!(
            error.contains("age-plugin-yubikey") && !error.contains("QQQ"),
            "{error}"
        );
        let error = read(b"\xff\xfe", 0o600).unwrap_err();
        assert!(error.contains("line 1"), "{error}");
        let error = read(b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", 0o600).unwrap_err();
        assert!(error.contains("not a whole OpenSSH"), "{error}");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use age::secrecy::ExposeSecret;
        let key = age::x25519::Identity::generate().to_string();
        for mode in [0o640, 0o604, 0o660, 0o601] {
            let error = read(key.expose_secret().as_bytes(), mode).unwrap_err();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn what_is_no_identity_is_not_to_be_closed_to_others() {
        for (text, expected) in [
            ("root:x:0:0::/:/bin/sh\n", "line 1 is not an AGE-SECRET-KEY"),
            (
                "ssh-ed25519 AAAA me@host\n",
                "name the file with the private key",
            ),
            ("# me\nage1qqq\n", "name the file with the private key"),
        ] {
            for mode in [0o600, 0o644] {
                let error = read(text.as_bytes(), mode).unwrap_err();
                assert!(
                    error.contains(expected) && !error.contains("chmod"),
                    "{error}"
                );
            }
        }
    }
}
