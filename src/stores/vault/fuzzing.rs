//! For tests/fuzz: what a server answers.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::answer::{self, Secret};
use super::error::VaultError;
use super::kept::Given;
use super::lease::Lease;
use super::looked::{Kind, Look, State};
use super::term::Term;
use super::token::{Looked, Token};
use crate::model::{StoreName, Version};
use crate::secret::{Buffer, SecretBytes};
use crate::stores::{Fault, StoreError};
use crate::sys::clock::Boottime;

/// Stands in for what a message must not repeat.
const CANARY: &str = "c4nary-v4lue";

/// One answer, or two with a NUL between them: to a login and its renewal, to a fetch, to a look.
/// Any time that a server names can be counted with, and no fault repeats the answer.
pub fn vault(data: &[u8]) {
    let mut answers = data.splitn(2, |byte| *byte == 0);
    let mut next = || SecretBytes::new(answers.next().unwrap_or_default().to_vec());
    let (first, second) = (next(), next());
    login(&first, &second);
    if let Some(secret) = fine(Secret::read(&first)) {
        secret_is_kept(secret);
    }
    for pinned in [None, Some(2)] {
        fine::<()>(Err(answer::missing(&first, "kv/data/app", pinned)));
        if let Some(answer::Standing::There(version)) =
            answer::standing(&first, pinned, SystemTime::now())
        {
            assert!(pinned.is_none_or(|pinned| pinned == version.number));
        }
    }
}

/// The answer, where there was no fault; a fault is shown.
fn fine<T>(read: Result<T, Fault>) -> Option<T> {
    let fault = match read {
        Ok(read) => return Some(read),
        Err(fault) => fault,
    };
    let error = StoreError {
        store: StoreName::new("vault").expect("it is a name"),
        asked: Some("kv/data/app".to_owned()),
        fault,
    };
    assert!(!error.to_string().contains(CANARY), "{error}");
    None
}

fn login(first: &SecretBytes, second: &SecretBytes) {
    let now = Boottime::now();
    let Some(token) = fine(Token::granted(first, now)) else {
        if let Some(looked) = fine(answer::data::<Looked>(first)) {
            let token = Token::given(Buffer::new(b"t").expect("there is memory"));
            token.learn(&looked, now);
            token.ends();
        }
        return;
    };
    token.use_once();
    if let Err(VaultError::Asked(fault) | VaultError::Store(fault)) = token.header() {
        fine::<()>(Err(fault));
    }
    fine(token.renew(second, now));
    let usable = token.is_usable(now);
    assert!(!token.is_revocable(now) || usable);
    token.ends();
    assert!(!token.term().is_some_and(Term::is_renewable));
}

fn secret_is_kept(secret: Secret) {
    let (now, wall) = (Boottime::now(), SystemTime::now());
    let mut look = Look::new(Kind::Plain, State::Faulty);
    look.hint(secret.ttl);
    let token = Rc::new(Token::given(Buffer::new(b"t").expect("there is memory")));
    let lease = secret
        .lease
        .map(|granted| Rc::new(Lease::new(granted, "kv/data/app", now, Some(token))));
    if let Some(lease) = &lease {
        let renewed = lease.term().renewed(now, Duration::from_secs(7), true);
        assert!(renewed.due() <= renewed.end());
    }
    let term = secret.ttl.map(|ttl| Term::new(now, ttl, false));
    let version = Version("v1".to_owned());
    let given = Given::new(&secret.fields, version, lease, term).expect("there is memory");
    if let (Some(replaced), Some(left)) = (given.replaced_in(now, wall), given.left(now, wall)) {
        assert!(replaced <= left, "it is replaced after its end");
    }
    for (name, bytes) in &secret.fields {
        assert!(given.field(name).is_some_and(|kept| kept.same(bytes)));
    }
}
