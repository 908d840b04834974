//! Container images: what `docker save` writes, and OCI layouts in a tar (image-spec, "Image Layout"). They
//! are read once, as a stream, and nothing is unpacked: a link in a layer leads nowhere.

use std::cell::Cell;
use std::io::{self, BufReader, Read};

use serde_json::Value;

use super::finding::{Finding, Place};
use super::scanner::Worker;
use super::tally::Tally;
use crate::formats::tar::Archive;

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
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        let Some(left) = self.left.get().checked_sub(read as u64) else {
            return Err(io::Error::other(
                "the image is larger than what is read of one, unpacked",
            ));
        };
        self.left.set(left);
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
    let left = Cell::new(most);
    let mut image = Image {
        worker,
        name,
        left: &left,
        files: 0,
        out,
        tally,
    };
    if let Err(error) = image.outer(from) {
        tally.skip(name, &error.to_string());
    }
}

/// The first block.
fn peek(from: &mut impl Read) -> io::Result<Box<[u8]>> {
    let mut head = Vec::with_capacity(512);
    from.take(512).read_to_end(&mut head)?;
    Ok(head.into_boxed_slice())
}

/// An image that is read.
struct Image<'a, 'w> {
    worker: &'a mut Worker<'w>,
    /// As it was named.
    name: &'a str,
    /// How many bytes it may still have, unpacked.
    left: &'a Cell<u64>,
    /// How many files its layers had.
    files: u64,
    out: &'a mut Vec<Finding>,
    tally: &'a mut Tally,
}

impl Image<'_, '_> {
    fn outer(&mut self, from: impl Read) -> io::Result<()> {
        let mut from = BufReader::new(from);
        let head = peek(&mut from)?;
        if packing(&head) == Packing::Gzip {
            return self.members(flate2::read::MultiGzDecoder::new(head.chain(from)));
        }
        self.members(head.chain(from))
    }

    /// The files of the image itself: layers, configurations, indexes.
    fn members(&mut self, from: impl Read) -> io::Result<()> {
        let mut archive = Archive::new(from);
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
                Packing::Json => self.json(&path, &layer, rest)?,
                Packing::Tar => self.layer(&layer, rest)?,
                Packing::Gzip => self.layer(&layer, flate2::read::MultiGzDecoder::new(rest))?,
                Packing::Zstandard => match ruzstd::decoding::StreamingDecoder::new(rest) {
                    Ok(inner) => self.layer(&layer, inner)?,
                    Err(error) => {
                        let path = format!("{}!{path}", self.name);
                        self.tally.skip(&path, &error.to_string());
                    }
                },
                // `version`, `VERSION`, `repositories`; a tar that is no image has plain files.
                Packing::Other => self.plain(&path, rest)?,
            }
        }
        Ok(())
    }

    /// A file of the archive itself.
    fn plain(&mut self, path: &str, from: impl Read) -> io::Result<()> {
        let place = Place::inside(self.name, path, "archive", self.name);
        let left = self.left;
        self.read(&place, Bounded { from, left })
    }

    fn read(&mut self, place: &Place, mut from: impl Read) -> io::Result<()> {
        let seen = self.worker.read(place, &mut from, self.out)?;
        self.tally.saw(&place.path, seen);
        Ok(())
    }

    /// The files of a layer. One that a later layer removes is in the image still.
    fn layer(&mut self, layer: &str, from: impl Read) -> io::Result<()> {
        let left = self.left;
        let mut archive = Archive::new(Bounded { from, left });
        while let Some(entry) = archive.entry()? {
            self.files += 1;
            if self.files > FILES {
                return Err(io::Error::other(
                    "the image has more files than are read of one",
                ));
            }
            if !entry.is_file {
                continue;
            }
            let path = String::from_utf8_lossy(&entry.path).into_owned();
            let path = path.trim_start_matches("./").trim_start_matches('/');
            let place = Place::inside(self.name, path, "layer", layer);
            self.read(&place, &mut archive)?;
        }
        Ok(())
    }

    /// A file that begins as JSON does: an image's own, or any other file of a tar that is none.
    fn json(&mut self, path: &str, name: &str, mut from: impl Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        (&mut from).take(JSON).read_to_end(&mut bytes)?;
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) if is_configuration(&value) => self.configuration(name, &value),
            Ok(value) if is_index(&value) => Ok(()),
            _ => self.plain(path, bytes.chain(from)),
        }
    }

    /// A configuration of an image has variables, labels and the commands that made it; they are read as
    /// lines.
    fn configuration(&mut self, name: &str, value: &Value) -> io::Result<()> {
        for (part, lines) in parts(value) {
            let text = lines.join("\n");
            if text.trim().is_empty() {
                continue;
            }
            // Without a suffix: as settings are read.
            let place = Place::inside(self.name, part, "config", name);
            self.read(&place, text.as_bytes())?;
        }
        Ok(())
    }
}

/// Whether it is what an image is made from: image-spec, "Image Configuration", and docker's form of version 1.
fn is_configuration(value: &Value) -> bool {
    let has = |key: &str| value[key].is_object();
    let settings = ["Env", "Cmd", "Entrypoint", "Labels"];
    let is_set = settings.iter().any(|key| !value["config"][key].is_null());
    has("rootfs")
        || has("container_config")
        || has("config") && (is_set || value["history"].is_array())
}

/// Whether it says what is in an image, by digests alone: a manifest, an index, the mark of a layout.
fn is_index(value: &Value) -> bool {
    let has = |key: &str| !value[key].is_null();
    let of_docker = |item: &Value| item["Layers"].is_array();
    has("imageLayoutVersion")
        || has("schemaVersion") && (has("layers") || has("manifests"))
        || value
            .as_array()
            .is_some_and(|all| !all.is_empty() && all.iter().all(of_docker))
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

/// The parts of a configuration in which secrets are, as lines.
fn parts(value: &Value) -> Vec<(&'static str, Vec<String>)> {
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
    parts
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
    use super::*;
    use crate::formats::tar::tests::file;

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
    fn files_of_a_tar_that_is_no_image_are_scanned_however_they_begin() {
        let files = [
            ("d.json", format!("{{\"token\":\"{TOKEN}\"}}")),
            ("f.json", format!("[{{\"token\":\"{TOKEN}\"}}]")),
            ("c.ini", format!("[db]\ntoken={TOKEN}\n")),
            ("l.jsonl", format!("{{}}\n{{\"token\":\"{TOKEN}\"}}\n")),
            (
                "c.json",
                format!("{{\"config\":{{\"token\":\"{TOKEN}\"}}}}"),
            ),
        ];
        let tar: Vec<Vec<u8>> = files
            .iter()
            .map(|(name, text)| file(name, b'0', text.as_bytes()))
            .collect();
        for tar in [tar.concat(), gzip(&tar.concat())] {
            let (found, tally) = look(&tar, 1 << 30);
            let paths: Vec<&str> = found.iter().map(|(path, _)| &path[6..]).collect();
            assert_eq!(paths, ["d.json", "f.json", "c.ini", "l.jsonl", "c.json"]);
            assert_eq!((tally.unread, tally.skipped.len()), (0, 0), "{tally:?}");
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
