//! The manifest as a whole: faults are gathered, limits hold, nothing panics.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::model::{Channel, DeliveryKind, Exit, Mode, RotateAction, StoreKind};

mod mistakes;
mod rotation;
mod vault;

const FULL: &str = include_str!("../../tests/vectors/manifests/good/full.yaml");

fn environment(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/u".to_owned()),
        "REGION" => Some("eu-1".to_owned()),
        _ => None,
    }
}

fn parsed(text: &str) -> Result<Plan, ManifestError> {
    let overrides = Overrides::default();
    parse(
        Path::new("/etc/app/hushpipe.yaml"),
        text,
        &overrides,
        &environment,
    )
}

fn rendered(error: &ManifestError) -> String {
    error.render(false)
}

fn faults(text: &str) -> Vec<String> {
    match parsed(text) {
        Ok(_) => Vec::new(),
        Err(error) => {
            assert_eq!(error.exit(), Exit::Manifest);
            let faults = error.faults();
            faults
                .into_iter()
                .map(|(place, message)| format!("{place} {message}"))
                .collect()
        }
    }
}

#[test]
fn a_full_manifest_becomes_a_plan() {
    let plan = parsed(FULL).unwrap_or_else(|error| panic!("{}", rendered(&error)));
    assert_eq!(plan.service, "payments-api");
    assert_eq!(plan.mode, Mode::Supervise);
    assert_eq!(plan.deliveries.len(), 5);
    assert_eq!(plan.run.env.set["REGION"], "eu-1");
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    let StoreKind::Sealed(sealed) = &plan.stores.values().nth(2).unwrap().kind else {
        panic!("local is a sealed store");
    };
    assert_eq!(sealed.path, Path::new("/etc/app/secrets"));
    assert!(sealed.identity_file.starts_with("/home/u/.config"));
    assert!(matches!(plan.on_rotate.action, RotateAction::Signal(_)));
}

#[test]
fn the_least_manifest_has_the_documented_defaults() {
    let plan = parsed("version: 1\nservice: a\nrun: { command: [sleep, 10] }\n").unwrap();
    assert_eq!(plan.run.command, ["sleep", "10"]);
    assert_eq!(plan.run.stop.timeout, Duration::from_secs(30));
    assert!(plan.run.no_new_privs && !plan.run.core_dumps);
    assert_eq!(plan.on_rotate.action, RotateAction::Nothing);
}

#[test]
fn every_default_of_the_tables_can_be_read() {
    let text = "
version: 1
service: a
stores: { c: { type: command, run: [x] } }
secrets: { s: { store: c, check: { fields: {} } } }
deliver: [{ file: /run/s/a, secret: s }, { fifo: /run/s/b, secret: s }, { fd: 3, secret: s }]
run: { command: [x], env: {}, stop: {}, signals: {} }
on_rotate: {}
";
    let plan = parsed(text).unwrap_or_else(|error| panic!("{}", rendered(&error)));
    assert!(
        matches!(&plan.deliveries[0].kind, DeliveryKind::File(file) if file.mode.bits() == 0o400)
    );
    assert!(matches!(&plan.deliveries[0].channel, Channel::Secret(_)));
}

#[test]
fn the_command_line_goes_before_the_manifest() {
    let overrides = Overrides {
        command: vec!["other".into()],
        exec: true,
        ..Overrides::default()
    };
    let text = "version: 1\nservice: a\nrun: { command: [x] }\n";
    let plan = parse(Path::new("-"), text, &overrides, &environment).unwrap();
    assert_eq!(plan.run.command, ["other"]);
    assert_eq!(plan.mode, Mode::Exec);
}

#[test]
fn faults_of_all_kinds_are_told_at_once_in_the_files_order() {
    let found = faults("version: 2\nservce: a\nrun:\n  command: x y\n  umask: 022\nmode: sit\n");
    let places: Vec<&str> = found
        .iter()
        .filter_map(|fault| fault.split(' ').next())
        .collect();
    assert_eq!(
        places,
        ["1:1", "1:10", "2:1", "4:12", "5:10", "6:7"],
        "{found:?}"
    );
}

