//! hushpipe-audit(7): what is on record, how the log proves it, and what to do where it cannot be written.

use roff::{Roff, roman};

use super::page::Page;
use super::text::{NO_DATE, ascii, item, paragraphs, see_also, unjustified, verbatim};

const WHAT: [&str; 7] = [
    "A host whose site has audit: keeps a log of who was given which secret: when, by which launcher, for which \
     program, and by which policies and approvals. A delivery is on record before it happens. With required: \
     true, which is the default, what cannot be recorded is not delivered, and hushpipe ends with 75; a program \
     that runs already keeps what it has. With required: false hushpipe warns, keeps up to 10,000 records in \
     memory, and writes them once the log can be written.",
    "The log never has a value. With fingerprint_key_file, a record has fingerprints of the values: HMAC-SHA256 \
     under that key, of all of a value or of each of its fields. Whoever has the key and the log can tell which \
     services were given a value that they have (`hushpipe audit find --value`); whoever has the log alone \
     cannot try values against it.",
    "A record is one line of JSON, so that grep(1) and jq(1) work. The lines are the leaves of a Merkle tree \
     (RFC 6962), which lies beside them as tiles (c2sp.org/tlog-tiles), and checkpoint is its head, signed with \
     Ed25519 (c2sp.org/tlog-checkpoint, c2sp.org/signed-note). A record that is changed, removed, doubled or \
     moved shows, and so does a log that was cut off.",
    "A checkpoint is signed after 100 records, 10 s after a record, at the end of each launcher and, with mode: \
     exec, before hushpipe becomes the program. A launcher that is killed leaves records without a signature; \
     the next one that writes signs them.",
    "Whoever has the signing key, root above all, can write another log and sign it. An older checkpoint that \
     was kept elsewhere shows that: `hushpipe audit verify --since FILE` fails if the log does not continue \
     it. Keep checkpoints where the host's root cannot change them, or let a witness on another host do so: \
     audit.witnesses in the site.",
    "A witness (`hushpipe audit witness`, or any other of c2sp.org/tlog-witness) remembers the last checkpoint of \
     each log and cosigns a new one only if the log proves that it continues that one. `hushpipe audit cosign` \
     asks the site's witnesses and keeps what they cosigned. `hushpipe audit verify` then fails if the log does \
     not continue it or if it is gone, and with --ask if a witness itself saw another log.",
    "Several launchers write one log, each under the lock; a launch waits for it for up to 5 s. What a crash \
     left of a record is cut off by the next one that writes, and that is on record (recovered). A segment is \
     closed at 64 MiB.",
];

const KINDS: [(&str, &str); 12] = [
    (
        "start, end",
        "A launcher began, and ended: with the program's exit code, or why the launch failed.",
    ),
    (
        "release, delivered, failed",
        "Secrets are about to be delivered, at a launch or a rotation; they were; they could not be. Of each: \
         name, store, what was asked for, version, classification, owner, deliveries, fingerprints.",
    ),
    (
        "decision, denied",
        "What policy was asked on one secret, what it answered, and what followed.",
    ),
    (
        "break_glass",
        "Policy was asked with --break-glass, and why.",
    ),
    (
        "approval_asked, approval_given, approval_spent",
        "See hushpipe-approval(7).",
    ),
    (
        "rotated, verified, rolled_back, revoked",
        "What came of a rotation; leases and logins that were given back.",
    ),
    (
        "control",
        "A command to a launcher: what, and by which process and user, by the kernel's word. Of requests for its \
         state, one of each user is recorded in ten minutes, with how many there were since; policy's decisions on \
         them likewise.",
    ),
    (
        "reveal, revealed, change",
        "A person asked to see or change sealed secrets; this version of one, with this fingerprint, is about to \
         be shown.",
    ),
    ("read", "The log was read: how, and by whom."),
    (
        "recovered",
        "What a crash left was cut off or made anew; records were lost while the log could not be written; or the \
         checkpoint was missing, so that records before this one were not signed.",
    ),
    (
        "pruned",
        "Records with smaller numbers than below were removed.",
    ),
    (
        "incident_opened, incident_step, incident_closed",
        "A leaked secret was contained: hushpipe-incident(7). Times are in milliseconds: took_ms, detected_ms, \
         contained_ms.",
    ),
];

