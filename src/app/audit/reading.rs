//! Reading the log, for `hushpipe audit`. It is recorded that it was read, and how.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

#[cfg(feature = "monitor")]
use super::cosign::{CosignError, Cosigner};
use super::keys::{LONGEST_KEY, fingerprint_key, open, place, unread};
use super::recorder::{PATIENCE, writer};
#[cfg(feature = "monitor")]
use crate::app::event_loop::runtime;
use crate::app::facts;
use crate::app::failure::{Failure, Failures, os};
use crate::audit::{
    Archive, Checkpoint, Cosigned, Draft, Entry, Finding, Fingerprint, Kept, Kind, LogError, Place,
    Record, Seen, SignerKey, Since, Verified, VerifierKey, seq, verify,
};
use crate::model::printable::{printable, printable_path};
use crate::model::query::Facts;
use crate::model::{AuditSpec, Exit, Site, chain};
use crate::secret::{SecretBytes, Trusted};
use crate::sys::process;

/// A value that is looked for has no more bytes than this.
const LONGEST_VALUE: usize = 1 << 20;

/// A log that is read.
pub struct Reading {
    archive: Archive,
    place: Place,
    spec: Option<AuditSpec>,
    /// Who reads.
    facts: Option<Facts>,
    /// Where the site's monitor keeps cosigned checkpoints.
    kept: PathBuf,
}

/// A witness that was asked, by name: how many records it cosigned.
#[cfg(feature = "monitor")]
pub type Asked = (String, Result<u64, CosignError>);

/// What a log is compared with, beside itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared<'a> {
    /// An older checkpoint's file.
    pub since: Option<&'a Path>,
    /// Who must have cosigned that one: verifier keys.
    pub witnesses: &'a [String],
}

/// Which records are wanted: all that are given must fit.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this service.
    pub service: Option<String>,
    /// With this secret.
    pub secret: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Not before this time (RFC 3339).
    pub since: Option<String>,
    /// Before this time.
    pub until: Option<String>,
    /// With one of these fingerprints.
    pub fingerprints: Option<Vec<Fingerprint>>,
}

/// A record, for people and for machines.
#[derive(Clone, Debug)]
pub struct Row {
    /// Number, time, service, kind, secrets, and words; printable.
    pub cells: [String; 6],
    /// The line as it is in the log.
    pub json: String,
}

impl Filter {
    fn fits(&self, record: &Record<'_>) -> bool {
        let entry = &record.entry;
        let secrets = || entry.secrets.iter();
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        is(&self.service, &record.service)
            && is(&self.kind, entry.kind.word())
            && self
                .since
                .as_deref()
                .is_none_or(|since| &*record.time >= since)
            && self
                .until
                .as_deref()
                .is_none_or(|until| &*record.time < until)
            && self
                .secret
                .as_ref()
                .is_none_or(|wanted| secrets().any(|one| one.name == *wanted))
            && self.fingerprints.as_ref().is_none_or(|wanted| {
                secrets()
                    .flat_map(|one| &one.fingerprints)
                    .any(|one| wanted.contains(one))
            })
    }
}

fn row(record: &Record<'_>, line: &[u8]) -> Row {
    let entry = &record.entry;
    let secrets = entry
        .secrets
        .iter()
        .map(|secret| match secret.version.as_str() {
            "" => secret.name.clone(),
            version => format!("{} {version}", secret.name),
        });
    let secrets: Vec<String> = secrets.collect();
    let words = match entry.code {
        Some(code) => format!("code {code}"),
        None if entry.message.is_empty() => entry.reason.clone(),
        None => entry.message.clone(),
    };
    let cells = [
        record.seq.to_string(),
        record.time.to_string(),
        record.service.to_string(),
        entry.kind.word().to_owned(),
        secrets.join(", "),
        words,
    ];
    Row {
        cells: cells.map(|cell| printable(&cell)),
        json: String::from_utf8_lossy(line).into_owned(),
    }
}

/// As a person is told.
pub fn failed(error: &LogError) -> Failures {
    let help = error.help().map(|help| format!("\n  help: {help}"));
    let text = chain(error) + &help.unwrap_or_default();
    vec![Failure::new(Exit::Deadline, text)]
}

