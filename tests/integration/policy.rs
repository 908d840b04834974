//! A host with a site: what its policy denies is not asked for, not delivered and not done.

mod again;
mod aged;
mod approved;
mod commands;
mod launches;
mod proof;
mod recipe;
mod rotations;
mod sealed;

use crate::harness::{Hushpipe, Place};

/// Everything is allowed; what else there is may forbid.
const PERMIT: &str = "@id(\"all\") permit (principal, action, resource);\n";

/// A site with this policy in the place, and more lines of its own.
fn site(hushpipe: Hushpipe, policies: &str, more: &str) -> Hushpipe {
    site_in_mode(hushpipe, "enforce", policies, more)
}

fn site_in_mode(hushpipe: Hushpipe, mode: &str, policies: &str, more: &str) -> Hushpipe {
    let text = format!(
        "version: 1\nenvironment: production\npolicy: {{ directory: \"{{place}}/policy.d\", mode: \
         {mode} }}\n{more}"
    );
    hushpipe.place().copy_probe();
    let text = hushpipe.place().fill(&text);
    hushpipe
        .file("site.yaml", text)
        .file("policy.d/site.cedar", policies)
        .env("HUSHPIPE_SITE", "{place}/site.yaml")
}

/// Puts other policies in the place of those that are there, in one step.
fn decide_anew(place: &Place, policies: &str) {
    place.write("site.cedar.new", policies);
    let (new, old) = (
        place.join("site.cedar.new"),
        place.join("policy.d/site.cedar"),
    );
    std::fs::rename(new, old).expect("the policies can be replaced");
}

/// A store of files, and a program that writes what it is delivered.
const FILES: &str = "version: 1\nservice: t\nstores: { s: { type: directory, path: \"{place}/s\" } }\n\
                     secrets: { db: { store: s, key: db, classification: restricted } }\n\
                     deliver: [{ file: \"{place}/run/db\", content: \"{{ db }}\\n\" }]\n\
                     on_rotate: { do: signal, signal: HUP, settle: 0s }\n";

/// With that store.
fn files(value: &str) -> Hushpipe {
    Hushpipe::new()
        .manifest(FILES)
        .directory("s")
        .file("s/db", value)
}
