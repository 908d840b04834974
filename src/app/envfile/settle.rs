//! Where the value of a line ends, for those loaders that do not agree.

use crate::secret::SecretBytes;
use crate::stores::format::Entry;

/// Entries as `init` takes them. Where the value is empty and there is text that some loaders take for
/// the value (`A=#text`), that text is the value: it may be a secret.
pub(super) fn settled(bytes: &SecretBytes, entries: Vec<Entry>) -> Result<Vec<Entry>, String> {
    let all = bytes.expose();
    let mut before = 0;
    let starts = entries.iter().map(|entry| entry.lead.start);
    for start in starts.chain([all.len()]) {
        let gap = &all[before..start];
        let splits = |pair: &[u8]| pair[0] == b'\r' && pair[1] != b'\n';
        if gap.windows(2).any(splits) {
            let line = memchr::memchr_iter(b'\n', &all[..before]).count() + 1;
            return Err(format!(
                "after line {line} a carriage return is not at the end of its line: some loaders \
                 start a new line there; remove it"
            ));
        }
        let ends = entries.iter().find(|entry| entry.lead.start == start);
        before = ends.map_or(all.len(), |entry| entry.end);
    }
    let settle = |mut entry: Entry| {
        if entry.value.is_empty() && !is_comment(&entry, all) {
            let text = &all[entry.written.start..entry.end];
            entry.value = SecretBytes::new(text.trim_ascii().to_vec());
        }
        entry
    };
    Ok(entries.into_iter().map(settle).collect())
}

/// Whether every loader passes over what comes after a value: nothing, or a comment of plain words.
pub(super) fn is_comment(entry: &Entry, all: &[u8]) -> bool {
    let after = after(entry, all);
    let words = after.trim_ascii_start();
    let blank_before = words.len() < after.len()
        || (entry.written.is_empty()
            && matches!(all[..entry.written.start].last(), Some(b' ' | b'\t')));
    let is_plain = |byte: &u8| !b"'\"`\\$\r#".contains(byte);
    match words.strip_prefix(b"#") {
        _ if words.is_empty() => true,
        Some(text) => blank_before && text.iter().all(is_plain),
        None => false,
    }
}

/// What follows a value on its line, without a carriage return at the end.
pub(super) fn after<'a>(entry: &Entry, all: &'a [u8]) -> &'a [u8] {
    let after = &all[entry.written.end..entry.end];
    after.strip_suffix(b"\r").unwrap_or(after)
}
