//! What is given again, kept alive and given back.

use super::*;
use crate::secret::Buffer;
use crate::stores::vault::answer::Granted;
use crate::stores::vault::token::Token;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn token() -> Rc<Token> {
    Rc::new(Token::given(Buffer::new(b"token").unwrap()))
}

fn fields(text: &str) -> BTreeMap<String, Field> {
    let bytes = SecretBytes::new(text.as_bytes().to_vec());
    BTreeMap::from([("password".to_owned(), bytes.into())])
}

/// A value `name` with a lease of that id, given at `since` for a minute.
pub(super) fn given(name: &str, since: Boottime, renewable: bool) -> Given {
    let granted = Granted {
        id: name.to_owned(),
        ttl: s(60),
        renewable,
    };
    let lease = Rc::new(Lease::new(granted, "creds/app", since, Some(token())));
    Given::new(&fields(name), Version(name.to_owned()), Some(lease), None).unwrap()
}

pub(super) fn version(name: &str) -> Version {
    Version(name.to_owned())
}

pub(super) fn ids<'a>(leases: impl IntoIterator<Item = &'a Rc<Lease>>) -> Vec<&'a str> {
    leases.into_iter().map(|lease| lease.id.as_str()).collect()
}

pub(super) fn seen(kept: &Kept, now: Boottime) -> Option<String> {
    let fetched = kept.again(now, SystemTime::now())?;
    let bytes = fetched.value.field("password")?.expose().to_vec();
    Some(String::from_utf8(bytes).unwrap())
}

#[test]
fn it_is_given_again_until_it_is_over_or_expired() {
    let now = Boottime::now();
    let mut kept = Kept::new(given("a", now, true), None);
    assert_eq!(seen(&kept, now + s(59)).as_deref(), Some("a"));
    assert_eq!(seen(&kept, now + s(60)), None);
    kept.expire();
    assert_eq!(seen(&kept, now), None);
    kept.stays();
    assert_eq!(seen(&kept, now).as_deref(), Some("a"));
}

#[test]
fn only_what_cannot_be_renewed_is_replaced() {
    let (now, wall) = (Boottime::now(), SystemTime::now());
    let kept = Kept::new(given("a", now, true), None);
    assert_eq!(kept.replaced_in(now + s(59), wall), None);
    assert_eq!(kept.replaced_in(now + s(60), wall), Some(s(0)));
    let kept = Kept::new(given("a", now, false), None);
    let wait = kept.replaced_in(now, wall).unwrap();
    assert!(wait >= s(38) && wait <= s(40), "{wait:?}");
}

#[test]
fn what_was_before_is_kept_alive_until_the_new_one_is_adopted() {
    let now = Boottime::now();
    let mut kept = Kept::new(given("a", now, true), None);
    kept.expire();
    kept.take(given("b", now, true), None);
    assert_eq!(ids(kept.alive()), ["b", "a"]);
    assert_eq!(seen(&kept, now).as_deref(), Some("b"));
    kept.adopted(&version("a"));
    assert_eq!(ids(kept.alive()), ["b", "a"]);
    kept.adopted(&version("b"));
    assert_eq!(ids(kept.alive()), ["b"]);
    assert!(kept.unused().is_empty());
    // It runs out by itself, and is revoked at the end of hushpipe.
    assert_eq!(ids(&kept.leases(now)), ["b", "a"]);
    kept.sweep(now + s(60), SystemTime::now());
    assert!(kept.leases(now + s(60)).is_empty());
}

#[test]
fn what_is_rejected_is_given_back_and_another_one_tried_later() {
    let (now, wall) = (Boottime::now(), SystemTime::now());
    let mut kept = Kept::new(given("a", now, true), None);
    kept.expire();
    kept.take(given("b", now, true), None);
    kept.rejected(&version("b"), now);
    assert_eq!(ids(kept.alive()), ["a"]);
    assert_eq!(ids(kept.unused()), ["b"]);
    assert_eq!(seen(&kept, now).as_deref(), Some("a"));
    let wait = kept.replaced_in(now, wall).unwrap();
    assert!(wait >= s(1) && wait <= FIRST_AGAIN, "{wait:?}");
    kept.settle("b");
    assert!(kept.unused().is_empty());
    // The next one is not replaced as soon as it is there.
    kept.expire();
    kept.take(given("c", now + s(20), true), None);
    assert_eq!(kept.replaced_in(now + s(20), wall), None);
}