/// A value, as it is.
fn value(from: impl Read) -> Result<SecretBytes, Failures> {
    // With room for all of it, so that no copy is left by growing.
    let mut bytes = Vec::with_capacity(LONGEST_VALUE + 1);
    let read = from.take(LONGEST_VALUE as u64 + 1).read_to_end(&mut bytes);
    let value = SecretBytes::new(bytes);
    read.map_err(os("cannot read the value from standard input"))?;
    match value.expose().len() {
        0 => Err(usage("no value on standard input")),
        length if length > LONGEST_VALUE => {
            Err(usage("the value on standard input has more than 1 MiB"))
        }
        _ => Ok(value),
    }
}

fn usage(text: impl Into<String>) -> Failures {
    vec![Failure::new(Exit::Usage, text.into())]
}

/// An older checkpoint, by the log's key and those of witnesses.
fn since(path: &Path, key: &VerifierKey, witnesses: &[String]) -> Result<Since, Failures> {
    let note = Trusted::new(&[]).read(path, 64 << 10);
    let note = note.map_err(|error| usage(format!("--since: {}", unread(error))))?;
    let name = printable_path(path);
    let head = Checkpoint::open(note.expose(), key);
    let head = head.map_err(|error| usage(format!("--since {name}: {error}")))?;
    for text in witnesses {
        let witness = witness_key(text)?;
        Cosigned::parse(note.expose(), &witness)
            .map_err(|error| usage(format!("--since {name}: {}: {error}", witness.name())))?;
    }
    Ok(Since { name, head })
}

/// Of a site, or of an option.
pub fn witness_key(text: &str) -> Result<VerifierKey, Failures> {
    let why = match VerifierKey::parse(text) {
        Ok(key) if key.is_witness() => return Ok(key),
        Ok(_) => "it is the key of a log".to_owned(),
        Err(error) => error.to_string(),
    };
    let text = format!("{}: no key of a witness: {why}", printable(text));
    Err(vec![Failure::new(Exit::Manifest, text)])
}

fn rfc3339(seconds: u64) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    let time = time.unwrap_or(SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_seconds(time).to_string()
}

impl Reading {
    /// Of the site's log, or of a copy in that directory.
    pub fn new(site: Option<&Site>, directory: Option<&Path>) -> Result<Self, Failures> {
        let spec = site.and_then(|site| site.audit.clone());
        let place = match (directory, &spec) {
            (Some(directory), _) => Place {
                directory: directory.to_owned(),
                key_file: PathBuf::new(),
            },
            (None, Some(spec)) => place(spec),
            (None, None) => {
                let text = "this host's site has no `audit`: name a log by --directory";
                return Err(vec![Failure::new(Exit::Manifest, text.to_owned())]);
            }
        };
        let archive = Archive::open(&place.directory).map_err(|error| failed(&error))?;
        let spec = spec.filter(|_| directory.is_none());
        let facts = site.map(|site| facts::of_command(None, site));
        Ok(Self {
            archive,
            place,
            spec,
            facts,
            kept: site
                .map(|site| site.monitor.directory.clone())
                .unwrap_or_default(),
        })
    }

    /// Records that the log is read. Whoever may not write it reads without.
    pub fn note(&self, how: &str) -> Result<(), String> {
        let Some(spec) = &self.spec else {
            return Ok(());
        };
        let uid = self.facts.as_ref().map(|facts| facts.uid);
        let entry = Entry::new(Kind::Read).saying(how);
        let draft = Draft::now(Entry {
            facts: self.facts.clone().map(Box::new),
            ..entry.by(uid.map(|uid| (process::id(), uid)))
        });
        let written = open(spec).and_then(|mut log| {
            let mut hold = log.hold(PATIENCE)?;
            hold.append(&[draft], &writer("", "hushpipe audit"), false)?;
            hold.sign()
        });
        written.map_err(|error| format!("this reading is not on record: {}", chain(&error)))
    }

