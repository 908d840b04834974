//! The README's way to nginx as a unit, line by line, on a Debian that has never had hushpipe.

use std::fs;
use std::time::{Duration, Instant};

use super::in_each_alone;
use crate::packages;

/// What needs the network or a compiler, and what the machine is made with or is given instead: nginx
/// and the .deb.
const BEFORE: [&str; 3] = ["apt-get ", "cargo ", "packaging/build "];

/// Of the ten minutes that the README promises, what may be left when all is built.
const LIMIT: Duration = Duration::from_mins(2);

/// The first shell lines of the README's part on units.
fn steps() -> String {
    let readme = include_str!("../../../../README.md");
    let part = readme.split("\n## In a systemd unit\n").nth(1);
    let block = part.and_then(|part| part.split("```sh\n").nth(1)?.split("```").next());
    let lines = block.expect("the README has it").split_inclusive('\n');
    let is_run = |line: &&str| !BEFORE.iter().any(|start| line.starts_with(start));
    lines.filter(is_run).collect()
}

#[test]
fn the_steps_of_the_readme_lead_to_nginx_as_a_unit() {
    let Some(directory) = packages::directory() else {
        return;
    };
    let deb = packages::file(&directory, ".deb");
    let name = deb.file_name().and_then(|name| name.to_str());
    let name = format!("/srv/target/packages/{}", name.expect("UTF-8"));
    let deb = fs::read(deb).expect("it was made");
    in_each_alone(|machine| {
        machine.write(&name, &deb, 0o644);
        let began = Instant::now();
        let script = format!("cd /srv\n{}", steps());
        let said = machine.ok(&["bash", "-ec", &script]);
        let took = began.elapsed();
        println!(
            "{:?}: the steps of the README took {took:?}",
            machine.suite()
        );
        assert!(said.ends_with("\r\n\r\nwell\n"), "{said}");
        assert!(said.contains("\nhealthy: nginx"), "{said}");
        assert!(took < LIMIT, "{took:?}");
        // As it says: for nginx alone, and taken up when it is another.
        assert!(!machine.path("/run/nginx-secrets/server.pem").exists());
        machine.systemctl("reload nginx");
        let commands = machine.ok(&["hushpipe", "systemd", "unwrap", "nginx"]);
        assert!(
            commands.ends_with("systemctl restart nginx.service\n"),
            "{commands}"
        );
    });
}
