//! For tests/fuzz: the files of a store, and what lies beside it.

use std::path::Path;

use super::age_file::{open, seal};
use super::binding::{Binding, Found};
use super::identity::{self, Parsed};
use super::index::{Signed, StoreId};
use super::key::Key;
use super::recipients::{self, Recipients};
use super::versions::{read_event, version_of};

/// Made for this; the seeds are sealed for it.
const IDENTITY: &str = "AGE-SECRET-KEY-1T6PETHQEMTFY4SXDU3FJ2TWJNXKK2889J5GS76KKY7D9S7E5EAEQWTE43W";
const RECIPIENT: &str = "age1sg2jw6hjtgn9j308w949s4zdq4cv0nak6j3xan32g706unv9vgyqnplf5k";

/// An age file is opened or refused. Anything else is read as the other files of a store, and says
/// what is to be sealed, and which byte of it is damaged: then it must be refused.
pub fn sealed(data: &[u8]) {
    let here = Path::new("fuzz");
    let identities = identity::parse(here, IDENTITY.as_bytes());
    let Ok(identities) = identities else {
        panic!("the identity is one");
    };
    if data.starts_with(b"age-") || data.starts_with(b"-----BEGIN AGE") {
        if let Ok((plain, _)) = open(here, data, &identities, here) {
            assert!(plain.len() < data.len());
        }
        return;
    }
    if let Some(signed) = std::str::from_utf8(data).ok().and_then(Signed::parse) {
        assert!(signed.index.number > 0 || !signed.is_genuine());
    }
    if let Ok(parsed) = identity::parse(here, data) {
        assert!(!parsed.is_empty());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        lists(here, text);
    }
    if let Some((where_and_what, plain)) = data.split_first_chunk() {
        damaged(*where_and_what, plain, &identities);
    }
}

fn lists(here: &Path, text: &str) {
    if let Ok(recipients) = Recipients::parse(here, text) {
        let texts = recipients.texts();
        let Ok(typed) = recipients::Typed::parse(RECIPIENT) else {
            panic!("it is a recipient");
        };
        let Ok(edited) = recipients::edit(here, text, &[typed], &texts) else {
            panic!("recipients that are there can be taken out");
        };
        let edited = Recipients::parse(here, &edited);
        assert!(edited.is_ok_and(|left| left.texts() == [RECIPIENT]));
    }
    for line in text.lines() {
        if let Some(event) = read_event(line) {
            assert!(line.contains(event.what.word()));
        }
        if let Some(version) = version_of(line) {
            assert_eq!(format!("{version}.age"), line);
        }
        if let Ok(key) = Key::parse(line) {
            let path = key.to_path();
            assert!(path.is_relative() && path.components().count() == line.split('/').count());
            let is_name = |part| matches!(part, std::path::Component::Normal(_));
            assert!(path.components().all(is_name), "{line} leaves the store");
        }
    }
}

/// A byte of a sealed file is another one: nothing is opened, least of all something else.
fn damaged([low, high, change]: [u8; 3], plain: &[u8], identities: &Parsed) {
    let here = Path::new("fuzz");
    let binding = Binding {
        store: StoreId([1; 16]),
        name: "a/name".to_owned(),
        version: 1,
    };
    let recipients = Recipients::parse(here, RECIPIENT);
    let sealed = recipients.and_then(|for_us| seal(&for_us, &binding, plain));
    let Ok(mut sealed) = sealed else {
        panic!("a value can be sealed");
    };
    let at = usize::from(u16::from_le_bytes([low, high])) % sealed.len();
    sealed[at] ^= change;
    match open(here, &sealed, identities, here) {
        Ok((opened, found)) => {
            assert!(change == 0 && opened.expose() == plain, "byte {at}");
            assert!(found == Found::Binding(binding));
        }
        Err(_) => assert!(change != 0, "it cannot be opened"),
    }
}
