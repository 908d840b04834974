//! What the engine, and whoever looks at its processes, can tell of a container: no value is in it.

use super::Container;
use crate::harness::{descendants, wait_until};
use crate::leak::{Canary, Scan};

/// Canaries that everybody may see: where one is not found, nothing was looked at.
pub struct Controls {
    /// In a variable of hushpipe's, and so in its memory.
    pub variable: Canary,
    /// In a file that the program wrote to the container's disk.
    pub disk: Canary,
}

impl Controls {
    pub fn new() -> Self {
        Self {
            variable: Canary::new("control in a variable"),
            disk: Canary::new("control on the disk"),
        }
    }
}

/// A line of the image's /etc/passwd.
const IN_THE_IMAGE: &str = "app:x:1000:1000:";

/// Neither hushpipe's memory nor anything that the engine tells has a value. `on_disk`: the program
/// could write to the container's disk.
pub fn assert_unseen(
    container: &Container,
    canaries: &[Canary],
    controls: &Controls,
    on_disk: bool,
) {
    let scan = Scan::new(canaries);
    assert_not_in_memory(container, &scan, &controls.variable);
    let mut tree = descendants(container.pid());
    tree.push(container.pid());
    assert!(tree.len() > 2, "{tree:?}");
    assert_eq!(scan.shown(&tree), [""; 0]);

    let id = container.id.as_str();
    let image = container.engine.ask(["commit", id]);
    let variable = Some(&controls.variable);
    let disk = on_disk.then_some(&controls.disk);
    for (words, text, control) in [
        (&["inspect", id][..], "hushpipe", variable),
        (&["logs", id], "ready", None),
        (&["top", id, "-eo", "pid,args"], "hushpipe", None),
        (&["export", id], IN_THE_IMAGE, disk),
        (&["inspect", &image], "CONTROL", variable),
        (&["history", "--no-trunc", &image], "hushpipe", None),
        (&["save", &image], IN_THE_IMAGE, disk),
    ] {
        let told = container.engine.try_docker(words);
        assert!(told.status.success(), "{words:?}");
        let streams = [told.stdout, told.stderr].concat();
        let seen = memchr::memmem::find(&streams, text.as_bytes()).is_some();
        assert!(seen, "no {text} in {words:?}");
        if let Some(control) = control {
            let found = Scan::new([control]).bytes(words[0], &streams);
            assert!(!found.is_empty(), "the scan is blind to {words:?}");
        }
        assert_eq!(scan.bytes(words[0], &streams), [""; 0]);
    }
    container.engine.ask(["image", "rm", &image]);
}

/// The program may be ready while hushpipe still clears up.
fn assert_not_in_memory(container: &Container, scan: &Scan, control: &Canary) {
    let found = Scan::new([control]).memory(container.pid()).hits;
    assert!(!found.is_empty(), "the scan does not see hushpipe's memory");
    let mut hits = Vec::new();
    let clean = wait_until(|| {
        let seen = scan.memory(container.pid());
        assert!(seen.bytes > 500_000, "only {} bytes were read", seen.bytes);
        hits = seen.hits;
        hits.is_empty().then_some(())
    });
    assert!(clean.is_some(), "{hits:?}");
}
