//! journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): fields, one after the other.

use crate::monitor::item::{Item, Severity};

/// What `journalctl MESSAGE_ID=` finds all records of hushpipe by.
pub const MESSAGE_ID: &str = "5f2b6c1d9a8e4f07b3d4c6e8a1907f35";

/// One entry of the journal.
pub fn entry(item: &Item) -> Vec<u8> {
    let record = &item.record;
    let priority = match item.severity() {
        Severity::Information => "6",
        Severity::Notice => "5",
        Severity::Warning => "4",
        Severity::Alert => "1",
    };
    let mut bytes = Vec::new();
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            field(&mut bytes, name, value);
        }
    };
    add("MESSAGE", &item.summary());
    add("MESSAGE_ID", MESSAGE_ID);
    add("PRIORITY", priority);
    add("SYSLOG_IDENTIFIER", "hushpipe");
    add("HUSHPIPE_ID", &item.id());
    add("HUSHPIPE_SEQ", &item.seq.to_string());
    add("HUSHPIPE_KIND", item.kind());
    add("HUSHPIPE_SERVICE", &record.service);
    add("HUSHPIPE_LAUNCHER", &record.launcher);
    add("HUSHPIPE_PROGRAM", &record.program);
    for secret in &record.entry.secrets {
        add("HUSHPIPE_SECRET", &secret.name);
    }
    if item.duplicate {
        add("HUSHPIPE_DUPLICATE", "1");
    }
    add("HUSHPIPE_RECORD", item.text());
    bytes
}

/// One that has a line end is written with its length, as 64 bits in little-endian order.
pub fn field(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend((value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Kind;
    use crate::monitor::item::tests::item;

    #[test]
    fn an_entry_is_as_the_protocol_says() {
        let mut item = item(Kind::Release);
        item.duplicate = true;
        item.record.program = "a\nb".into();
        let wanted = format!(
            "MESSAGE=release of db for shop: because \"so\"\nMESSAGE_ID={MESSAGE_ID}\nPRIORITY=6\n\
             SYSLOG_IDENTIFIER=hushpipe\nHUSHPIPE_ID=web1/12\nHUSHPIPE_SEQ=12\nHUSHPIPE_KIND=release\n\
             HUSHPIPE_SERVICE=shop\nHUSHPIPE_LAUNCHER=0011223344556677\nHUSHPIPE_PROGRAM\n\
             \u{3}\0\0\0\0\0\0\0a\nb\nHUSHPIPE_SECRET=db\nHUSHPIPE_DUPLICATE=1\nHUSHPIPE_RECORD={}\n",
            item.text()
        );
        assert_eq!(String::from_utf8(entry(&item)).unwrap(), wanted);
    }
}
