//! Plans and values for the tests of this room.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use crate::model::template::Template;
use crate::model::{
    Channel, Delivery, DeliveryKind, EnvSpec, FdKind, FileMode, FileSpec, Forward, Isolation,
    Leftovers, Mode, OnRotate, OwnerSpec, Place, Plan, RotateAction, RunSpec, SecretName,
    SecretRef, Signal, Stop,
};
use crate::secret::{SecretBytes, Value};

pub(super) fn plan(deliveries: Vec<(DeliveryKind, Channel)>) -> Plan {
    let numbered = deliveries.into_iter().enumerate();
    Plan {
        manifest: "hushpipe.yaml".into(),
        manifest_file: None,
        manifest_sha256: None,
        manifest_signer: None,
        manifest_variables: None,
        service: "test".to_owned(),
        environment: None,
        owner: None,
        labels: std::collections::BTreeMap::new(),
        stores: BTreeMap::new(),
        secrets: BTreeMap::new(),
        deliveries: numbered
            .map(|(index, (kind, channel))| Delivery {
                at: Place {
                    line: index + 1,
                    column: 5,
                },
                kind,
                channel,
            })
            .collect(),
        isolation: Isolation::Auto,
        mode: Mode::Supervise,
        run: run(),
        on_rotate: OnRotate::only(RotateAction::Nothing, std::time::Duration::ZERO),
        warnings: Vec::new(),
    }
}

fn run() -> RunSpec {
    RunSpec {
        command: vec!["true".into()],
        user: None,
        group: None,
        supplementary_groups: None,
        cwd: None,
        umask: None,
        env: EnvSpec::default(),
        fds: Vec::new(),
        sha256: None,
        judged: false,
        startup: crate::model::Startup::default(),
        stop: Stop {
            signal: Signal::TERM,
            timeout: std::time::Duration::from_secs(30),
            leftovers: Leftovers::Terminate,
        },
        forward: Forward::default(),
        core_dumps: false,
        no_new_privs: true,
        redact: Vec::new(),
        rlimits: BTreeMap::new(),
    }
}

fn spec(path: &Path) -> FileSpec {
    FileSpec {
        path: path.to_owned(),
        mode: FileMode::default(),
        owner: OwnerSpec::default(),
        link: None,
    }
}

pub(super) fn file(path: impl AsRef<Path>) -> DeliveryKind {
    DeliveryKind::File(spec(path.as_ref()))
}

pub(super) fn secret(reference: &str) -> Channel {
    Channel::Secret(SecretRef::parse(reference).unwrap())
}

pub(super) fn template(content: &str) -> Channel {
    let environment = minijinja::Environment::empty();
    // One that cannot be parsed has none; a manifest refuses it.
    let template = environment.template_from_str(content);
    let names = template.map_or_else(|_| HashSet::new(), |it| it.undeclared_variables(true));
    let names = names.iter().filter_map(|name| SecretRef::parse(name).ok());
    Channel::Template(Template::new(content.to_owned(), names.collect()))
}

/// `token` is raw; `db` has fields; `binary` is no text.
pub(super) fn values() -> BTreeMap<SecretName, Rc<Value>> {
    let bytes = |bytes: &[u8]| SecretBytes::new(bytes.to_vec());
    let fields = [
        ("password", &b"s3cr:t"[..]),
        ("username", b"app"),
        ("blob", b"\xff\x00\xfe"),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), bytes(value).into()));
    BTreeMap::from([
        (name("token"), Rc::new(Value::bytes(bytes(b"t0ken-value")))),
        (name("binary"), Rc::new(Value::bytes(bytes(b"\xff\0\n")))),
        (name("db"), Rc::new(Value::Fields(BTreeMap::from(fields)))),
    ])
}

pub(super) fn name(name: &str) -> SecretName {
    SecretName::new(name).unwrap()
}

pub(super) fn payloads(payloads: &[&[u8]]) -> Vec<SecretBytes> {
    let payloads = payloads.iter();
    payloads
        .map(|bytes| SecretBytes::new(bytes.to_vec()))
        .collect()
}

/// A directory on tmpfs, as a private mount or a shared directory has it.
pub(super) fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

pub(super) fn fifo(path: impl AsRef<Path>, max_reads: Option<u64>) -> DeliveryKind {
    DeliveryKind::Fifo {
        file: spec(path.as_ref()),
        max_reads,
    }
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

pub(super) fn fd(number: i32, kind: FdKind) -> DeliveryKind {
    DeliveryKind::Fd {
        number,
        kind,
        mode: FileMode::default(),
        owner: OwnerSpec::default(),
    }
}
