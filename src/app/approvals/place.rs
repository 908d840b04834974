//! Where requests and signatures lie: `DIRECTORY/requests`. Everybody can add files there, and nobody can
//! change those of others (it is sticky, as /tmp). What lies there says nothing by itself: a request
//! counts if this user (root, for launches by root) made it, a signature if it is one.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::error::ApprovalsError;
use crate::approval::{
    MAX_REQUEST, MAX_SIGNATURE, Request, RequestError, RequestId, SignatureFile, SigningKey,
};
use crate::sys::filesystem::{self, Status, effective_uid};
use crate::sys::held;
use crate::sys::walk::{self, Rule, WalkError};
use crate::sys::{beneath, durable};

/// So many files are looked at, of all that others may make.
const MOST_FILES: usize = 1 << 20;
/// So many signatures of one request are read of each user, so that nobody's files keep others' from
/// being seen.
const MOST_SIGNATURES: usize = 64;
/// How a file's name starts until it is whole.
const NEW: &str = ".new-";
/// Everybody may add, nobody change what others added.
const STICKY: u32 = 0o1777;

/// Where requests and signatures are, in the site's directory.
pub fn requests(directory: &Path) -> PathBuf {
    directory.join("requests")
}

/// The directory, open.
pub struct Place {
    /// The site's `approvals.directory`.
    pub path: PathBuf,
    requests: OwnedFd,
}

/// A request as it lies there.
pub struct Stored {
    /// Its name.
    pub id: RequestId,
    /// Who made the file.
    pub owner: u32,
    /// All of it; what does not fit a request is cut off.
    pub bytes: Vec<u8>,
    /// What it says.
    pub request: Result<Request, RequestError>,
    /// What lies beside it.
    pub signatures: Vec<SignatureFile>,
    /// So many more files beside it were not read.
    pub unread: usize,
}

/// The signature files of each request, by name.
pub type Listing = BTreeMap<RequestId, Vec<String>>;

impl Place {
    /// Opens it; `None` where there is none yet.
    pub fn open(path: &Path) -> Result<Option<Self>, ApprovalsError> {
        match walk::directory(&requests(path), &Rule::STRICT) {
            Ok(requests) => Ok(Some(Self {
                path: path.to_owned(),
                requests,
            })),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(distrusted(error)),
        }
    }

    /// Opens it, and makes what is missing: directories that everybody can enter.
    pub fn make(path: &Path) -> Result<Self, ApprovalsError> {
        let (requests, uses) = (requests(path), path.join("uses"));
        let made = || {
            make_directory(path, 0o755)?;
            open_state(path)?;
            make_directory(&requests, STICKY)?;
            if effective_uid() == 0 {
                make_with_roots_own(&uses)?;
            }
            make_directory(&uses, STICKY)
        };
        made().map_err(|error| match error {
            ApprovalsError::System {
                path: unmade,
                source,
                ..
            } if source.kind() == io::ErrorKind::PermissionDenied => ApprovalsError::Unmade {
                path: unmade,
                approvals: path.to_owned(),
            },
            error => error,
        })?;
        let missing = || system_of("make", &requests, io::ErrorKind::NotFound.into());
        Self::open(path)?.ok_or_else(missing)
    }

    fn path_of(&self, name: impl AsRef<OsStr>) -> PathBuf {
        requests(&self.path).join(name.as_ref())
    }

    fn system(
        &self,
        doing: &'static str,
        name: impl AsRef<OsStr>,
    ) -> impl FnOnce(io::Error) -> ApprovalsError {
        let path = self.path_of(name);
        move |source| ApprovalsError::System {
            doing,
            path,
            source,
        }
    }