    /// The verifier key: given as a vkey or as a file with one, or of the site's key file.
    pub fn key(&self, given: Option<&str>) -> Result<VerifierKey, Failures> {
        let wrong = |text: &str, why: &dyn std::fmt::Display| usage(format!("--key {text}: {why}"));
        if let Some(text) = given {
            if let Ok(key) = VerifierKey::parse(text) {
                return Ok(key);
            }
            let read = Trusted::new(&[]).read(Path::new(text), LONGEST_KEY);
            let read = read.map_err(|error| wrong(text, &unread(error)))?;
            let read = String::from_utf8_lossy(read.expose()).trim().to_owned();
            return VerifierKey::parse(&read).map_err(|error| wrong(text, &error));
        }
        if self.place.key_file.as_os_str().is_empty() {
            return Err(usage(
                "a log of --directory needs --key: `hushpipe audit key` on its host prints it",
            ));
        }
        let path = &self.place.key_file;
        let read = Trusted::new(&[]).read(path, LONGEST_KEY);
        let read = read.map_err(|error| {
            let why = unread(error);
            usage(format!(
                "the audit key cannot be read: {why}\n  help: give its public half by --key"
            ))
        })?;
        let text = std::str::from_utf8(read.expose()).unwrap_or_default();
        let key = SignerKey::parse(text).map_err(|error| {
            let path = path.clone();
            let why = error.to_string();
            failed(&LogError::Key { path, why })
        })?;
        Ok(key.verifier().clone())
    }

    /// What a value would be recorded as, by the site's key: as it comes, and without or with the line
    /// end that an editor or echo(1) adds.
    pub fn fingerprints(&self, from: impl Read) -> Result<Vec<Fingerprint>, Failures> {
        let key = match &self.spec {
            Some(spec) => fingerprint_key(spec)?,
            None => None,
        };
        let key = key.ok_or_else(|| {
            usage("the site has no audit.fingerprint_key_file: values cannot be found")
        })?;
        let value = value(from)?;
        let value = value.expose();
        let bare = value.strip_suffix(b"\n").unwrap_or(value);
        let ended = SecretBytes::new([bare, b"\n"].concat());
        let mut found = [value, bare, ended.expose()].map(|one| Fingerprint::new(&key.of(one)));
        found.sort_unstable();
        let mut found = found.to_vec();
        found.dedup();
        Ok(found)
    }

    /// Shows the records that fit. Lines that are no records are shown by `verify`.
    pub fn rows(&self, filter: &Filter, mut show: impl FnMut(Row) -> bool) -> Result<(), Failures> {
        let shown = self.archive.lines(0, |line| {
            Ok(match Record::parse(line.text) {
                Ok(record) if line.whole && filter.fits(&record) => show(row(&record, line.text)),
                _ => true,
            })
        });
        shown.map_err(|error| failed(&error))
    }

    /// All records as they are, one after the other.
    pub fn stream(&self) -> Result<Box<dyn BufRead>, Failures> {
        let files = self.archive.files().map_err(|error| failed(&error))?;
        let none: Box<dyn BufRead> = Box::new(std::io::empty());
        let all = files.into_iter().map(BufReader::new);
        Ok(all.fold(none, |before, file| Box::new(before.chain(file))))
    }

    /// Removes the closed segments whose records are all older than that, and records it. Gives the number
    /// of the first record that is left.
    pub fn prune(&self, before: SystemTime) -> Result<u64, Failures> {
        let Some(spec) = &self.spec else {
            return Err(usage("a copy of a log is not pruned: remove it"));
        };
        let before = humantime::format_rfc3339_micros(before).to_string();
        let mut below = 0;
        let shown = self.archive.lines(0, |line| {
            Ok(match Record::parse(line.text) {
                Ok(record) if *record.time < *before => {
                    below = record.seq + 1;
                    true
                }
                // What is no record is left for `verify` to show.
                _ => false,
            })
        });
        shown.map_err(|error| failed(&error))?;
        let pruned = open(spec).and_then(|mut log| {
            let mut hold = log.hold(PATIENCE)?;
            hold.prune(below, &writer("", "hushpipe audit"))
        });
        pruned.map_err(|error| failed(&error))
    }

    /// Whether all of it is as it was written, and continues what was kept elsewhere.
    pub fn verify(&self, key: &VerifierKey, with: Compared<'_>) -> Result<Verified, Failures> {
        let mut heads = Vec::new();
        if let Some(path) = with.since {
            heads.push(since(path, key, with.witnesses)?);
        } else if !with.witnesses.is_empty() {
            return Err(usage(
                "--witness needs --since: the checkpoint that it cosigned",
            ));
        }
        let mut missing = Vec::new();
        let mut cosigned = Vec::new();
        for witness in self.witnesses()? {
            match self.cosigned(key, &witness) {
                Ok(kept) => {
                    heads.push(Since {
                        name: format!("checkpoint of witness {}", witness.name()),
                        head: kept.head.clone(),
                    });
                    cosigned.push((witness.name().to_owned(), kept));
                }
                Err(finding) => missing.push(finding),
            }
        }
        let mut verified = verify(&self.archive, key, &heads).map_err(|error| failed(&error))?;
        verified.findings.extend(missing);
        verified.cosigned = cosigned
            .into_iter()
            .map(|(witness, kept)| Seen {
                witness,
                size: kept.head.size,
                time: rfc3339(kept.time),
            })
            .collect();
        Ok(verified)
    }

