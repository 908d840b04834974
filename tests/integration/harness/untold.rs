//! What no hushpipe of any test may ever say, in whatever form: on standard error, or over its control
//! socket. Every fault that a test provokes is looked at so, with all that it says.
//!
//! [`MARK`] is in every KV secret of [`Bao`](super::Bao), beside the fields of the test, in every value
//! of the tests of faults, and in what servers of theirs answer instead of sense. Tokens, secret ids
//! and passwords are added as they are made.

use std::sync::{Mutex, PoisonError};

use super::canary::{Canary, Form, encoded};

/// Part of a value. URLs escape some of it; shells do not.
pub const MARK: &str = "q7Wz+K2m/8Rv=Ty4Nc9Xb6Ld";

static FORMS: Mutex<Vec<Form>> = Mutex::new(Vec::new());

/// A value with the mark in it, which starts so.
pub fn marked(value: &str) -> String {
    format!("{value} {MARK}")
}

/// From now on, this is told by nobody.
pub fn add(name: &str, value: &str) {
    // A test that found something holds no lock, but it may have panicked beside one.
    let mut forms = FORMS.lock().unwrap_or_else(PoisonError::into_inner);
    if forms.is_empty() {
        forms.extend(Canary::of("the mark", MARK).forms());
    }
    forms.extend(Canary::of(name, value).forms());
}

/// Fails when something was told.
pub fn check(who: &str, said: &[u8]) {
    let mut forms = FORMS.lock().unwrap_or_else(PoisonError::into_inner);
    if forms.is_empty() {
        forms.extend(Canary::of("the mark", MARK).forms());
    }
    let told: Vec<&str> = forms
        .iter()
        .filter(|form| memchr::memmem::find(said, &form.bytes).is_some())
        .map(|form| form.name.as_str())
        .collect();
    if !told.is_empty() {
        let said = String::from_utf8_lossy(said);
        panic!("{who} tells of {}:\n{said}", told.join(", "));
    }
}

/// The form in which one of these has a value, of any length.
pub fn told(value: &str, said: &[&[u8]]) -> Option<String> {
    // Of a short value, what is sure of its base64 may be anywhere.
    let mut forms = encoded("it", value);
    forms.retain(|form| form.bytes.len() >= value.len().min(8));
    let is_in = |form: &Form| {
        said.iter()
            .any(|said| memchr::memmem::find(said, &form.bytes).is_some())
    };
    forms.into_iter().find(is_in).map(|form| form.name)
}

#[test]
fn every_form_is_found() {
    for form in Canary::of("it", MARK).forms() {
        let line = [b"error: ", form.bytes.as_slice(), b"\n"].concat();
        let told = std::panic::catch_unwind(|| check("it", &line));
        assert!(told.is_err(), "{}", form.name);
    }
    check("it", b"error: nothing\n");
}