/// `a`, then `b`, which the program has.
fn adopted_b(now: Boottime) -> Kept {
    let mut kept = Kept::new(given("a", now, true), None);
    kept.expire();
    kept.take(given("b", now, true), None);
    kept.adopted(&version("b"));
    kept
}

#[test]
fn one_that_the_program_had_is_used_on_when_it_is_handed_over_again() {
    let (now, wall) = (Boottime::now(), SystemTime::now());
    let mut kept = adopted_b(now);
    assert!(kept.is_good(&version("a"), now, wall));
    kept.rejected(&version("b"), now);
    kept.adopted(&version("a"));
    assert_eq!(seen(&kept, now).as_deref(), Some("a"));
    assert_eq!(ids(kept.alive()), ["a"]);
    assert_eq!(ids(kept.unused()), ["b"]);
    assert_eq!(ids(&kept.leases(now)), ["a", "b"]);
    // It is not replaced but for a reason of its own.
    assert_eq!(kept.replaced_in(now, wall), None);
    // And there is none before it.
    kept.rejected(&version("a"), now);
    assert_eq!(seen(&kept, now).as_deref(), Some("a"));
    assert!(!kept.is_good(&version("b"), now, wall));
}

#[test]
fn one_that_is_over_is_not_good_to_be_handed_over_again() {
    let (now, wall) = (Boottime::now(), SystemTime::now());
    let mut kept = adopted_b(now);
    assert!(kept.is_good(&version("a"), now + s(59), wall));
    assert!(!kept.is_good(&version("a"), now + s(60), wall));
    kept.sweep(now + s(60), wall);
    assert!(kept.former.is_none());
    assert!(!kept.is_good(&version("a"), now, wall));
}

#[test]
fn one_that_cannot_be_renewed_is_replaced_when_it_is_handed_over_again() {
    let (now, wall) = (Boottime::now(), SystemTime::now());
    let mut kept = Kept::new(given("a", now, false), None);
    kept.expire();
    kept.take(given("b", now + s(40), false), None);
    kept.adopted(&version("b"));
    kept.rejected(&version("b"), now + s(41));
    kept.adopted(&version("a"));
    assert_eq!(kept.replaced_in(now + s(41), wall), Some(s(0)));
}

#[test]
fn one_that_never_reached_the_program_is_given_back_when_another_comes() {
    let now = Boottime::now();
    let mut kept = Kept::new(given("a", now, true), None);
    kept.expire();
    kept.take(given("b", now, true), None);
    kept.expire();
    kept.take(given("c", now, true), None);
    assert_eq!(ids(kept.alive()), ["c", "a"]);
    assert_eq!(ids(kept.unused()), ["b"]);
    kept.rejected(&version("c"), now);
    assert_eq!(seen(&kept, now).as_deref(), Some("a"));
}

#[test]
fn a_certificate_that_ends_before_it_starts_is_replaced_by_then() {
    let mut parameters = rcgen::CertificateParams::new(["web".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2090, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2080, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = parameters.self_signed(&key).unwrap().pem();
    let fields = BTreeMap::from([
        (
            "certificate".to_owned(),
            SecretBytes::new(pem.into_bytes()).into(),
        ),
        (
            "private_key".to_owned(),
            SecretBytes::new(b"k".to_vec()).into(),
        ),
    ]);
    let given = Given::new(&fields, version("v1"), None, None).unwrap();
    let (now, wall) = (Boottime::now(), SystemTime::now());
    assert!(given.replaced_in(now, wall).unwrap() <= given.left(now, wall).unwrap());
}
