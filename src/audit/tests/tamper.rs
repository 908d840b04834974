//! Random changes to a log: each is found.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::writer;
use crate::audit::*;
use crate::audit::{directory, tiles, tree};
use crate::model::{random, rounds};

/// A log in memory: its files by path.
type Files = Vec<(PathBuf, Vec<u8>)>;

fn below(limit: usize) -> usize {
    (random() % limit as u64) as usize
}

fn read(directory: &Path) -> Files {
    let (mut files, mut todo) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(way) = todo.pop() {
        for entry in fs::read_dir(directory.join(&way)).unwrap() {
            let name = way.join(entry.unwrap().file_name());
            if directory.join(&name).is_dir() {
                todo.push(name);
            } else if name != Path::new("lock") {
                files.push((name.clone(), fs::read(directory.join(&name)).unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn write(directory: &Path, files: &Files) {
    if directory.exists() {
        fs::remove_dir_all(directory).unwrap();
    }
    for (name, bytes) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A log with two segments, full and partial tiles; and its key.
fn made(place: &Path) -> (Files, SignerKey) {
    let site = Place {
        directory: place.join("log"),
        key_file: place.join("audit.key"),
    };
    let mut log = Log::open(&site, "web1").unwrap().with_segments(50_000);
    let writer = writer();
    for number in 0..300 {
        let mut hold = log.hold(Duration::from_secs(5)).unwrap();
        let entry = Entry::new(Kind::Control).saying(format!("record {number}"));
        hold.append(&[Draft::now(entry)], &writer, false).unwrap();
        if number % 90 == 89 || number == 299 {
            hold.sign().unwrap();
        }
    }
    let key = SignerKey::parse(&fs::read_to_string(&site.key_file).unwrap()).unwrap();
    (read(&site.directory), key)
}

fn is_records(name: &Path) -> bool {
    name.extension()
        .is_some_and(|extension| extension == "jsonl")
}

/// Partial tiles of heads before the last one may be removed by anybody: c2sp.org/tlog-tiles.
fn is_needed(name: &Path, files: &Files) -> bool {
    let partial = name
        .parent()
        .and_then(Path::extension)
        .is_some_and(|end| end == "p");
    let width = |name: &Path| name.file_name()?.to_str()?.parse::<u32>().ok();
    let siblings = files
        .iter()
        .filter(|(other, _)| other.parent() == name.parent());
    !partial || siblings.filter_map(|(other, _)| width(other)).max() == width(name)
}

/// Changes the lines of a file of records.
fn in_lines(files: &mut Files, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let records: Vec<usize> = (0..files.len())
        .filter(|at| is_records(&files[*at].0))
        .collect();
    let bytes = &mut files[records[below(records.len())]].1;
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    change(&mut lines);
    *bytes = lines.concat();
}

/// Puts a head in place that covers the first `size` records as they are now, signed by `key`.
fn sign_anew(files: &mut Files, size: u64, key: &SignerKey) {
    let mut edge = tiles::Edge::default();
    let mut full = Vec::new();
    let records: Vec<u8> = files
        .iter()
        .filter(|(name, _)| is_records(name))
        .flat_map(|(_, bytes)| bytes.clone())
        .collect();
    for line in directory::lines(&records).take(size as usize) {
        edge.push(tree::leaf(line), &mut |tile, hashes| {
            full.push((tile, hashes.to_vec()));
        });
    }
    files.retain(|(name, _)| !name.starts_with("tile"));
    full.extend(edge.partial().map(|(tile, hashes)| (tile, hashes.to_vec())));
    for (tile, hashes) in full {
        files.push((tile.path().into(), hashes.as_flattened().to_vec()));
    }
    let head = Checkpoint {
        origin: key.verifier().name().to_owned(),
        size,
        root: edge.root(),
    };
    let at = files
        .iter()
        .position(|(name, _)| name == Path::new("checkpoint"))
        .unwrap();
    files[at].1 = head.sign(key).into_bytes();
}

/// One change; gives what it was.
fn change(files: &mut Files, stranger: &SignerKey) -> String {
    let at = below(files.len());
    let name = files[at].0.display().to_string();
    let length = files[at].1.len();
    match below(10) {
        0 | 1 => {
            let (byte, bit) = (below(length), below(8));
            files[at].1[byte] ^= 1 << bit;
            format!("bit {bit} of byte {byte} of {name} flipped")
        }
        2 => {
            files[at].1.truncate(below(length));
            format!("{name} truncated to {}", files[at].1.len())
        }
        3 => {
            let needed = (0..files.len())
                .filter(|at| is_needed(&files[*at].0, files))
                .collect::<Vec<_>>();
            let (name, _) = files.remove(needed[below(needed.len())]);
            format!("{} removed", name.display())
        }
        4 => {
            in_lines(files, |lines| drop(lines.remove(below(lines.len()))));
            "a record removed".to_owned()
        }
        5 => {
            in_lines(files, |lines| {
                let (one, two) = (below(lines.len() - 1), below(lines.len() - 1));
                lines.swap(one, if one == two { one + 1 } else { two });
            });
            "two records swapped".to_owned()
        }
        6 => {
            in_lines(files, |lines| {
                lines.insert(below(lines.len()), lines[below(lines.len())].clone());
            });
            "a record doubled".to_owned()
        }
        7 => {
            forge(files);
            "a record forged".to_owned()
        }
        8 => {
            forge(files);
            sign_anew(files, 300, stranger);
            "a record forged, and the tree with it, under another key".to_owned()
        }
        _ => {
            let tiles: Vec<usize> = (0..files.len())
                .filter(|at| files[*at].0.starts_with("tile"))
                .collect();
            let (name, bytes) = files[tiles[below(tiles.len())]].clone();
            let copy = [
                "tile/0/002",
                "tile/0/001.p/200",
                "tile/2/000.p/1",
                "tile/1/000.p/2",
                "tile/0/x001/000",
            ];
            let copy = copy[below(copy.len())];
            files.push((copy.into(), bytes));
            format!("{} copied to {copy}", name.display())
        }
    }
}

fn forge(files: &mut Files) {
    in_lines(files, |lines| {
        let at = below(lines.len());
        let text = String::from_utf8(lines[at].clone()).unwrap();
        lines[at] = text
            .replace("\"service\":\"shop\"", "\"service\":\"till\"")
            .into_bytes();
    });
}

#[test]
fn every_random_change_is_found() {
    let place = tempfile::tempdir().unwrap();
    let (files, key) = made(place.path());
    let (stranger, _) = SignerKey::generate(key.verifier().name()).unwrap();
    let directory = place.path().join("changed");
    let look = |files: &Files| {
        write(&directory, files);
        verify(&Archive::open(&directory).unwrap(), key.verifier(), None)
            .unwrap()
            .findings
    };
    assert_eq!(look(&files), []);
    for _ in 0..rounds(200, 1000) {
        let mut changed = files.clone();
        let what = change(&mut changed, &stranger);
        assert_ne!(look(&changed), [], "{what}");
    }
}

/// Whoever has the key can rewrite all of it: then a head that somebody else kept shows it.
#[test]
fn every_change_under_the_key_is_found_by_an_older_head() {
    let place = tempfile::tempdir().unwrap();
    let (files, key) = made(place.path());
    let head = files
        .iter()
        .find(|(name, _)| name == Path::new("checkpoint"))
        .unwrap();
    let since = Since {
        name: "kept".to_owned(),
        head: Checkpoint::open(&head.1, key.verifier()).unwrap(),
    };
    let directory = place.path().join("changed");
    for _ in 0..rounds(20, 100) {
        let mut changed = files.clone();
        forge(&mut changed);
        sign_anew(&mut changed, 300, &key);
        write(&directory, &changed);
        let archive = Archive::open(&directory).unwrap();
        assert_eq!(verify(&archive, key.verifier(), None).unwrap().findings, []);
        let found = verify(&archive, key.verifier(), Some(&since))
            .unwrap()
            .findings;
        assert_eq!(found.len(), 1);
    }
}
