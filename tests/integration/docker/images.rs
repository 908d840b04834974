//! What the images of these tests are made of: programs of this machine, and the static hushpipe.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// The commands that busybox stands for in an image.
const APPLETS: &[&str] = &[
    "cat",
    "echo",
    "env",
    "false",
    "head",
    "id",
    "kill",
    "ls",
    "mount",
    "ps",
    "seq",
    "setsid",
    "sh",
    "sha256sum",
    "sleep",
    "stat",
    "stty",
    "test",
    "true",
    "umount",
    "wc",
];

/// The static binary: that of `HUSHPIPE_STATIC`, or built by tests/static.
pub fn hushpipe() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/static");
        let built = Command::new(script)
            .output()
            .expect("tests/static can be started");
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        String::from_utf8_lossy(&built.stdout).trim().into()
    })
}

/// busybox and hushpipe, users root and app (1000), and a manifest.
pub fn busybox() -> TempDir {
    let root = tempfile::tempdir().expect("a temporary directory can be made");
    let at = |path: &str| root.path().join(path);
    for directory in ["bin", "etc", "proc", "run", "tmp", "usr/local/bin", "var"] {
        fs::create_dir_all(at(directory)).expect("it can be made");
    }
    fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
    fs::set_permissions(at("tmp"), PermissionsExt::from_mode(0o1777)).expect("it is ours");
    fs::copy("/bin/busybox", at("bin/busybox")).expect("busybox-static is installed");
    for applet in APPLETS {
        symlink("busybox", at("bin").join(applet)).expect("it is new");
    }
    fs::copy(hushpipe(), at("usr/local/bin/hushpipe")).expect("it was built");
    let passwd = "root:x:0:0:root:/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n";
    fs::write(at("etc/passwd"), passwd).expect("it is new");
    fs::write(at("etc/group"), "root:x:0:\napp:x:1000:\n").expect("it is new");
    root
}
