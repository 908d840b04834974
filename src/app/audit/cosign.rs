//! Asks a site's witnesses to cosign the log's checkpoint (c2sp.org/tlog-witness), and keeps what they gave.

use std::fmt;
use std::time::Duration;

use crate::audit::{Archive, Checkpoint, Cosigned, Kept, LogError, Note, Submission, VerifierKey};
use crate::http::{Answer, Http, HttpError, Method, Request, Settings, transient};
use crate::model::{Exit, WitnessSpec, chain};
use crate::secret::SecretBytes;

/// How long a witness is tried.
const DEADLINE: Duration = Duration::from_secs(20);

/// How often the witness's word on its last checkpoint is taken up.
const TRIES: usize = 4;

/// Why there is no cosignature.
#[derive(Debug)]
pub enum CosignError {
    /// The log cannot be read, or has no checkpoint.
    Log(LogError),
    /// The witness was not reached.
    Http(HttpError),
    /// It refused, for a reason that says nothing about the log's records.
    Refused(String),
    /// The log is not the one that it cosigned: so many records were under its last checkpoint.
    Rewritten(u64),
}

impl CosignError {
    /// hushpipe's exit code for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Log(_) => Exit::Deadline,
            Self::Http(_) => Exit::Unreachable,
            Self::Refused(_) => Exit::Denied,
            Self::Rewritten(_) => Exit::No,
        }
    }
}

impl fmt::Display for CosignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => f.write_str(&chain(error)),
            Self::Http(error) => error.fmt(f),
            Self::Refused(why) => f.write_str(why),
            Self::Rewritten(size) => write!(
                f,
                "the log does not continue the checkpoint of {size} records that this witness cosigned: it was \
                 rewritten or cut off"
            ),
        }
    }
}

impl From<LogError> for CosignError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// A witness of the site.
pub struct Cosigner {
    /// Its key.
    pub key: VerifierKey,
    http: Http,
}

impl Cosigner {
    /// Nothing is asked yet.
    pub fn new(spec: &WitnessSpec, key: VerifierKey) -> Self {
        let http = Http::new(Settings {
            addresses: vec![spec.url.clone()],
            tls: spec.tls.clone(),
            deadline: DEADLINE,
            classify: transient,
        });
        Self { key, http }
    }

    /// Submits the log's checkpoint, with a proof that it continues the last one that this witness cosigned.
    pub async fn ask(&self, archive: &Archive, kept: &Kept) -> Result<Cosigned, CosignError> {
        let (mut note, mut head) = newest(archive)?;
        // What was kept only saves a question: the witness says itself what it cosigned last.
        let last = kept.read(&head.origin, &self.key).ok().flatten();
        let mut old = last.map_or(0, |last| last.head.size);
        for _ in 0..TRIES {
            if old > head.size {
                // A checkpoint that another process submitted meanwhile?
                (note, head) = newest(archive)?;
                if old > head.size {
                    return Err(CosignError::Rewritten(old));
                }
            }
            let proof = archive.consistency(old, head.size)?;
            let answer = self.submit(Submission {
                old,
                proof,
                note: note.clone(),
            });
            let answer = answer.await.map_err(CosignError::Http)?;
            match answer.status {
                200 => return self.keep(&note, &head, &answer, kept),
                409 => match conflict(&answer)? {
                    same if same == old => return Err(CosignError::Rewritten(old)),
                    size => old = size,
                },
                422 => return Err(CosignError::Rewritten(old)),
                status => return Err(CosignError::Refused(refusal(status))),
            }
        }
        let why = "its last checkpoint changes with every question".to_owned();
        Err(CosignError::Refused(why))
    }

    async fn submit(&self, submission: Submission) -> Result<Answer, HttpError> {
        let body = SecretBytes::new(submission.to_string().into_bytes());
        let request = Request::new(Method::POST, "/add-checkpoint");
        let request = request.body(body, "text/plain; charset=utf-8");
        self.http.session()?.send(&request).await
    }

    fn keep(
        &self,
        note: &str,
        head: &Checkpoint,
        answer: &Answer,
        kept: &Kept,
    ) -> Result<Cosigned, CosignError> {
        let wrong = |why: &dyn fmt::Display| {
            CosignError::Refused(format!("its answer cannot be used: {why}"))
        };
        let lines = std::str::from_utf8(answer.body.expose()).map_err(|error| wrong(&error))?;
        let cosigned = format!("{note}{lines}");
        let cosigned = Cosigned::parse(cosigned.as_bytes(), &self.key);
        let cosigned = cosigned.map_err(|error| wrong(&error))?;
        kept.write(&head.origin, &self.key, &cosigned.note)?;
        Ok(cosigned)
    }
}

/// The log's checkpoint. Its signature is for the witness to check.
fn newest(archive: &Archive) -> Result<(String, Checkpoint), LogError> {
    let path = archive.at("checkpoint");
    let absent = || LogError::damaged(&path, "there is none yet");
    let bytes = archive.note()?.ok_or_else(absent)?;
    let wrong = |source| LogError::Checkpoint {
        path: path.clone(),
        source,
    };
    let note = Note::parse(&bytes).map_err(wrong)?;
    let head = Checkpoint::parse(note.text()).map_err(wrong)?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), head))
}

/// The size that a witness gives in place of a cosignature.
fn conflict(answer: &Answer) -> Result<u64, CosignError> {
    let size = std::str::from_utf8(answer.body.expose()).ok();
    let size = size.and_then(|text| text.trim_end().parse().ok());
    size.ok_or_else(|| {
        let why = "it answered 409 without the size of its last checkpoint";
        CosignError::Refused(why.to_owned())
    })
}

fn refusal(status: u16) -> String {
    match status {
        403 => {
            "it knows this log under another key (403): give it the output of `hushpipe audit key`"
        }
        404 => "it does not know this log (404): give it the output of `hushpipe audit key`",
        413 => "it takes no submission of this length (413)",
        _ => return format!("it answered {status}"),
    }
    .to_owned()
}
