//! A record as a reader of many needs it: what the graph and the report use of it, borrowed from the line.
//! Other fields are skipped, and a field that is not there is empty: records of later versions are read too.

use std::borrow::Cow;

use serde::Deserialize;

/// What a record says: see `audit::Record`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Line<'a> {
    /// Its number.
    pub seq: u64,
    /// RFC 3339.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    /// Where.
    #[serde(borrow)]
    pub host: Cow<'a, str>,
    /// Of that host.
    #[serde(borrow)]
    pub boot: Cow<'a, str>,
    /// Which launcher or command, in hex.
    #[serde(borrow)]
    pub launcher: Cow<'a, str>,
    /// `service:`
    #[serde(borrow)]
    pub service: Cow<'a, str>,
    /// Its program, or the command's name.
    #[serde(borrow)]
    pub program: Cow<'a, str>,
    /// The word of `audit::Kind`.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// 1 is success, 2 is failure.
    pub status_id: u32,
    /// In words.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    /// `launch` or `rotation`.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// Of its launcher.
    pub generation: Option<u64>,
    /// What it is about.
    #[serde(borrow)]
    pub secrets: Vec<Secret<'a>>,
    /// Of a release without decisions.
    #[serde(borrow)]
    pub facts: Option<Facts<'a>>,
    /// What policy was asked.
    #[serde(borrow)]
    pub query: Option<Query<'a>>,
    /// What it said.
    #[serde(borrow)]
    pub ruling: Option<Ruling<'a>>,
    /// Of which incident.
    #[serde(borrow)]
    pub incident: Option<Incident<'a>>,
}

/// See `model::incident::IncidentNote`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Incident<'a> {
    /// Its id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// A step of its playbook. `None`: it is about all of them.
    #[serde(borrow)]
    pub step: Option<Cow<'a, str>>,
    /// From the opening until no program had the old value, in milliseconds.
    pub contained_ms: Option<u64>,
}

/// See `audit::Secret`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Secret<'a> {
    /// In the manifest.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Its name in the manifest.
    #[serde(borrow)]
    pub store: Cow<'a, str>,
    /// What the store was asked for.
    #[serde(borrow)]
    pub asked: Cow<'a, str>,
    /// What the store calls the value.
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// `classification:`
    #[serde(borrow)]
    pub classification: Cow<'a, str>,
    /// `owner:`
    #[serde(borrow)]
    pub owner: Cow<'a, str>,
    /// Where it went.
    #[serde(borrow)]
    pub deliveries: Vec<Delivery<'a>>,
    /// In hex.
    #[serde(borrow)]
    pub fingerprints: Vec<Hex<'a>>,
}

/// One delivery.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Delivery<'a> {
    /// `file`, `fd`, ...
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// A path, a number.
    #[serde(borrow)]
    pub place: Cow<'a, str>,
}

/// Text that is borrowed where it has no escapes.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Hex<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// The facts of a launch: see `model::query::Facts`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Facts<'a> {
    /// What is executed.
    #[serde(borrow)]
    pub program: Program<'a>,
    /// The site's, or the manifest's.
    #[serde(borrow)]
    pub environment: Cow<'a, str>,
    /// Who signed it.
    #[serde(borrow)]
    pub manifest: Manifest<'a>,
    /// Whether somebody went past policy.
    pub break_glass: bool,
    /// Why, as a person said it.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// The user of a program.
    #[serde(borrow)]
    pub user: Cow<'a, str>,
    /// `private` or `shared`; of a query alone.
    #[serde(borrow)]
    pub isolation: Cow<'a, str>,
}

/// The program that was judged.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Program<'a> {
    /// Its path.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Of its bytes.
    #[serde(borrow)]
    pub sha256: Cow<'a, str>,
}

/// The manifest of a launch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Manifest<'a> {
    /// Its path.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Who signed it.
    #[serde(borrow)]
    pub signed_by: Cow<'a, str>,
}

/// What policy was asked: see `model::query::Query`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Query<'a> {
    /// Who.
    #[serde(borrow)]
    pub principal: Named<'a>,
    /// `deliver`, `reveal`, ...
    #[serde(borrow)]
    pub action: Cow<'a, str>,
    /// With what.
    #[serde(borrow)]
    pub resource: Named<'a>,
    /// All else: the facts are members of it.
    #[serde(borrow)]
    pub context: Facts<'a>,
}

/// A service, a person or a secret.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Named<'a> {
    /// `Service`, `Person` or `Secret`.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    /// Its name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// `owner:`
    #[serde(borrow)]
    pub owner: Cow<'a, str>,
    /// `environment:`
    #[serde(borrow)]
    pub environment: Cow<'a, str>,
    /// Of a secret.
    #[serde(borrow)]
    pub store: Cow<'a, str>,
    /// Of a secret.
    #[serde(borrow)]
    pub store_type: Cow<'a, str>,
    /// What the store is asked.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Of a secret.
    #[serde(borrow)]
    pub classification: Cow<'a, str>,
    /// Seconds since its version was made; 0: not known.
    pub age: i64,
}

/// What policy said.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ruling<'a> {
    /// `allow`, `deny`, `pending`.
    #[serde(borrow)]
    pub effect: Cow<'a, str>,
    /// Ids of the policies that decided.
    #[serde(borrow)]
    pub policies: Vec<Hex<'a>>,
}

impl<'a> Line<'a> {
    /// Parses a line. An error: it is no record.
    pub fn parse(line: &'a [u8]) -> Result<Self, &'static str> {
        // Checked once; text within is then borrowed as it is.
        let text = str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
        let line: Self = serde_json::from_str(text).map_err(|_| "it is no record")?;
        if line.kind.is_empty() || line.host.is_empty() || line.time.is_empty() {
            return Err("it has no kind, host or time");
        }
        Ok(line)
    }
}
