//! The .deb, from its installation to the last trace of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::in_each_alone;
use super::machine::Machine;
use crate::harness::Place;
use crate::packages::{self, run};

const INSTALL: [&str; 2] = ["dpkg", "--install"];

const MANIFEST: &str = "version: 1\nservice: app\nstores: {}\nsecrets: {}\n\
    run: { command: [sleep, infinity] }\n";

const UNIT: &str = "hushpipe@app.service";

const DROP_IN: &str = "/etc/systemd/system/redis-server.service.d/50-hushpipe.conf";

/// The packages, and one of the version before: with a file that this one does not have.
struct Packages {
    new: PathBuf,
    old: PathBuf,
    _place: Place,
}

impl Packages {
    fn find() -> Option<Self> {
        let new = packages::file(&packages::directory()?, ".deb");
        let place = Place::new();
        let tree = place.join("tree");
        let utf8 = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let unpack = ["dpkg-deb", "--raw-extract", &utf8(&new), &utf8(&tree)];
        run(&unpack, place.path());
        let control = fs::read_to_string(tree.join("DEBIAN/control")).expect("it was unpacked");
        let lines = control.lines().map(|line| match line.split_once(' ') {
            Some(("Version:", _)) => "Version: 0.0.9-1\n".to_owned(),
            _ => format!("{line}\n"),
        });
        fs::write(tree.join("DEBIAN/control"), lines.collect::<String>()).expect("it is ours");
        fs::write(tree.join("usr/share/doc/hushpipe/old"), "").expect("it is ours");
        // Quicker to make.
        let pack = ["dpkg-deb", "-Znone", "--build", "tree", "old.deb"];
        run(&pack, place.path());
        Some(Self {
            new,
            old: place.join("old.deb"),
            _place: place,
        })
    }

    fn put_into(&self, machine: &Machine) {
        for (file, name) in [(&self.new, "/srv/new.deb"), (&self.old, "/srv/old.deb")] {
            machine.write(name, fs::read(file).expect("it was made"), 0o644);
        }
    }
}

/// Stops what starts by itself and writes: backups of dpkg's, logrotate, what tidies up.
fn stop_timers(machine: &Machine) {
    let script = "units=$(systemctl show --property=Unit --value '*.timer') && \
                  systemctl stop '*.timer' $units";
    machine.ok(&["sh", "-c", script]);
}

/// All that could be left, with its mode, size and owner.
fn tree(machine: &Machine) -> Vec<String> {
    let find = "find / -xdev ( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/tmp \
         -o -path /var/log -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/systemd ) \
         -prune -o ( -type d -printf %y%m%U:%G%p\\n , -not -type d -printf %y%m%U:%G:%s%p\\n )";
    let words: Vec<_> = find.split_whitespace().collect();
    let mut lines: Vec<_> = machine.ok(&words).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn version(machine: &Machine) -> String {
    machine.ok(&[
        "dpkg-query",
        "--show",
        "--showformat=${Version}",
        "hushpipe",
    ])
}

fn is_there(machine: &Machine, path: &str) -> bool {
    machine.path(path).exists()
}

#[test]
fn nothing_is_left_of_what_was_purged() {
    let Some(packages) = Packages::find() else {
        return;
    };
    in_each_alone(|machine| {
        packages.put_into(machine);
        stop_timers(machine);
        let before = tree(machine);
        machine.ok(&[INSTALL[0], INSTALL[1], "/srv/new.deb"]);
        assert_ne!(tree(machine), before);
        machine.ok(&["dpkg", "--remove", "hushpipe"]);
        // What somebody may have changed is kept.
        assert!(is_there(machine, "/etc/hushpipe/README"));
        machine.ok(&["dpkg", "--purge", "hushpipe"]);
        let after = tree(machine);
        let left: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
        assert!(left.is_empty() && after == before, "{left:#?}");
        let info = machine.run(&["sh", "-c", "ls /var/lib/dpkg/info | grep hushpipe"]);
        assert_eq!(info.stdout, "");
        let failed = machine.systemctl("--failed --no-legend --plain");
        assert_eq!(failed, "");
    });
}

#[test]
fn what_it_installs_can_be_used_at_once() {
    let Some(packages) = Packages::find() else {
        return;
    };
    in_each_alone(|machine| {
        packages.put_into(machine);
        machine.ok(&[INSTALL[0], INSTALL[1], "/srv/new.deb"]);
        let expected = concat!("hushpipe ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(machine.ok(&["hushpipe", "--version"]), expected);
        for (page, text) in [("hushpipe", "EXIT STATUS"), ("hushpipe.yaml", "KEYS")] {
            let pages = machine.path("/usr/share/man");
            let man = Command::new("man")
                .arg("--manpath")
                .arg(pages)
                .arg(page)
                .output();
            let man = man.expect("man-db is installed");
            let shown = String::from_utf8_lossy(&man.stdout).into_owned();
            assert!(shown.contains(text), "{page}: {shown}");
        }
        let complete = ". /usr/share/bash-completion/completions/hushpipe; complete -p hushpipe";
        machine.ok(&["bash", "-c", complete]);
        // The manifest says what is started; the unit is there for it, and not enabled by itself.
        let listed = machine.systemctl("list-unit-files --no-legend hushpipe@.service");
        assert!(listed.contains("disabled"), "{listed}");
        machine.write("/etc/hushpipe/app.yaml", MANIFEST, 0o644);
        machine.systemctl("enable --now hushpipe@app");
        assert_eq!(machine.property(UNIT, "SubState"), "running");
    });
}

#[test]
fn programs_run_on_through_an_upgrade_and_manifests_outlive_a_purge() {
    let Some(packages) = Packages::find() else {
        return;
    };
    in_each_alone(|machine| {
        packages.put_into(machine);
        machine.ok(&[INSTALL[0], INSTALL[1], "/srv/old.deb"]);
        assert_eq!(version(machine), "0.0.9-1");
        machine.write("/etc/hushpipe/app.yaml", MANIFEST, 0o644);
        machine.write("/etc/hushpipe/README", "ours\n", 0o644);
        machine.systemctl("start hushpipe@app");
        let pid = machine.property(UNIT, "MainPID");

        machine.ok(&[INSTALL[0], INSTALL[1], "/srv/new.deb"]);
        assert_eq!(version(machine), concat!(env!("CARGO_PKG_VERSION"), "-1"));
        assert!(!is_there(machine, "/usr/share/doc/hushpipe/old"));
        assert_eq!(machine.property(UNIT, "MainPID"), pid);
        let readme = fs::read_to_string(machine.path("/etc/hushpipe/README"));
        assert_eq!(readme.expect("it is kept"), "ours\n");

        machine.write(DROP_IN, "", 0o644);
        let removal = machine.run(&["dpkg", "--remove", "hushpipe"]);
        assert_eq!(removal.code, Some(0), "{}", removal.stderr);
        let warning = "redis-server is still started through hushpipe";
        assert!(removal.stderr.contains(warning), "{}", removal.stderr);
        assert_eq!(machine.property(UNIT, "ActiveState"), "inactive");
        assert!(!is_there(machine, "/usr/bin/hushpipe"));

        // A manifest is not the package's.
        machine.ok(&["dpkg", "--purge", "hushpipe"]);
        assert!(!is_there(machine, "/etc/hushpipe/README"));
        assert!(is_there(machine, "/etc/hushpipe/app.yaml"));
    });
}
