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
        verify(&Archive::open(&directory).unwrap(), key.verifier(), &[])
            .unwrap()
            .findings
    };
    assert_eq!(look(&files), []);
    for _ in 0..rounds(200, 10_000) {
        let mut changed = files.clone();
        let what = change(&mut changed, &stranger);
        assert_ne!(look(&changed), [], "{what}");
    }
}

/// Rewrites records as whoever has the key would: all numbers fit, in one segment, under a new tree and head.
fn rewrite(files: &mut Files, key: &SignerKey) -> &'static str {
    let records: Vec<u8> = files
        .iter()
        .filter(|(name, _)| is_records(name) && name != Path::new("records.jsonl"))
        .chain(
            files
                .iter()
                .filter(|(name, _)| name == Path::new("records.jsonl")),
        )
        .flat_map(|(_, bytes)| bytes.clone())
        .collect();
    let mut lines: Vec<Vec<u8>> = directory::lines(&records).map(<[u8]>::to_vec).collect();
    let (one, two) = (below(lines.len() - 1), below(lines.len()));
    let what = match below(5) {
        0 => {
            lines.remove(one);
            "a record removed"
        }
        1 => {
            lines.swap(one, one + 1);
            "two records swapped"
        }
        2 => {
            let line = lines[two].clone();
            lines.insert(one, line);
            "a record doubled"
        }
        3 => {
            lines.truncate(one);
            "the log cut off"
        }
        _ => {
            let text = String::from_utf8(lines[one].clone()).unwrap();
            lines[one] = text
                .replace("\"service\":\"shop\"", "\"service\":\"till\"")
                .into_bytes();
            "a record forged"
        }
    };
    for (number, line) in lines.iter_mut().enumerate() {
        let rest = memchr::memchr(b',', line).unwrap();
        let numbered = format!("{{\"seq\":{number}");
        line.splice(..rest, numbered.into_bytes());
    }
    let size = lines.len() as u64;
    files.retain(|(name, _)| !is_records(name));
    let all = lines
        .iter()
        .flat_map(|line| [line.as_slice(), b"\n"].concat());
    files.push(("records.jsonl".into(), all.collect()));
    sign_anew(files, size, key);
    what
}

/// Whoever has the key can rewrite all of it: then a head that somebody else kept shows it, and a witness does
/// not cosign it.
#[test]
fn every_change_under_the_key_is_found_by_a_cosigned_head() {
    let place = tempfile::tempdir().unwrap();
    let (files, key) = made(place.path());
    let note = |files: &Files| {
        let head = files
            .iter()
            .find(|(name, _)| name == Path::new("checkpoint"));
        String::from_utf8(head.unwrap().1.clone()).unwrap()
    };
    let witness = Witness {
        key: SignerKey::generate_of("w1", KeyKind::Cosignature)
            .unwrap()
            .0,
        logs: vec![key.verifier().clone()],
    };
    let submission = Submission {
        old: 0,
        proof: Vec::new(),
        note: note(&files),
    };
    let (head, cosigned) = witness.cosign(&submission, None, 7).unwrap();
    let kept = Cosigned::parse(cosigned.as_bytes(), witness.key.verifier()).unwrap();
    let since = Since {
        name: "kept".to_owned(),
        head: kept.head,
    };
    let directory = place.path().join("changed");
    for _ in 0..rounds(100, 10_000) {
        let mut changed = files.clone();
        let what = rewrite(&mut changed, &key);
        write(&directory, &changed);
        let archive = Archive::open(&directory).unwrap();
        assert_eq!(
            verify(&archive, key.verifier(), &[]).unwrap().findings,
            [],
            "{what}"
        );
        let since = std::slice::from_ref(&since);
        let found = verify(&archive, key.verifier(), since).unwrap().findings;
        assert_eq!(found.len(), 1, "{what}");
        let note = note(&changed);
        let size = Checkpoint::open(note.as_bytes(), key.verifier())
            .unwrap()
            .size;
        let proof = archive.consistency(head.size.min(size), size).unwrap();
        let old = head.size;
        let submission = Submission { old, proof, note };
        let refused = witness.cosign(&submission, Some(&head), 8).unwrap_err();
        assert!(
            matches!(refused.status(), 400 | 409 | 422),
            "{what}: {refused}"
        );
    }
}
