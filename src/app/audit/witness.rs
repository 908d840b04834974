//! `hushpipe audit witness`: cosigns the checkpoints of other hosts' logs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::keys::unread;
use super::reading::failed;
use crate::app::event_loop::{runtime, take_signals, until_stopped};
use crate::app::failure::{Failure, Failures, os};
use crate::audit::{
    Kept, KeyKind, LogError, Refusal, SignerKey, Submission, VerifierKey, Witness, is_name,
    make_key, read_key,
};
use crate::http::{Asked, Listener, Reply};
use crate::model::printable::printable_path;
use crate::model::{Exit, chain};
use crate::secret::Trusted;
use crate::sys::host;

/// The name of a log's last size, in an answer (c2sp.org/tlog-witness).
const SIZE: &str = "text/x.tlog.size";

/// Where a witness has what it needs.
#[derive(Clone, Debug)]
pub struct WitnessPlace {
    /// Its key, and the last checkpoint of each log.
    pub directory: PathBuf,
    /// The name of its key, where that is made.
    pub name: Option<String>,
}

impl WitnessPlace {
    fn key(&self) -> Result<SignerKey, Failures> {
        let path = self.directory.join("witness.key");
        let host = host::name();
        let named = self.name.clone();
        let name = named.unwrap_or_else(|| format!("{host}/hushpipe-witness"));
        if !is_name(&name) {
            let text =
                format!("{name:?} cannot name a key: no spaces, no control characters, no +");
            return Err(vec![Failure::new(Exit::Usage, text)]);
        }
        let key = match read_key(&path).map_err(|error| failed(&error))? {
            Some(key) => key,
            None => make_key(&path, &name, KeyKind::Cosignature).map_err(|error| failed(&error))?,
        };
        if !key.verifier().is_witness() {
            let why = "it is the key of a log, not of a witness".to_owned();
            return Err(failed(&LogError::Key { path, why }));
        }
        Ok(key)
    }
}

/// The verifier key that sites name; the key is made at first use.
pub fn print_key(place: &WitnessPlace) -> Result<String, Failures> {
    Ok(place.key()?.verifier().to_string())
}

/// The keys of the logs that are cosigned: one a line, as `hushpipe audit key` prints them.
fn logs(path: &Path) -> Result<Vec<VerifierKey>, Failures> {
    const LONGEST: usize = 1 << 20;
    let shown = printable_path(path);
    let wrong = |text: String| vec![Failure::new(Exit::Usage, text)];
    let read = Trusted::new(&[]).read(path, LONGEST);
    let read = read.map_err(|error| wrong(format!("--logs: {}", unread(error))))?;
    let text = String::from_utf8_lossy(read.expose()).into_owned();
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = VerifierKey::parse(line)
            .map_err(|error| wrong(format!("--logs {shown}:{number}: {error}")))?;
        if key.is_witness() {
            let why = "it is the key of a witness, not of a log";
            return Err(wrong(format!("--logs {shown}:{number}: {why}")));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        let why = "no key of a log in it: `hushpipe audit key` prints one";
        return Err(wrong(format!("--logs {shown}: {why}")));
    }
    Ok(keys)
}

/// Cosigns until it is stopped by a signal. `ready` gets the address that it listens at.
pub fn serve(
    place: &WitnessPlace,
    logs: &Path,
    listen: SocketAddr,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), Failures> {
    let witness = Witness {
        key: place.key()?,
        logs: self::logs(logs)?,
    };
    let kept = Kept::make(&place.directory).map_err(|error| failed(&error))?;
    // Two that ask and write in turn could cosign two histories of one log.
    let Some(_lock) = kept.lock().map_err(|error| failed(&error))? else {
        let text = format!(
            "another `hushpipe audit witness` uses {}\n  help: stop it first, or give this one a --directory of its own",
            printable_path(&place.directory)
        );
        return Err(vec![Failure::new(Exit::Deadline, text)]);
    };
    let mut signals = take_signals()?;
    runtime()?.block_on(async {
        let listener = Listener::tcp(listen).await;
        let listener = listener.map_err(os("cannot listen at the address of --listen"))?;
        ready(listener.address().unwrap_or(listen));
        let answer = |asked: Asked| answer(&witness, &kept, &asked);
        tokio::select! {
            biased;
            stopped = until_stopped(&mut signals) => stopped,
            never = crate::http::serve(&listener, Submission::LONGEST, &answer) => match never {},
        }
    })
}

/// One request at a time: what is checked and what is kept is one step.
fn answer(witness: &Witness, kept: &Kept, asked: &Asked) -> Reply {
    if asked.path != "/add-checkpoint" {
        return Reply::text(404, "a witness has add-checkpoint alone\n");
    }
    if asked.method != "POST" {
        return Reply::text(405, "POST a checkpoint\n");
    }
    match cosigned(witness, kept, &asked.body) {
        Ok(Ok(line)) => Reply::text(200, line),
        Ok(Err(Refusal::Conflict(size))) => Reply {
            content_type: SIZE,
            ..Reply::text(409, format!("{size}\n"))
        },
        Ok(Err(refusal)) => Reply::text(refusal.status(), format!("{refusal}\n")),
        Err(error) => {
            // It is this host's fault, and whoever runs it reads it here.
            eprintln!("hushpipe: error: no cosignature: {}", chain(&error));
            Reply::text(500, "the witness cannot read or write its records\n")
        }
    }
}

fn cosigned(
    witness: &Witness,
    kept: &Kept,
    body: &[u8],
) -> Result<Result<String, Refusal>, LogError> {
    let submission = match Submission::parse(body) {
        Ok(submission) => submission,
        Err(error) => return Ok(Err(Refusal::Malformed(error))),
    };
    let origin = match witness.origin(&submission) {
        Ok(origin) => origin,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let key = witness.key.verifier();
    let last = kept.read(origin, key)?.map(|last| last.head);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    let (_, note) = match witness.cosign(&submission, last.as_ref(), now) {
        Ok(cosigned) => cosigned,
        Err(refusal) => return Ok(Err(refusal)),
    };
    kept.write(origin, key, &note)?;
    let line = note[submission.note.len()..].to_owned();
    Ok(Ok(line))
}
