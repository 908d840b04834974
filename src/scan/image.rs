//! Container images: what `docker save` writes, and OCI layouts in a tar (image-spec, "Image Layout"). They
//! are read once, as a stream, and nothing is unpacked: a link in a layer leads nowhere.

use std::io::{self, BufReader, Read};

use serde_json::Value;

use super::finding::{Finding, Place};
use super::scanner::Worker;
use super::tally::Tally;
use super::tar::Archive;

/// A configuration or an index is small.
const JSON: u64 = 16 << 20;

/// All that one image may have, unpacked: a bomb ends here.
pub const MOST: u64 = 16 << 30;

/// No image has more files.
const FILES: u64 = 4_000_000;

/// How a layer is packed, by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    Tar,
    Gzip,
    Zstandard,
    Json,
    Other,
}

fn packing(head: &[u8]) -> Packing {
    match head {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstandard,
        [b'{' | b'[', ..] => Packing::Json,
        _ if head.get(257..262) == Some(b"ustar") => Packing::Tar,
        _ => Packing::Other,
    }
}

/// Stops a stream after so many bytes.
struct Bounded<'a, R> {
    from: R,
    left: &'a mut u64,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        let Some(left) = self.left.checked_sub(read as u64) else {
            return Err(io::Error::other(
                "the image is larger than what is read of one, unpacked",
            ));
        };
        *self.left = left;
        Ok(read)
    }
}

/// Whether a file may be an image: the header of a tar, packed or not.
pub fn is_archive(head: &[u8]) -> bool {
    matches!(packing(head), Packing::Tar | Packing::Gzip)
}

/// Scans an image. What is damaged ends the scan of it, and is in the tally; `most` is its size, unpacked.
pub fn scan(
    worker: &mut Worker<'_>,
    name: &str,
    from: impl Read,
    most: u64,
    out: &mut Vec<Finding>,
    tally: &mut Tally,
) {
    let mut left = most;
    if let Err(error) = outer(worker, name, from, &mut left, out, tally) {
        tally.skip(name, &error.to_string());
    }
}

fn outer(
    worker: &mut Worker<'_>,
    name: &str,
    from: impl Read,
    left: &mut u64,
    out: &mut Vec<Finding>,
    tally: &mut Tally,
) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let head = peek(&mut from)?;
    if packing(&head) == Packing::Gzip {
        let inner = flate2::read::MultiGzDecoder::new(head.chain(from));
        return members(worker, name, inner, left, out, tally);
    }
    members(worker, name, head.chain(from), left, out, tally)
}

/// The first block.
fn peek(from: &mut impl Read) -> io::Result<Box<[u8]>> {
    let mut head = Vec::with_capacity(512);
    from.take(512).read_to_end(&mut head)?;
    Ok(head.into_boxed_slice())
}

/// The files of the image itself: layers, configurations, indexes.
fn members(
    worker: &mut Worker<'_>,
    image: &str,
    from: impl Read,
    left: &mut u64,
    out: &mut Vec<Finding>,
    tally: &mut Tally,
) -> io::Result<()> {
    let mut archive = Archive::new(from);
    let mut files = 0;
    while let Some(entry) = archive.entry()? {
        if !entry.is_file {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let head = peek(&mut archive)?;
        let packed = packing(&head);
        let rest = head.chain(&mut archive);
        let layer = layer_name(&path);
        match packed {
            Packing::Json => configuration(worker, image, &layer, rest, out, tally)?,
            Packing::Tar => layer_of(
                worker,
                image,
                &layer,
                Bounded { from: rest, left },
                &mut files,
                out,
                tally,
            )?,
            Packing::Gzip => {
                let inner = flate2::read::MultiGzDecoder::new(rest);
                layer_of(
                    worker,
                    image,
                    &layer,
                    Bounded { from: inner, left },
                    &mut files,
                    out,
                    tally,
                )?;
            }
            Packing::Zstandard => match ruzstd::decoding::StreamingDecoder::new(rest) {
                Ok(inner) => layer_of(
                    worker,
                    image,
                    &layer,
                    Bounded { from: inner, left },
                    &mut files,
                    out,
                    tally,
                )?,
                Err(error) => tally.skip(&format!("{image}!{path}"), &error.to_string()),
            },
            // `version`, `VERSION`, `repositories`; a tar that is no image has plain files.
            Packing::Other => {
                let place = Place::inside(image, &path, "archive", image);
                let mut rest = Bounded { from: rest, left };
                let seen = worker.read(&place, &mut rest, out)?;
                tally.saw(&place.path, seen);
            }
        }
    }
    Ok(())
}

/// `blobs/sha256/abc…` is `sha256:abc…`, and `abc…/layer.tar` is `abc…`.
fn layer_name(path: &str) -> String {
    let path = path.trim_start_matches("./");
    match path
        .strip_prefix("blobs/")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((algorithm, digest)) => format!("{algorithm}:{digest}"),
        None => path.trim_end_matches("/layer.tar").to_owned(),
    }
}

