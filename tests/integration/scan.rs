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
    scan(input(&stripe), &["--fail=low", "-"]).code(1);
    scan(input(TOKEN), &["--fail=high", "-"])
        .code(1)
        .stdout_has("-:1:1");
    scan(input("password = os.environ['A']\n"), &["--fail", "-"])
        .success()
        .stdout_is("");
}

/// Runs a program of the tests' host.
fn host(words: &[&str], directory: &std::path::Path) {
    let output = std::process::Command::new(words[0])
        .args(&words[1..])
        .current_dir(directory)
        .env("HOME", directory)
        .output()
        .expect("the program is there");
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_version_in_a_history_is_scanned_and_nothing_of_the_repository_runs() {
    let hushpipe = Hushpipe::new().directory("r");
    let repository = hushpipe.place().join("r");
    let git = |words: &[&str]| {
        let fixed = ["git", "-c", "user.name=a", "-c", "user.email=a@x.test"];
        host(&[&fixed[..], words].concat(), &repository);
    };
    git(&["init", "--quiet", "."]);
    std::fs::write(
        repository.join("app.env"),
        "DB_PASSWORD=Hn4tB7xK9w-Zc2mV5\n",
    )
    .unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "one"]);
    std::fs::write(
        repository.join("app.env"),
        "DB_PASSWORD=Hn4tB7xK9w-Zc2mV5\nA=1\n",
    )
    .unwrap();
    git(&["commit", "--quiet", "-am", "two"]);
    std::fs::write(repository.join("app.env"), "DB_PASSWORD=${DB_PASSWORD}\n").unwrap();
    git(&["commit", "--quiet", "-am", "three"]);
    // What a repository's configuration can have git run.
    let trap = hushpipe.place().join("ran");
    let run = format!("touch {}", trap.display());
    for key in [
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "core.editor",
        "diff.external",
    ] {
        git(&["config", key, &run]);
    }
    let output = scan(hushpipe, &["--fail", "{place}/r"]).success();
    let output = scan(output.again(), &["--fail", "--git", "--json", "{place}/r"]).code(1);
    let report = parsed(&output);
    let found = report["findings"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{report:#}");
    assert_eq!(
        (&found[0]["path"], &found[0]["within"]["kind"]),
        (&"app.env".into(), &"commit".into())
    );
    assert!(!trap.exists(), "git ran what the repository names");
    let output = output.again();
    scan(output, &["--git", "{place}"])
        .code(66)
        .stderr_has("git: fatal: not a git repository");
}

#[test]
fn layers_of_an_image_are_scanned_and_links_lead_nowhere() {
    let hushpipe = Hushpipe::new()
        .file("l/app/.env", "DB_PASSWORD=Hn4tB7xK9w-Zc2mV5\n")
        .file("outside", "DB_PASSWORD=Jk8sW3pQ6z-Vb5nM1\n")
        .file(
            "i/manifest.json",
            "[{\"Config\":\"c.json\",\"Layers\":[\"a/layer.tar\"]}]",
        )
        .file(
            "i/c.json",
            "{\"config\":{\"Env\":[\"API_TOKEN=Xc7vB2nM9q-Ws4eR8\"]}}",
        )
        .directory("i/a");
    let place = hushpipe.place().path().to_owned();
    std::os::unix::fs::symlink("../../outside", place.join("l/app/link")).unwrap();
    host(&["tar", "-cf", "i/a/layer.tar", "-C", "l", "."], &place);
    host(&["tar", "-cf", "image.tar", "-C", "i", "."], &place);
    host(&["gzip", "-k", "image.tar"], &place);
    let mut hushpipe = hushpipe;
    for image in ["{place}/image.tar", "{place}/image.tar.gz"] {
        let output = scan(hushpipe, &["--json", image]).success();
        let report = parsed(&output);
        let found = report["findings"].as_array().unwrap();
        let lines: Vec<&str> = found
            .iter()
            .filter_map(|one| one["name"].as_str())
            .collect();
        assert_eq!(lines, ["API_TOKEN", "DB_PASSWORD"], "{report:#}");
        hushpipe = output.again();
    }
}

#[test]
fn a_process_is_looked_into_and_its_deleted_file() {
    let hushpipe = Hushpipe::new();
    let path = hushpipe.place().join("gone.env");
    std::fs::write(&path, "DB_PASSWORD=Hn4tB7xK9w-Zc2mV5\n").unwrap();
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .env("APP_TOKEN", "Xc7vB2nM9q-Ws4eR8")
        .stdin(std::fs::File::open(&path).unwrap())
        .spawn()
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    let output = scan(hushpipe, &["--processes", "--json"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let report = parsed(&output.success());
    let name = format!("{} sleep", child.id());
    let found = report["findings"].as_array().unwrap().iter();
    let own: Vec<&str> = found
        .filter(|one| one["within"]["name"] == name.as_str())
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(own, ["APP_TOKEN", "DB_PASSWORD"], "{report:#}");
}

#[test]
fn values_of_a_store_are_known_wherever_they_are_and_never_shown() {
    let value = "K7wq-Tz9n:Lm4x";
    let hushpipe = Hushpipe::new()
        .sealed(&[("db/password", value), ("short", "abc")])
        .file("p/notes.txt", format!("it is {value}\n"))
        .file("p/a.bin", format!("\u{0}\u{1}{value}\u{0}"))
        .file("p/url.txt", "https://x.test/?p=K7wq-Tz9n%3ALm4x\n");
    let known = [
        "--known",
        "{place}/store",
        "--identity",
        "{place}/identity.txt",
        "{place}/p",
    ];
    let output = scan(hushpipe, &[&["--json"][..], &known].concat())
        .success()
        .says_nothing_of(value)
        .stderr_has("short is not looked for: it is too short");
    let report = parsed(&output);
    let found = report["findings"].as_array().unwrap().iter();
    let names: Vec<String> = found
        .map(|one| format!("{} {}", one["rule"], one["known"][0]))
        .collect();
    let wanted = [
        "\"known-secret\" \"db/password\"",
        "\"known-secret\" \"db/password\"",
        "\"known-secret\" \"db/password (percent)\"",
    ];
    assert_eq!(names, wanted, "{report:#}");
    scan(
        output.again(),
        &[
            "--known",
            "{place}/none",
            "--identity",
            "{place}/identity.txt",
            "{place}/p",
        ],
    )
    .code(69);
}

#[test]
fn rules_of_other_scanners_are_loaded_and_what_is_not_is_named() {
    let rules = "[[rules]]\nid = \"own\"\ndescription = \"our token\"\nregex = 'own-([a-z0-9]{12})'\nkeywords = [\"own-\"]\n\
        [[rules]]\nid = \"bad\"\nregex = \"(\"\n";
    let hushpipe = Hushpipe::new()
        .file("rules.toml", rules)
        .file("bad.toml", "[[rules]")
        .file("p/a.txt", "own-q7w2e9r4t1y6\n");
    let output = scan(
        hushpipe,
        &["--fail", "--rules", "{place}/rules.toml", "{place}/p"],
    )
    .code(1)
    .stdout_has("own ")
    .stderr_has("rule bad of ");
    let output = scan(
        output.again(),
        &["--rules", "{place}/bad.toml", "{place}/p"],
    )
    .code(78)
    .stderr_has("no file of rules");
    scan(
        output.again(),
        &["--rules", "{place}/none.toml", "{place}/p"],
    )
    .code(66);
}
