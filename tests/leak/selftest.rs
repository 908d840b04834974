//! The scan itself: one that finds nothing anywhere proves nothing.

use std::io::{Read, Write};
use std::process::Command;

use super::canary::Canary;
use super::scan::Scan;
use crate::harness::{Hushpipe, Place, Running, wait_until};

/// A probe that keeps bytes in its memory.
fn keeper(bytes: impl Into<Vec<u8>>) -> Running {
    let running = Hushpipe::new()
        .through(&["{probe}", "keep", "0", "serve", "--"])
        .stdin(bytes)
        .spawn();
    running.wait_for_line("ready");
    running
}

#[test]
fn every_form_in_memory_is_found() {
    let canary = Canary::new("planted");
    let scan = Scan::new([&canary]);
    for form in canary.forms() {
        let running = keeper(form.bytes);
        let hits = scan.memory(running.pid()).hits;
        let found = hits.iter().any(|hit| hit.contains(&form.name));
        assert!(found, "{} was not found: {hits:?}", form.name);
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let running = keeper("nothing");
    let seen = Scan::new([&Canary::new("absent")]).memory(running.pid());
    assert_eq!(seen.hits, [""; 0]);
    assert!(seen.bytes > 100_000, "only {} bytes were read", seen.bytes);
}

#[test]
fn a_canary_across_two_parts_is_found() {
    let canary = Canary::new("planted");
    let mut bytes = vec![b'.'; 4 << 20];
    for end in (1_usize..4).map(|part| part << 20) {
        // Mappings start anywhere: some copy will lie across the edge of two reads.
        for shift in (0..4096).step_by(64) {
            let at = end - 2048 + shift;
            bytes[at..at + 47].copy_from_slice(canary.value().as_bytes());
        }
    }
    let running = keeper(bytes);
    let hits = Scan::new([&canary]).memory(running.pid()).hits;
    assert!(hits.len() >= 3, "{hits:?}");
}

#[test]
fn arguments_variables_and_files_are_looked_at() {
    let canary = Canary::new("planted");
    let scan = Scan::new([&canary]);
    let place = Place::new();
    place.write("deep/down/file", canary.value());
    assert!(!scan.files(place.path()).is_empty());
    let mut child = Command::new("/bin/sleep")
        .arg("1000")
        .env("LEAK", canary.value())
        .spawn()
        .unwrap();
    // The new program's environment is there a moment after execve(2) has let the parent go on.
    let hits = wait_until(|| Some(scan.shown(&[child.id() as i32])).filter(|h| !h.is_empty()));
    child.kill().unwrap();
    child.wait().unwrap();
    let hits = hits.expect("the variable is found");
    assert!(hits[0].contains("environ"), "{hits:?}");
}

#[test]
fn what_descriptors_lead_to_is_looked_at_and_stays() {
    let canaries = [
        Canary::new("file"),
        Canary::new("pipe"),
        Canary::new("name"),
    ];
    let scan = Scan::new(&canaries);
    let place = Place::new();
    place.write("file", canaries[0].value());
    // A name cannot have every character of a value; half of it is enough.
    let name: String = canaries[2].value().chars().take(20).collect();
    place.write(&name, "");
    let open = |name: &str| std::fs::File::open(place.join(name)).unwrap();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(canaries[1].value().as_bytes()).unwrap();
    let mut child = Command::new("/bin/sleep")
        .arg("1000")
        .stdin(reader.try_clone().unwrap())
        .stdout(open("file"))
        .stderr(open(&name))
        .spawn()
        .unwrap();
    let hits = scan.descriptors(&[child.id() as i32]);
    child.kill().unwrap();
    child.wait().unwrap();
    for (number, canary) in [(0, "pipe"), (1, "file"), (2, "name")] {
        let is_it =
            |hit: &String| hit.starts_with(canary) && hit.contains(&format!("/fd/{number} "));
        assert!(hits.iter().any(is_it), "{canary}: {hits:?}");
    }
    drop(writer);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, canaries[1].value());
}