/// The files of a layer. One that a later layer removes is in the image still.
fn layer_of(
    worker: &mut Worker<'_>,
    image: &str,
    layer: &str,
    from: impl Read,
    files: &mut u64,
    out: &mut Vec<Finding>,
    tally: &mut Tally,
) -> io::Result<()> {
    let mut archive = Archive::new(from);
    while let Some(entry) = archive.entry()? {
        *files += 1;
        if *files > FILES {
            return Err(io::Error::other(
                "the image has more files than are read of one",
            ));
        }
        if !entry.is_file {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let path = path.trim_start_matches("./").trim_start_matches('/');
        let place = Place::inside(image, path, "layer", layer);
        let seen = worker.read(&place, &mut archive, out)?;
        tally.saw(&place.path, seen);
    }
    Ok(())
}

/// A configuration of an image has variables, labels and the commands that made it; they are read as lines.
fn configuration(
    worker: &mut Worker<'_>,
    image: &str,
    name: &str,
    from: impl Read,
    out: &mut Vec<Finding>,
    tally: &mut Tally,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    from.take(JSON).read_to_end(&mut bytes)?;
    let Ok(value) = serde_json::from_slice::<Value>(&bytes) else {
        tally.skip(&format!("{image}!{name}"), "it is no JSON, or too long");
        return Ok(());
    };
    let mut parts: Vec<(&str, Vec<String>)> = Vec::new();
    for key in ["config", "container_config"] {
        let settings = &value[key];
        parts.push(("ENV", strings(&settings["Env"])));
        parts.push((
            "CMD",
            vec![
                strings(&settings["Cmd"]).join(" "),
                strings(&settings["Entrypoint"]).join(" "),
            ],
        ));
        let labels = settings["Labels"].as_object().into_iter().flatten();
        parts.push((
            "LABEL",
            labels
                .filter_map(|(name, text)| Some(format!("{name}={}", text.as_str()?)))
                .collect(),
        ));
    }
    let history = value["history"].as_array().into_iter().flatten();
    parts.push((
        "history",
        history
            .filter_map(|step| step["created_by"].as_str().map(str::to_owned))
            .collect(),
    ));
    for (part, lines) in parts {
        let text = lines.join("\n");
        if text.trim().is_empty() {
            continue;
        }
        // Without a suffix: as settings are read.
        let place = Place::inside(image, part, "config", name);
        let seen = worker.read(&place, &mut text.as_bytes(), out)?;
        tally.saw(&place.path, seen);
    }
    Ok(())
}

fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::scanner::Scanner;
    use super::super::tar::tests::file;
    use super::*;

    const TOKEN: &str = "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";

    fn look(bytes: &[u8], most: u64) -> (Vec<(String, String)>, Tally) {
        let scanner = Scanner::new(Vec::new(), 1 << 30, false).unwrap();
        let (mut out, mut tally) = (Vec::new(), Tally::default());
        scan(
            &mut scanner.worker(),
            "i.tar",
            bytes,
            most,
            &mut out,
            &mut tally,
        );
        let found = out
            .into_iter()
            .map(|one| (one.place.path, one.rule))
            .collect();
        (found, tally)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn layers_configuration_and_history_are_read() {
        let layer = [
            file("app/.env", b'0', TOKEN.as_bytes()),
            file("app/link", b'2', b""),
            vec![0; 1024],
        ]
        .concat();
        let config = serde_json::json!({
            "config": { "Env": ["PATH=/bin", "DB_PASSWORD=k3yb0ard-Cat"], "Labels": { "token": "k3yb0ard-Dog1" } },
            "history": [{ "created_by": "RUN curl -u me:k3yb0ard-Fox https://x.test" }],
        });
        let image = [
            file("manifest.json", b'0', b"[{\"Layers\": []}]"),
            file("blobs/sha256/aa", b'0', config.to_string().as_bytes()),
            file("blobs/sha256/bb", b'0', &gzip(&layer)),
            file("cc/layer.tar", b'0', &layer),
            vec![0; 1024],
        ]
        .concat();
        for image in [image.clone(), gzip(&image)] {
            let (found, tally) = look(&image, 1 << 30);
            let found: Vec<(&str, &str)> = found
                .iter()
                .map(|(path, rule)| (path.as_str(), rule.as_str()))
                .collect();
            let wanted = [
                ("i.tar!ENV", "assigned-secret"),
                ("i.tar!LABEL", "assigned-secret"),
                ("i.tar!history", "command-password"),
                ("i.tar!app/.env", "github-token"),
                ("i.tar!app/.env", "github-token"),
            ];
            assert_eq!(found, wanted);
            assert_eq!(tally.unread, 0);
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit_and_damage_is_told() {
        let zeros = vec![b'a'; 8 << 20];
        let layer = gzip(&[file("big", b'0', &zeros), vec![0; 1024]].concat());
        let image = [file("l", b'0', &layer), vec![0; 1024]].concat();
        let (_, tally) = look(&image, 1 << 20);
        assert!(tally.skipped[0].cause.contains("larger than"), "{tally:?}");
        assert_eq!(look(&image, 1 << 30).1.unread, 0);
        let (_, tally) = look(&image[..image.len() - 2000], 1 << 30);
        assert_eq!(tally.unread, 1);
        let (_, tally) = look(b"no archive at all", 1 << 30);
        assert_eq!(tally.unread, 1);
    }
}
