//! What a decision by a site's policies takes, after the launch.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use super::Bench;
use super::table::Row;

/// How many policies a site has, and how many microseconds a decision may take, but for one in a hundred.
const TARGETS: [(usize, f64); 2] = [(10, 20.0), (1_000, 1_000.0)];

/// Decisions by so many policies.
pub fn measure(bench: &Bench) -> Vec<Row> {
    let rows = TARGETS.into_iter().flat_map(|(count, target)| {
        directory(bench, count);
        let (median, most) = decisions(bench, count);
        [
            Row::info(format!("decision, {count} policies, median, µs"), median),
            Row::timed(
                format!("decision, {count} policies, 99th percentile, µs"),
                most,
                target,
            ),
        ]
    });
    rows.collect()
}

fn directory(bench: &Bench, count: usize) {
    let directory = bench.path(&format!("decided-{count}"));
    fs::create_dir(&directory).expect("it is new");
    for file in 0..count.div_ceil(100) {
        let range = file * 100..count.min((file + 1) * 100);
        let text: String = range.map(policy).collect();
        fs::write(directory.join(format!("{file}.cedar")), text).expect("it is writable");
    }
}

/// As sites have them: most are of one service, some of a role, a tenth of all.
fn policy(number: usize) -> String {
    let mut text = format!("@id(\"p{number}\")\n");
    let written = match number % 10 {
        0 if number == 0 => write!(
            text,
            "permit (principal == Service::\"bench\", action == Action::\"deliver\", resource)"
        ),
        0 => write!(
            text,
            "@approval(\"2 of sre within 8h\")\nforbid (principal, action == Action::\"deliver\", resource)\n\
             when {{ resource.classification == \"class-{number}\" && context.environment == \"production\" }}"
        ),
        1..=2 => write!(
            text,
            "permit (principal in Role::\"team-{number}\", action == Action::\"deliver\", resource)\n\
             when {{ resource.owner == principal.owner }}"
        ),
        3 => write!(
            text,
            "permit (principal in Group::\"group-{number}\", action in [Action::\"rotate\", Action::\"revoke\"], resource)"
        ),
        _ => write!(
            text,
            "permit (principal == Service::\"service-{number}\", action == Action::\"deliver\", resource)\n\
             when {{ resource.environment == context.environment && context.program.pinned }}"
        ),
    };
    written.expect("a String takes all that is written");
    text + ";\n"
}

/// By `policy test --time`, in microseconds.
fn decisions(bench: &Bench, count: usize) -> (f64, f64) {
    let cases: String = (0..super::SECRETS)
        .map(|n| {
            format!(
                "  - {{ query: {{ principal: {{ name: bench }}, resource: {{ name: s{n} }} }}, decision: allow }}\n"
            )
        })
        .collect();
    let file = bench.path("cases.yaml");
    fs::write(&file, format!("cases:\n{cases}")).expect("it is writable");
    let output = Command::new(&bench.hushpipe)
        .args(["-q", "policy", "test", "--time", "--with"])
        .arg(bench.path(&format!("decided-{count}")))
        .arg(&file)
        .output()
        .expect("it can be started");
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "hushpipe policy test: {fault}");
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    match figures[..] {
        [_, median, most, ..] => (median, most),
        _ => panic!("no times in {text:?}"),
    }
}