    /// Visits the names of all files that are there.
    pub fn visit(
        &self,
        mut visit: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(), ApprovalsError> {
        // From the start, wherever an earlier look ended.
        let directory = filesystem::open_directory_at(&self.requests, ".");
        let directory = directory.map_err(self.system("read", ""))?;
        // No name of hushpipe's is anything but UTF-8.
        let visited = filesystem::visit_entries(directory, |name| visit(&name.to_string_lossy()));
        visited.map_err(self.system("read", ""))
    }

    /// All requests with their signature files. What has another name is passed over.
    pub fn list(&self) -> Result<Listing, ApprovalsError> {
        let mut listing = Listing::new();
        let mut others: Vec<(RequestId, String)> = Vec::new();
        let mut count = 0;
        self.visit(|name| {
            count += 1;
            match entry(name) {
                Some(Entry::Request(id)) => {
                    listing.entry(id).or_default();
                }
                Some(Entry::Signature(id)) => others.push((id, name.to_owned())),
                Some(Entry::New) | None => {}
            }
            if count > MOST_FILES {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if count > MOST_FILES {
            let path = self.path_of("");
            let most = MOST_FILES;
            return Err(ApprovalsError::TooMany { path, most });
        }
        for (id, name) in others {
            if let Some(names) = listing.get_mut(&id) {
                names.push(name);
            }
        }
        for names in listing.values_mut() {
            names.sort_unstable();
        }
        Ok(listing)
    }

    /// What a file is; `None`: it is gone.
    pub fn status(&self, name: &str) -> Result<Option<Status>, ApprovalsError> {
        filesystem::status_at(&self.requests, name).map_err(self.system("look at", name))
    }

    /// Removes a file. That it is gone already is no error.
    pub fn remove(&self, name: &str) -> Result<(), ApprovalsError> {
        filesystem::unlink_at(&self.requests, name).map_err(self.system("remove", name))
    }

    /// Reads one request with these signature files. `None`: it is gone, or nobody's request at all (a
    /// link, a directory, a FIFO).
    pub fn read(
        &self,
        id: &RequestId,
        signatures: &[String],
    ) -> Result<Option<Stored>, ApprovalsError> {
        let name = format!("{id}.json");
        let Ok(file) = beneath::open_file(&self.requests, &name) else {
            return Ok(None);
        };
        let status = filesystem::status(&file).map_err(self.system("read", &name))?;
        let bytes = match beneath::read_whole(file, MAX_REQUEST as u64) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => None,
            other => Some(other.map_err(self.system("read", &name))?),
        };
        let request = match &bytes {
            None => Err(RequestError::TooLong),
            Some(bytes) => Request::parse(bytes).and_then(|request| {
                if request.id == *id {
                    Ok(request)
                } else {
                    Err(RequestError::Value("its file has another name than its id"))
                }
            }),
        };
        let (names, unread) = self.fair(signatures)?;
        let read = |name: &String| {
            // One that cannot be read is shown as one that is none.
            let bytes = beneath::read_file(&self.requests, name, MAX_SIGNATURE as u64 + 1);
            SignatureFile {
                name: name.clone(),
                bytes: bytes.unwrap_or_default(),
            }
        };
        Ok(Some(Stored {
            id: id.clone(),
            owner: status.uid,
            bytes: bytes.unwrap_or_default(),
            request,
            signatures: names.into_iter().map(read).collect(),
            unread,
        }))
    }

    /// No more of these files of one user than one request can need; and how many are left out.
    fn fair<'n>(&self, names: &'n [String]) -> Result<(Vec<&'n String>, usize), ApprovalsError> {
        if names.len() <= MOST_SIGNATURES {
            return Ok((names.iter().collect(), 0));
        }
        let mut of_users: BTreeMap<u32, usize> = BTreeMap::new();
        let mut kept = Vec::new();
        for name in names {
            let Some(status) = self.status(name)? else {
                continue;
            };
            let count = of_users.entry(status.uid).or_default();
            *count += 1;
            if *count <= MOST_SIGNATURES {
                kept.push(name);
            }
        }
        let unread = names.len() - kept.len();
        Ok((kept, unread))
    }

    /// Whether a launch by this user may count on a request: its own user made it.
    pub fn is_own(&self, id: &RequestId) -> Result<bool, ApprovalsError> {
        let status = self.status(&format!("{id}.json"))?;
        Ok(status.is_some_and(|status| status.uid == effective_uid()))
    }

    /// As [`Place::read`], with all signatures that there are.
    pub fn find(&self, id: &RequestId) -> Result<Option<Stored>, ApprovalsError> {
        match self.list()?.get(id) {
            Some(signatures) => self.read(id, signatures),
            None => Ok(None),
        }
    }

    /// Puts a request there, for all to read.
    pub fn write(&self, request: &Request) -> Result<(), ApprovalsError> {
        let name = format!("{}.json", request.id);
        self.put(&name, &request.to_bytes())
    }

    /// Puts a signature of a user's beside a request, in the place of an earlier one of the same user's by
    /// the same key.
    pub fn sign(
        &self,
        id: &RequestId,
        (user, key): (&str, &SigningKey),
        bytes: &[u8],
    ) -> Result<PathBuf, ApprovalsError> {
        let user = format!("{user}-{}", short(key));
        let name = format!("{id}.json.{user}.sig");
        match held::publish(&self.requests, name.as_ref(), bytes) {
            Ok(()) => Ok(self.path_of(name)),
            // Somebody else took the name, perhaps to be in the way.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let free = held::unguessable(&format!("{user}-"));
                let name = format!("{id}.json.{}.sig", free.to_string_lossy());
                self.put(&name, bytes)?;
                Ok(self.path_of(name))
            }
            Err(error) => Err(self.system("write", name)(error)),
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), ApprovalsError> {
        held::publish(&self.requests, name.as_ref(), bytes).map_err(self.system("write", name))
    }
}

/// The start of a key's fingerprint, as it can be in a file's name: so long that no two keys share it.
pub fn short(key: &SigningKey) -> String {
    let fingerprint = key.key().fingerprint();
    let (_, digest) = fingerprint.split_once(':').unwrap_or_default();
    let plain = digest.chars().filter(char::is_ascii_alphanumeric);
    plain.take(16).collect()
}

/// A file of hushpipe's, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `ID.json`
    Request(RequestId),
    /// `ID.json.sig` or `ID.json.NAME.sig`
    Signature(RequestId),
    /// One that is being written.
    New,
}

/// What a name says; `None`: it is none of hushpipe's.
pub fn entry(name: &str) -> Option<Entry> {
    if name.starts_with(NEW) {
        return Some(Entry::New);
    }
    let (id, rest) = name.split_once('.')?;
    let id = RequestId::parse(id)?;
    match rest {
        "json" => Some(Entry::Request(id)),
        rest => {
            let signature = rest.strip_prefix("json.")?.strip_suffix("sig")?;
            let is_one = signature.is_empty() || signature.ends_with('.');
            is_one.then_some(Entry::Signature(id))
        }
    }
}

fn distrusted(source: WalkError) -> ApprovalsError {
    ApprovalsError::Place {
        what: "the approvals directory",
        source,
    }
}

/// Makes a directory with this mode, and those above it that are missing (0755).
pub fn make_directory(path: &Path, mode: u32) -> Result<(), ApprovalsError> {
    // Another launcher may make them at the same time: then they are there.
    for _ in 0..16 {
        let reached = walk::reach(path, &Rule::STRICT).map_err(distrusted)?;
        let Some((name, below)) = reached.missing.split_first() else {
            return Ok(());
        };
        let mode = if below.is_empty() { mode } else { 0o755 };
        match held::fresh_at(&reached.directory, OsString::from(name), mode) {
            Ok(_) => held::readable(&reached.directory)
                .and_then(durable::sync_names)
                .map_err(|source| system_of("make", path, source))?,
            Err(error) if held::is_taken(&error) => {}
            Err(source) => return Err(system_of("make", path, source)),
        }
    }
    Err(system_of("make", path, io::ErrorKind::ResourceBusy.into()))
}

/// hushpipe's own directory, where most sites have their approvals.
const STATE: &str = "/var/lib/hushpipe";

/// Lets everybody pass hushpipe's own directory on the way to the approvals. Sealed stores and the audit log
/// may have made it for root alone; what they keep there is closed by itself.
fn open_state(path: &Path) -> Result<(), ApprovalsError> {
    let state = Path::new(STATE);
    if effective_uid() != 0 || path == state || !path.starts_with(state) {
        return Ok(());
    }
    let opened = walk::directory(state, &Rule::ROOT).map_err(distrusted)?;
    let status = filesystem::status(&opened).map_err(|error| system_of("look at", state, error))?;
    match status.mode & 0o7777 {
        mode if mode & 0o011 == 0o011 => Ok(()),
        mode => filesystem::change_mode(&opened, mode | 0o011)
            .map_err(|error| system_of("change the mode of", state, error)),
    }
}

/// Makes the directory of records, if it is missing, with root's own in it before everybody can add to it:
/// another user could have made it, and would keep root's launches from approvals.
fn make_with_roots_own(uses: &Path) -> Result<(), ApprovalsError> {
    match walk::directory(uses, &Rule::STRICT) {
        Err(error) if error.is_missing() => {}
        Ok(_) => return Ok(()),
        Err(error) => return Err(distrusted(error)),
    }
    make_directory(&uses.join("0"), 0o700)?;
    let opened = walk::directory(uses, &Rule::STRICT).map_err(distrusted)?;
    held::readable(&opened)
        .and_then(|opened| filesystem::change_mode(opened, STICKY))
        .map_err(|source| system_of("change the mode of", uses, source))
}

fn system_of(doing: &'static str, path: &Path, source: io::Error) -> ApprovalsError {
    ApprovalsError::System {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// As [`Place::is_own`], of the file that was read.
pub fn is_own(stored: &Stored) -> bool {
    stored.owner == effective_uid()
}
