//! Recall and precision, over secrets and decoys in all the places that people have them in.

#[path = "../../tests/scan/plants.rs"]
mod plants;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::finding::{Finding, Place};
use super::image;
use super::known::Known;
use super::rule::Severity;
use super::scanner::Scanner;
use super::tally::Tally;
use crate::formats::tar::tests::file;
use plants::{Plant, plants};

/// Which plants were found, by their directories, and how many findings are in no plant with a secret.
fn judged(plants: &[Plant], findings: &[Finding]) -> (f64, f64, String) {
    let top = |path: &str| {
        path.rsplit('!')
            .next()
            .unwrap_or(path)
            .split('/')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let secrets: BTreeSet<String> = plants
        .iter()
        .filter(|plant| plant.is_secret)
        .map(|plant| top(&plant.path))
        .collect();
    // What is low is for whoever asks for it.
    let counted = findings
        .iter()
        .filter(|one| one.severity < Severity::Low && one.length > 0);
    let (right, wrong): (Vec<&Finding>, Vec<&Finding>) =
        counted.partition(|one| secrets.contains(&top(&one.place.path)));
    let found: BTreeSet<String> = right.iter().map(|one| top(&one.place.path)).collect();
    let share = |part: usize, all: usize| f64::from(part as u32) / f64::from(all as u32);
    let recall = share(found.len(), secrets.len());
    let precision = share(found.len(), found.len() + wrong.len());
    let mut said = String::new();
    for plant in plants
        .iter()
        .filter(|plant| plant.is_secret && !found.contains(&top(&plant.path)))
    {
        writeln!(said, "missed {}: {:?}", plant.path, plant.text)
            .expect("writing to a String does not fail");
    }
    for one in wrong {
        let plant = plants
            .iter()
            .find(|plant| top(&plant.path) == top(&one.place.path));
        writeln!(
            said,
            "wrong {} {}: {:?}",
            one.rule,
            one.place.path,
            plant.map(|plant| &plant.text)
        )
        .expect("writing to a String does not fail");
    }
    (recall, precision, said)
}

fn scanner() -> Scanner {
    Scanner::new(Vec::new(), 1 << 30, false).unwrap()
}

fn in_files(plants: &[Plant]) -> Vec<Finding> {
    let scanner = scanner();
    let mut worker = scanner.worker();
    let mut out = Vec::new();
    for plant in plants {
        worker
            .read(
                &Place::file(&plant.path),
                &mut plant.text.as_bytes(),
                &mut out,
            )
            .unwrap();
    }
    out
}

#[test]
fn of_500_secrets_and_500_decoys_95_of_100_are_told_apart() {
    for seed in 1..=crate::model::rounds(2, 40) as u64 {
        let plants = plants(seed, 500);
        let (recall, precision, said) = judged(&plants, &in_files(&plants));
        assert!(
            recall >= 0.95 && precision >= 0.95,
            "seed {seed}: recall {recall}, precision {precision}\n{said}"
        );
    }
}

#[test]
fn the_same_is_so_in_a_layer_of_an_image() {
    let plants = plants(7, 150);
    let files = plants
        .iter()
        .map(|plant| file(&plant.path, b'0', plant.text.as_bytes()));
    let layer: Vec<u8> = files.flatten().chain([0; 1024]).collect();
    let image = [file("a/layer.tar", b'0', &layer), vec![0; 1024]].concat();
    let scanner = scanner();
    let (mut out, mut tally) = (Vec::new(), Tally::default());
    image::scan(
        &mut scanner.worker(),
        "i.tar",
        &image[..],
        image::MOST,
        &mut out,
        &mut tally,
    );
    let (recall, precision, said) = judged(&plants, &out);
    assert!(
        recall >= 0.95 && precision >= 0.95,
        "recall {recall}, precision {precision}\n{said}"
    );
    assert_eq!(tally.files, 300);
}

#[test]
fn every_known_value_is_found_and_named() {
    let mut known = Known::new().unwrap();
    let values: Vec<String> = (0..100)
        .map(|number| format!("Value-{}-{number}", 7_919 * (number + 13)))
        .collect();
    for (number, value) in values.iter().enumerate() {
        known.add(&format!("secret/{number}"), value.as_bytes());
    }
    let scanner = scanner().knowing(known);
    let mut worker = scanner.worker();
    for (number, value) in values.iter().enumerate() {
        let mut hex = String::new();
        for byte in value.bytes() {
            write!(hex, "{byte:02x}").expect("writing to a String does not fail");
        }
        for text in [
            format!("x {value} y"),
            format!("\0\u{1}{value}\0"),
            hex,
            format!("\"{value}\""),
        ] {
            let mut out = Vec::new();
            worker
                .read(&Place::file("a.bin"), &mut text.as_bytes(), &mut out)
                .unwrap();
            assert_eq!(out.len(), 1, "{text}");
            assert!(
                out[0].known[0].starts_with(&format!("secret/{number}")),
                "{:?}",
                out[0].known
            );
        }
    }
}