const FILES: [(&str, &str); 6] = [
    (
        "DIRECTORY/records.jsonl",
        "The current segment. Closed ones are records-NNNNNNNNNNNN.jsonl, by the number of their first record.",
    ),
    (
        "DIRECTORY/tile",
        "The tree. It stays where records are pruned.",
    ),
    ("DIRECTORY/checkpoint", "Its signed head."),
    (
        "DIRECTORY/lock",
        "Held with flock(2) while records are added.",
    ),
    (
        "key_file",
        "The signing key, 0600, made with the log. Its public half is printed by `hushpipe audit key`. A log \
         whose key is missing or another one is not written.",
    ),
    (
        "fingerprint_key_file",
        "At least 16 bytes that its owner and group alone can read. Give hosts the same key to find a value on all \
         of them; a new key finds nothing of what is on record by then.",
    ),
];

const RIGHTS: &str = "The directory belongs to the user whose launchers write it, root as a rule, and neither it nor what \
     is in it may be writable for others. hushpipe makes it 0700. Give it to a group to let its members read \
     and verify: chgrp adm DIRECTORY, and chmod 0750 before the first record. A launcher of another user cannot \
     write the log, and with required: true delivers nothing.";

const EXAMPLE: &str = "\
# /etc/hushpipe/site.yaml
version: 1
audit:
  directory: /var/log/hushpipe
  fingerprint_key_file: /etc/hushpipe/fingerprint.key
  witnesses:
    - url: http://10.0.0.9:8450
      key: other/hushpipe-witness+7c1f6d1b+BOC1TtdVN5ZOdZ9KKUHq3rVdOpWnOWKEoqMbFI2bgJ5W

# the key of fingerprints
$ (umask 077; head -c 32 /dev/urandom | base64 > /etc/hushpipe/fingerprint.key)

# what was the service shop given since yesterday?
$ hushpipe audit show --service shop --kind release --since 2026-11-27

# this value leaked: who has it?
$ hushpipe audit find --value < leaked

# all denials, as JSON
$ hushpipe audit show --kind denied --json | jq -r '.ruling.policies[]'

# is the log whole, and does it continue the checkpoint of last week?
$ hushpipe audit checkpoint > /mnt/elsewhere/checkpoint
$ hushpipe audit verify --since /mnt/elsewhere/checkpoint

# a witness: on a host of another administrator, once, and then on this one
other$ hushpipe audit witness --print-key
other$ hushpipe audit witness --listen 10.0.0.9:8450 --logs /etc/hushpipe/logs
$ hushpipe audit cosign
$ hushpipe audit verify --ask

# a copy of it, on another host
$ hushpipe audit key > key
$ hushpipe audit verify --directory ./copy --key key

# remove what is older than 400 days (audit.retain does so by itself)
$ hushpipe audit prune --older-than 400d";

/// The page.
pub(super) fn page() -> Page {
    let mut roff = Roff::new();
    let source = concat!("hushpipe ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["hushpipe-audit", "7", NO_DATE, source, "hushpipe"]);
    unjustified(&mut roff);
    roff.control("SH", ["NAME"]);
    roff.text([roman(
        "hushpipe-audit - the record of what was delivered, to whom and why",
    )]);
    roff.control("SH", ["DESCRIPTION"]);
    paragraphs(&mut roff, &WHAT);
    for (title, rows) in [("RECORDS", &KINDS[..]), ("FILES", &FILES[..])] {
        roff.control("SH", [title]);
        for (name, about) in rows {
            item(&mut roff, name, about);
        }
    }
    roff.control("PP", []);
    roff.text([roman(RIGHTS)]);
    roff.control("SH", ["EXAMPLES"]);
    verbatim(&mut roff, EXAMPLE.lines());
    let pages = [
        ("hushpipe-audit", 1),
        ("hushpipe-site.yaml", 5),
        ("hushpipe-policy", 7),
        ("hushpipe-approval", 7),
    ];
    see_also(&mut roff, &pages);
    Page {
        name: "hushpipe-audit".to_owned(),
        section: 7,
        roff: ascii(&roff.to_roff()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::audit::kinds;
    use crate::manifest::parse_site;

    #[test]
    fn every_kind_of_record_is_explained() {
        for word in kinds() {
            let told = KINDS.iter();
            let told = told.flat_map(|(names, _)| names.split(", "));
            assert!(told.clone().any(|name| name == word), "{word}");
        }
    }

    #[test]
    fn the_example_of_a_site_has_no_faults() {
        let text = EXAMPLE.split("\n\n").next().unwrap();
        let site = parse_site(std::path::Path::new("site.yaml"), text.into());
        let site = site.map_err(|error| error.text()).unwrap();
        assert!(site.audit.unwrap().required);
    }
}