    /// The keys of the site's witnesses.
    fn witnesses(&self) -> Result<Vec<VerifierKey>, Failures> {
        let specs = self.spec.iter().flat_map(|spec| &spec.witnesses);
        specs.map(|spec| witness_key(&spec.key)).collect()
    }

    /// What the monitor kept of a witness. A finding: there is nothing that counts.
    fn cosigned(&self, key: &VerifierKey, witness: &VerifierKey) -> Result<Cosigned, Finding> {
        let read = Kept::open(&self.kept).and_then(|kept| match kept {
            Some(kept) => kept.read(key.name(), witness),
            None => Ok(None),
        });
        let what = match read {
            Ok(Some(kept)) => return Ok(kept),
            Ok(None) => "there is none: `hushpipe monitor` and `hushpipe audit cosign` ask for it"
                .to_owned(),
            Err(error) => chain(&error),
        };
        let place = format!("checkpoint of witness {}", witness.name());
        Err(Finding { place, what })
    }

    /// What the site's witnesses have against the log as it is. The error is of a witness that could not be
    /// asked, or does not know the log.
    #[cfg(feature = "monitor")]
    pub fn objections(&self) -> Result<Vec<Finding>, Failures> {
        let (mut findings, mut failures) = (Vec::new(), Vec::new());
        for (name, said) in self.cosign()? {
            let Err(error) = said else {
                continue;
            };
            let what = error.to_string();
            if error.exit() == Exit::No {
                let place = format!("witness {name}");
                findings.push(Finding { place, what });
            } else {
                let text = format!("witness {name}: {what}");
                failures.push(Failure::new(error.exit(), text));
            }
        }
        if failures.is_empty() || !findings.is_empty() {
            return Ok(findings);
        }
        Err(failures)
    }

    /// Asks each witness of the site to cosign the log as it is.
    #[cfg(feature = "monitor")]
    pub fn cosign(&self) -> Result<Vec<Asked>, Failures> {
        let specs = self.spec.iter().flat_map(|spec| &spec.witnesses);
        let witnesses: Vec<Cosigner> = specs
            .map(|spec| Ok(Cosigner::new(spec, witness_key(&spec.key)?)))
            .collect::<Result<_, Failures>>()?;
        if witnesses.is_empty() {
            let text = "this host's site has no `audit.witnesses`".to_owned();
            return Err(vec![Failure::new(Exit::Manifest, text)]);
        }
        let kept = Kept::make(&self.kept).map_err(|error| failed(&error))?;
        runtime()?.block_on(async {
            let mut said = Vec::new();
            for witness in &witnesses {
                let cosigned = witness.ask(&self.archive, &kept).await;
                let cosigned = cosigned.map(|cosigned| cosigned.head.size);
                said.push((witness.key.name().to_owned(), cosigned));
            }
            Ok(said)
        })
    }

    /// The signed head, as it was written.
    pub fn checkpoint(&self) -> Result<String, Failures> {
        let note = self.archive.note().map_err(|error| failed(&error))?;
        let note = note.ok_or_else(|| {
            failed(&LogError::damaged(
                self.archive.at("checkpoint"),
                "there is none yet",
            ))
        })?;
        Ok(String::from_utf8_lossy(&note).into_owned())
    }

    /// The proof that a record is in the log; and the record, if it is still there.
    pub fn prove(&self, index: u64, key: &VerifierKey) -> Result<String, Failures> {
        let proof = self
            .archive
            .prove(index, key)
            .map_err(|error| match error {
                LogError::NoRecord { .. } => usage(chain(&error)),
                other => failed(&other),
            })?;
        if let Some(line) = self.archive.line(index).map_err(|error| failed(&error))? {
            debug_assert_eq!(seq(&line), Some(index));
            let wrong = |error| {
                failed(&LogError::damaged(
                    self.archive.at("records.jsonl"),
                    format!("record {index}: {error}"),
                ))
            };
            proof.verify(&line, key).map_err(wrong)?;
        }
        Ok(proof.to_string())
    }
}
