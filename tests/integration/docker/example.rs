//! examples/docker, by its own script and by the steps of the README.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::{Engine, images};
use crate::harness::ports::free_port;
use crate::harness::{Place, deadline};

/// Both build an image of the same layers, and remove theirs: a layer that one takes from the cache
/// would be gone when the other has ended.
static ONE_BY_ONE: Mutex<()> = Mutex::new(());

/// An image with this machine's nginx in it, as no registry is asked: the program, the libraries
/// that it loads, and busybox.
fn nginx(place: &Place) -> PathBuf {
    let root = place.join("nginx");
    let base = images::busybox();
    let copied = Command::new("cp")
        .args(["-a", "--"])
        .arg(base.path())
        .arg(&root)
        .status();
    assert!(copied.expect("cp is there").success());
    let loaded = Command::new("ldd").arg("/usr/sbin/nginx").output();
    let loaded = String::from_utf8(loaded.expect("nginx is installed").stdout).expect("paths");
    let libraries = loaded
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    for path in libraries.chain(["/usr/sbin/nginx"]) {
        let to = root.join(&path[1..]);
        fs::create_dir_all(to.parent().expect("it is below the root")).expect("a directory");
        fs::copy(path, to).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    for directory in ["etc/nginx", "var/log/nginx", "var/lib/nginx"] {
        fs::create_dir_all(root.join(directory)).expect("a directory");
    }
    let passwd = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
    fs::write(root.join("etc/passwd"), passwd).expect("it can be written");
    fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n").expect("it can be written");
    root
}

#[test]
fn nginx_is_served_from_memory() {
    let _alone = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = Engine::shared();
    let place = Place::new();
    engine.import("hushpipe-example-base", &nginx(&place));
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/docker/run"))
        .env("DOCKER_HOST", engine.host())
        .env("DOCKER_BUILDKIT", "0")
        .env("HOME", place.path())
        .env("BASE", "hushpipe-example-base")
        .env("HUSHPIPE", images::hushpipe())
        .env("PORT", free_port().to_string())
        .env("PATIENCE", (deadline() * 2).as_secs().to_string())
        .env("TMPDIR", place.path())
        .output()
        .expect("the example can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n--- stderr\n{errors}");
    assert!(said.ends_with("All as promised.\n"), "{said}");
}

/// The first shell lines of the README's part on containers, but for those that install Debian's
/// packages.
fn steps() -> String {
    let readme = include_str!("../../../README.md");
    let part = readme.split("\n## In a container\n").nth(1);
    let block = part.and_then(|part| part.split("```sh\n").nth(1)?.split("```").next());
    let lines = block.expect("the README has it").split_inclusive('\n');
    lines.filter(|line| !line.starts_with("apt-get ")).collect()
}

#[test]
fn the_steps_of_the_readme_lead_to_nginx_in_a_container() {
    let _alone = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = Engine::shared();
    let place = Place::new();
    engine.import("nginx:stable", &nginx(&place));
    place.bring(images::hushpipe(), "hushpipe");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["packaging", "examples"] {
        symlink(source.join(name), place.join(name)).expect("it is new");
    }
    let port = free_port().to_string();
    let steps = steps().replace("8443", &port);
    let configure = format!("cd web && sed -i s/8443/{port}/ nginx.conf\n");
    let steps = steps.replace("cd web\n", &configure);
    let script = format!("set -e -o pipefail\ntrap 'docker-compose down' EXIT\n{steps}");
    let path = std::env::var("PATH").expect("it is set");
    let said = Command::new("bash")
        .args(["-c", &script])
        .current_dir(place.path())
        .env("PATH", format!("{}:{path}", place.join("bin").display()))
        .env("DOCKER_HOST", engine.host())
        .env("DOCKER_BUILDKIT", "0")
        .env("HOME", place.path())
        .env("HUSHPIPE", images::hushpipe())
        .output()
        .expect("bash can be started");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr),
    );
    assert!(said.status.success(), "{stdout}\n--- stderr\n{stderr}");
    assert!(stdout.contains("\nserved\n"), "{stdout}");
    assert!(stdout.contains("web  healthy\n"), "{stdout}");
}
