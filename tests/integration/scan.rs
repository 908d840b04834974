//! `hushpipe scan`, on files as people leave them.

use serde_json::Value;

use crate::harness::{Hushpipe, Output, canary::Canary};

/// An expired token, published as a sample of its checksum.
const TOKEN: &str = "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";

/// A file of each kind of rule, each with a value of its own.
const FILES: [(&str, &str); 10] = [
    (".env", "API_KEY=k3yb0ard-Cat-4f7a9c21d8\n"),
    (
        "src/main.rs",
        "const TOKEN: &str = \"Zq8w7Tn3Lk5Xv9Rb2Yc6Mf4H\";\n",
    ),
    (
        "home/.netrc",
        "machine x.test login me password Jd7sK2pQ9w-mN4vB8x\n",
    ),
    ("home/.pgpass", "db:5432:app:me:Lp3xR8tV6n!Qz1wK5\n"),
    (
        "compose.yaml",
        "services:\n  db:\n    environment:\n      POSTGRES_PASSWORD: Wm9zX4cT7r-Hb2nJ6\n",
    ),
    (
        "url.txt",
        "postgres://app:Gt5vN8kD3y-Sx7qF1@db.internal/app\n",
    ),
    ("home/.npmrc", "//r.test/:_authToken=Ky6hM1fB9t-Rw4pC7jD2\n"),
    (
        "dump.sql",
        "CREATE USER a IDENTIFIED BY 'Bv8cQ5nZ2x-Tm6wL3';\n",
    ),
    ("token.txt", TOKEN),
    (
        "etc/shadow",
        "root:$6$Xw5sR8dV$Kp9mZ3nC7vB1tQ6xL4hJ8fD2gS5wY0rE3uT7iO9pA1sD4fG6hJ8kL0zX2cV4bN6m:19000:::::\n",
    ),
];

const VALUES: [&str; 10] = [
    "k3yb0ard-Cat-4f7a9c21d8",
    "Zq8w7Tn3Lk5Xv9Rb2Yc6Mf4H",
    "Jd7sK2pQ9w-mN4vB8x",
    "Lp3xR8tV6n!Qz1wK5",
    "Wm9zX4cT7r-Hb2nJ6",
    "Gt5vN8kD3y-Sx7qF1",
    "Ky6hM1fB9t-Rw4pC7jD2",
    "Bv8cQ5nZ2x-Tm6wL3",
    TOKEN,
    "Kp9mZ3nC7vB1tQ6xL4hJ8fD2gS5wY0rE3uT7iO9pA1sD4fG6hJ8kL0zX2cV4bN6m",
];

fn project() -> Hushpipe {
    FILES
        .iter()
        .fold(Hushpipe::new(), |hushpipe, (path, text)| {
            hushpipe.file(&format!("p/{path}"), text)
        })
}

fn scan(hushpipe: Hushpipe, arguments: &[&str]) -> Output {
    hushpipe.args(["scan"]).args(arguments.to_vec()).run()
}

fn parsed(output: &Output) -> Value {
    serde_json::from_str(&output.stdout()).expect("it is JSON")
}

#[test]
fn everything_is_found_and_no_output_has_a_value() {
    let mut hushpipe = project();
    for arguments in [
        &["{place}/p"][..],
        &["--json", "{place}/p"],
        &["--sarif", "{place}/p"],
        &[
            "--fail",
            "--log-format=json",
            "-vv",
            "{place}/p",
            "--write-baseline",
            "{place}/base.json",
        ],
    ] {
        let fails = arguments.contains(&"--fail");
        let output = scan(hushpipe, arguments).code(i32::from(fails));
        for value in VALUES {
            for form in Canary::of("a value", &format!("{value}{value}")).forms() {
                for said in [output.stdout(), output.stderr()] {
                    let found = memchr::memmem::find(said.as_bytes(), &form.bytes);
                    assert!(found.is_none(), "{} of {value} in {said}", form.name);
                }
            }
            assert!(!output.stdout().contains(value) && !output.stderr().contains(value));
        }
        if arguments[0] == "--json" {
            let report = parsed(&output);
            let found = report["findings"].as_array().unwrap();
            let paths: std::collections::BTreeSet<&str> = found
                .iter()
                .filter_map(|one| one["path"].as_str())
                .collect();
            assert_eq!(paths.len(), FILES.len(), "{report:#}");
        }
        hushpipe = output.again();
    }
    let base = hushpipe.place().read("base.json");
    assert!(VALUES.iter().all(|value| !base.contains(value)), "{base}");
    assert!(base.contains("github-token"));
    // What is in the baseline is accepted, and what is new is not.
    let output = scan(
        hushpipe,
        &["--fail", "--baseline", "{place}/base.json", "{place}/p"],
    )
    .success();
    let hushpipe = output
        .again()
        .file("p/new.env", "DB_PASSWORD=Hn4tB7xK9w-Zc2mV5\n");
    scan(
        hushpipe,
        &["--fail", "--baseline", "{place}/base.json", "{place}/p"],
    )
    .code(1)
    .stdout_has("new.env:1:13")
    .stderr_has("more in the baseline");
}

#[test]
fn what_is_wrong_with_the_arguments_is_said_and_nothing_is_scanned() {
    scan(project(), &["{place}/p", "{place}/missing"])
        .code(66)
        .stderr_has("/missing");
    scan(project(), &["--show", "{place}/p"])
        .code(64)
        .stderr_has("not a terminal")
        .stdout_is("");
    let bad = project().file("base.json", "{\"version\": 7, \"findings\": []}");
    scan(bad, &["--baseline", "{place}/base.json", "{place}/p"])
        .code(78)
        .stderr_has("version 7");
    let bad = project().file("base.json", "[");
    scan(bad, &["--baseline", "{place}/base.json", "{place}/p"]).code(78);
    scan(project(), &["--baseline", "{place}/none.json", "{place}/p"]).code(66);
}

#[test]
fn standard_input_is_scanned_and_severity_decides() {
    let stripe = format!("sk_{}_4eC39HqLyjWDarjtT1zdp7dcAb", "test");
    let input = |text: &str| Hushpipe::new().stdin(text.as_bytes().to_vec());
    scan(input(&stripe), &["--fail=high", "-"])
        .success()
        .stdout_has("stripe-test-key");
    scan(input(&stripe), &["--fail", "-"]).code(1);
    scan(input(TOKEN), &["--fail=high", "-"])
        .code(1)
        .stdout_has("-:1:1");
    scan(input("password = os.environ['A']\n"), &["--fail", "-"])
        .success()
        .stdout_is("");
}
