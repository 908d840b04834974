//! Secrets of Kubernetes, whose values are in base64, and credentials in units of systemd.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::filter;
use super::rule::Span;

/// `kind: Secret`: the values below `data:` and `stringData:`.
pub fn kubernetes(text: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    let mut start = 0;
    for document in documents(text) {
        let end = start + document.len();
        let is_secret = lines(document).any(|(_, line)| {
            matches!(
                line.trim_ascii(),
                b"kind: Secret" | b"kind: \"Secret\"" | b"\"kind\": \"Secret\","
            )
        });
        if is_secret {
            found.extend(data(document).into_iter().map(|span| Span {
                start: start + span.start,
                end: start + span.end,
            }));
        }
        start = end;
    }
    found
}

/// Documents of YAML, with the line that divides them.
fn documents(text: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    let mut start = 0;
    for at in memchr::memmem::find_iter(text, b"\n---") {
        all.push(&text[start..at + 4]);
        start = at + 4;
    }
    all.push(&text[start..]);
    all
}

fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut start = 0;
    text.split(|byte| *byte == b'\n').map(move |line| {
        let at = start;
        start += line.len() + 1;
        (at, line)
    })
}

fn indent(line: &[u8]) -> usize {
    line.iter().take_while(|byte| **byte == b' ').count()
}

fn data(text: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    // Below which indentation, and whether in base64.
    let mut within: Option<(usize, bool)> = None;
    for (at, line) in lines(text) {
        let bare = line.trim_ascii();
        if bare.is_empty() || bare.starts_with(b"#") {
            continue;
        }
        if matches!(bare, b"data:" | b"stringData:") {
            within = Some((indent(line), bare == b"data:"));
            continue;
        }
        match within {
            Some((outer, encoded)) if indent(line) > outer => {
                let Some(colon) = memchr::memmem::find(line, b": ") else {
                    continue;
                };
                let value = line[colon + 2..].trim_ascii();
                let quoted = value.len() >= 2
                    && matches!(value[0], b'"' | b'\'')
                    && value.ends_with(&value[..1]);
                let inner = if quoted {
                    &value[1..value.len() - 1]
                } else {
                    value
                };
                let start = at
                    + colon
                    + 2
                    + (line[colon + 2..].len() - line[colon + 2..].trim_ascii_start().len())
                    + usize::from(quoted);
                if is_value(inner, encoded) {
                    found.push(Span {
                        start,
                        end: start + inner.len(),
                    });
                }
            }
            _ => within = None,
        }
    }
    found
}

/// Whether a value is one: in base64, what it decodes to.
fn is_value(value: &[u8], encoded: bool) -> bool {
    if value.len() < 4 || filter::is_reference(value) || matches!(value[0], b'|' | b'>') {
        return false;
    }
    if !encoded {
        return filter::is_setting(value);
    }
    STANDARD
        .decode(value)
        .is_ok_and(|plain| filter::is_setting(plain.trim_ascii()))
}

/// `SetCredential=name:value` of systemd.exec(5).
pub fn unit(text: &[u8]) -> Vec<Span> {
    let credential = |(at, line): (usize, &[u8])| {
        let rest = line.trim_ascii().strip_prefix(b"SetCredential=")?;
        let colon = memchr::memchr(b':', rest)?;
        let value = rest[colon + 1..].trim_ascii();
        let start = at + memchr::memmem::find(line, value)?;
        (!value.is_empty() && filter::is_setting(value)).then_some(Span {
            start,
            end: start + value.len(),
        })
    };
    lines(text).filter_map(credential).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secrets_are_decoded_to_be_judged() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: azN5YjBhcmQtQ2F0\n  user: YWRtaW4=\nstringData:\n  token: \"k3yb0ard-Cat\"\ntype: Opaque\n---\nkind: ConfigMap\ndata:\n  x: azN5YjBhcmQtQ2F0\n";
        let found: Vec<&str> = kubernetes(text.as_bytes())
            .into_iter()
            .map(|span| &text[span.start..span.end])
            .collect();
        assert_eq!(found, ["azN5YjBhcmQtQ2F0", "k3yb0ard-Cat"]);
        let unit = super::unit(b"[Service]\nSetCredential=db: k3yb0ard-Cat\nSetCredential=x:\n");
        assert_eq!(unit.len(), 1);
    }
}
