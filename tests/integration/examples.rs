//! The examples that need a vault: their manifests, with the real programs, under load.
//! What their `run` scripts promise is in `quickstart`.

mod nginx;
mod pgbouncer;

use std::path::{Path, PathBuf};

use crate::harness::{Hushpipe, Place, is_long};

/// How often the credentials are replaced.
fn rotations() -> usize {
    if is_long() { 100 } else { 20 }
}

fn folder(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(example)
}

/// A file of an example.
fn read(example: &str, name: &str) -> String {
    let path = folder(example).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// hushpipe with an example's manifest, told by the example's own variables to look in `etc` of the
/// place; and the script that says whether the program is well.
fn with_example(hushpipe: Hushpipe, example: &str, well: &str) -> Hushpipe {
    let prefix = example.to_uppercase();
    hushpipe
        .manifest(&read(example, "hushpipe.yaml"))
        .file(&format!("etc/{well}"), read(example, well))
        .mode(&format!("etc/{well}"), 0o755)
        .env(&format!("{prefix}_ETC"), "{place}/etc")
        .env(&format!("{prefix}_SETTLE"), "0s")
        .controlled()
        .args(["-v", "run"])
}

/// The files that the manifest logs in with, where it looks for them.
fn bring_login(place: &Place, ca: &Path) {
    for name in ["role_id", "secret_id"] {
        place.write(&format!("etc/{name}"), place.read(name));
    }
    place.write("etc/ca.pem", std::fs::read(ca).expect("the CA is there"));
}