#[test]
fn a_key_that_stands_twice_is_found_in_small_and_large_mappings() {
    for size in [2, 15, 16, 17, 40] {
        let mut text = String::new();
        for number in 0..size {
            writeln!(text, "key_{number}: 1").unwrap();
        }
        let last = size - 1;
        writeln!(text, "key_0: 1\nkey_{last}: 1").unwrap();
        let twice = |fault: &&String| fault.contains("duplicate key");
        assert_eq!(faults(&text).iter().filter(twice).count(), 2, "{size}");
    }
}

#[test]
fn exploding_aliases_are_refused_at_once() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let before = level - 1;
        let items = vec![format!("*a{before}"); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{items}]").unwrap();
    }
    let start = Instant::now();
    let found = faults(&text);
    assert!(
        found[0].contains("aliases expand to more than 10000 values"),
        "{found:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn deep_nesting_is_refused_at_once() {
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        for depth in [65, 300, 200_000] {
            let text = format!("x: {}{}", open.repeat(depth), close.repeat(depth));
            let start = Instant::now();
            assert!(!faults(&text).is_empty());
            assert!(start.elapsed() < Duration::from_secs(2), "{open} {depth}");
        }
    }
}

#[test]
fn a_mebibyte_of_faults_does_not_hang() {
    let mut keys = String::new();
    for number in 0..60_000 {
        writeln!(keys, "key_{number}: ${{X}}").unwrap();
    }
    let again = "a: 1\n".repeat(200_000);
    let line = format!("version: 1\nservice: \"{}\"\n", "${X} ".repeat(200_000));
    for text in [keys, again, line] {
        let start = Instant::now();
        let error = parsed(&text).unwrap_err();
        assert!(rendered(&error).len() < 200_000);
        // Unoptimised it takes up to five seconds of a processor, and hours where it grows with the square.
        assert!(start.elapsed() < Duration::from_secs(50), "{}", &text[..10]);
    }
}

#[test]
fn what_a_variable_holds_is_never_shown() {
    let environment = |_: &str| Some("hunter2 hunter2".to_owned());
    let text = "version: 1\nservice: a\nmode: ${M}\nisolation: ${M}\nrun:\n  command: [x]\n  \
                stop: { timeout: \"${M}\", signal: \"${M}\" }\n  cwd: ${M}\n  sha256: ${M}\n\
                stores: { a: { type: \"${M}\" } }\ndeliver: [{ file: /r/a, secret: \"${M}\" }]\n";
    let error = parse(Path::new("x"), text, &Overrides::default(), &environment).unwrap_err();
    let rendered = rendered(&error);
    assert!(error.faults().len() >= 7, "{rendered}");
    assert!(!rendered.contains("hunter2"), "{rendered}");
}

#[test]
fn no_control_character_of_the_text_reaches_a_terminal() {
    let controls = ('\0'..='\u{9f}').filter(|c| c.is_control() && *c != '\n');
    for control in controls {
        // Where it is allowed, in the line that is shown for another fault.
        for text in [
            format!("version: 1\nservice: \"a{control}b\"\n"),
            format!("version: 1\nwrong: [a{control}b, é]\n"),
        ] {
            let shown = parsed(&text).unwrap_err().render(false);
            let is_there = shown.contains(|c: char| c.is_control() && c != '\n');
            assert!(!is_there, "{control:?}: {shown:?}");
        }
    }
}

fn mutated() -> impl Strategy<Value = String> {
    let bits = prop_oneof![
        Just("\n".to_owned()),
        Just("  ".to_owned()),
        Just("\t".to_owned()),
        Just("{{".to_owned()),
        Just("${".to_owned()),
        Just("*a".to_owned()),
        Just("&a ".to_owned()),
        Just("null".to_owned()),
        Just("\"".to_owned()),
        Just("|\n".to_owned()),
        "[ -~]{0,4}",
        "\\PC{0,3}",
    ];
    let edit = (any::<prop::sample::Index>(), 0..8_usize, bits);
    let from = prop::sample::select(vec![FULL, vault::VAULT, rotation::ROTATE]);
    (from, prop::collection::vec(edit, 1..6)).prop_map(|(from, edits)| {
        let mut text: Vec<char> = from.chars().collect();
        for (index, remove, insert) in edits {
            let at = index.index(text.len());
            let end = (at + remove).min(text.len() - 1);
            text.splice(at..end, insert.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in mutated()) {
        if let Err(error) = parsed(&text) {
            prop_assert!(!error.render(true).is_empty());
            prop_assert!(!error.render(false).is_empty());
        }
    }
}
