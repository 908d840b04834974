//! What a site costs a launch: none, one with ten policies, one with a thousand.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::launches::interleaved;
use super::table::Row;
use super::{Bench, Effort, by_fd};

const ROUNDS: usize = 200;

/// How many policies, and how many milliseconds more a launch may take with them.
const SITES: [(usize, f64); 2] = [(10, 0.8), (1_000, 5.0)];

/// Launches with each site and without, interleaved.
pub fn measure(bench: &Bench, effort: Effort) -> Vec<Row> {
    let manifest = bench.manifest("plain", &by_fd(), "  command: [/bin/true]\n");
    let launch = |site: Option<PathBuf>| {
        let mut command = Command::new(&bench.hushpipe);
        command.args(["-q", "run", "--exec", "-m"]).arg(&manifest);
        match site {
            Some(site) => command.env("HUSHPIPE_SITE", site),
            None => command.env_remove("HUSHPIPE_SITE"),
        };
        command
    };
    let with = SITES.map(|(policies, _)| launch(Some(site(bench, policies))));
    let mut commands: Vec<Command> = [launch(None)].into_iter().chain(with).collect();
    let times = interleaved(&mut commands, effort.rounds(ROUNDS));
    let without = &times[0];
    let rows = SITES
        .iter()
        .zip(&times[1..])
        .map(|((policies, target), with)| {
            Row::timed(
                format!("run --exec under a site with {policies} policies, ms more"),
                with.tenth - without.tenth,
                *target,
            )
        });
    rows.collect()
}

/// A site of this user with so many policies: one that allows all, and those that do not concern it, as
/// those of other teams.
fn site(bench: &Bench, policies: usize) -> PathBuf {
    let directory = bench.path(&format!("site-{policies}"));
    let rules = directory.join("policy.d");
    fs::create_dir_all(&rules).expect("it is new");
    let mut text = String::from("@id(\"all\")\npermit (principal, action, resource);\n");
    for number in 1..policies {
        writeln!(
            text,
            "@id(\"team-{number}\")\nforbid (principal, action == Action::\"deliver\", resource)\nwhen {{ \
             resource.owner == \"team-{number}\" && context.environment == \"production\" \
             && !context.program.pinned }};"
        )
        .expect("a String takes it");
    }
    fs::write(rules.join("all.cedar"), text).expect("it is writable");
    let site = directory.join("site.yaml");
    let text = format!(
        "version: 1\npolicy: {{ directory: \"{}\" }}\n",
        rules.display()
    );
    fs::write(&site, text).expect("it is writable");
    site
}
