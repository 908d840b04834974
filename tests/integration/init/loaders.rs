//! A table of .env files, and what real loaders read of each before `init --move` and under
//! `hushpipe run` after it.

use std::path::PathBuf;
use std::process::Command;

use super::{project, run};
use crate::harness::{Hushpipe, Output, Place};

/// What a row of the table says of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Every loader reads what it read.
    Same,
    /// `init` says what is wrong, and changes nothing.
    Refused,
}
use Then::{Refused, Same};

const UNQUOTED: [(&str, Then); 12] = [
    ("A=canary-x\n", Same),
    ("A=canary words here\n", Same),
    ("A=canary#hash\n", Same),
    ("A=canary # a comment\nB=canary-b#\n", Same),
    ("A=canary # it's a comment\nB=canary-b\n", Same),
    ("A=#canary\nB=canary-b\n", Same),
    ("B=canary-b\nA=canary$B\nC=${B}x\n", Same),
    ("A=can\\ary\\n\nB=canary-b\n", Same),
    ("A=it's canary\n# hers\nB=canary'b\n", Same),
    ("A=<canary>;x|y&z\nB=canary-b\n", Same),
    ("A=`canary`\nB=canary-b\n", Same),
    ("A=canary-1\nA=canary-2\n", Refused),
];

const QUOTED: [(&str, Then); 12] = [
    ("A='canary words'\n", Same),
    ("A=\"canary words\"\nB=\"canary\"\n", Same),
    ("A=\"canary\\nline\"\n", Same),
    ("A=\"say \\\"canary\\\"\"\n", Same),
    ("A='say \"canary\"'\n", Same),
    ("A=\"it's canary\"\n", Same),
    ("A='p$canary ${B} #1'\nB=canary-b\n", Same),
    ("B=canary-b\nA=\"p$B ${B}\"\nC=\"\\$B\"\n", Same),
    ("A='canary\\\\x\\'\nB=canary-b\n", Same),
    ("A='canary'#c\nB=canary-b\n", Same),
    ("A=`canary it's \"x\"`\nB=canary-b\n", Same),
    ("A='canary'tail\n", Refused),
];

const LINES: [(&str, Then); 5] = [
    (
        "A=\"-----BEGIN PRIVATE KEY-----\ncanary+/==\n-----END PRIVATE KEY-----\n\"\nB=canary-b\n",
        Same,
    ),
    (
        "A='-----BEGIN PRIVATE KEY-----\ncanary+/==\n-----END PRIVATE KEY-----'\nB=canary-b\n",
        Same,
    ),
    ("A='{\n  \"key\": \"canary\"\n}'\nB=canary-b\n", Same),
    ("A=\"canary\\\nnext\"\nB=canary-b\n", Same),
    ("A=`canary\nnext`\n", Refused),
];

const FILES: [(&str, Then); 5] = [
    ("\u{feff}A=canary\nB=canary-b\n", Same),
    (
        "A=canary\r\nB=\"canary b\"\r\n# c\r\nPORT=80 # c\r\nC='80'\r\n",
        Same,
    ),
    ("A=canary\rB=canary-b\rC='canary c'\r", Same),
    ("  export A=canary\n\tB = 'canary b'\nC= canary-c\n", Same),
    ("A=\nB=''\nC=\"\"\nD= \nPORT= # none\nE=canary\\", Same),
];

/// Loads the file `.env` of the working directory with each loader, without any other variable.
const LOADERS: &str = r#"
names='A B C D E PORT'
loader() { name=$1; shift; printf '%s ' "$name"; env -i PATH="$PATH" NAMES="$names" LANG=C.UTF-8 "$@" 2>/dev/null || echo fails; }
pick='const pick = from => JSON.stringify(Object.fromEntries(process.env.NAMES.split(" ").filter(n => n in from).map(n => [n, from[n]])));'
loader dotenv NODE_PATH="$1" "$3" -e "$pick console.log(pick(require('dotenv').parse(require('fs').readFileSync('.env'))))"
loader --env-file "$3" --env-file=.env -e "$pick console.log(pick(process.env))"
loader python-dotenv "$2" -c 'import json, dotenv
print(json.dumps(dotenv.dotenv_values(".env")))'
loader phpdotenv php -r 'require "/usr/share/php/Dotenv/autoload.php";
try { echo json_encode(Dotenv\Dotenv::parse(file_get_contents(".env"))), "\n"; }
catch (Throwable $e) { echo get_class($e), "\n"; }'
loader ruby ruby -e 'require "json"; require "dotenv"; Dotenv.load(".env")
puts JSON.generate(ENV.to_h.slice(*ENV["NAMES"].split))'
loader sh sh -c 'set -a; . ./.env; exec "$1" -c "import json, os
print(json.dumps({n: os.environ[n] for n in os.environ[\"NAMES\"].split() if n in os.environ}))"' sh "$2"
"#;

/// npm's packages, Python and Node.js, as tests/install put them beside each other.
fn tools() -> [PathBuf; 3] {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut tools = std::env::split_paths(&path).filter_map(|bin| Some(bin.parent()?.to_owned()));
    let tools = tools.find(|tools| tools.join("npm/node_modules/dotenv").is_dir());
    let tools = tools.expect("tests/install installs the loaders, and tests/run finds them");
    ["npm/node_modules", "venv/bin/python3", "bin/node"].map(|path| tools.join(path))
}

fn read_before(place: &Place) -> String {
    let output = Command::new("sh")
        .args(["-c", LOADERS, "sh"])
        .args(tools())
        .current_dir(place.join("project"))
        .output()
        .unwrap();
    let read = String::from_utf8(output.stdout).unwrap();
    assert_eq!(read.lines().count(), 6, "{read}");
    read
}

/// What the loaders read of the file that hushpipe delivers.
fn read_after(hushpipe: Hushpipe) -> (String, Output) {
    let output = run(hushpipe, LOADERS).arg("sh").args(tools()).run();
    let output = output.success();
    (output.stdout(), output)
}

fn check(table: &[(&str, Then)]) {
    for (text, then) in table {
        let hushpipe = project(text);
        let before = read_before(hushpipe.place());
        let init = ["init", "project", "--from-env", "project/.env", "--move"];
        let output = hushpipe.args(init).run();
        let output = output.says_nothing_of("canary");
        if *then == Refused {
            let output = output.code(65);
            assert_eq!(output.place().read("project/.env"), *text);
            continue;
        }
        let output = output
            .success()
            .stdout_has("removed: while the program runs");
        assert_eq!(read_after(output.again()).0, before, "{text:?}");
    }
}

#[test]
fn every_loader_reads_unquoted_values_as_before() {
    check(&UNQUOTED);
}

#[test]
fn every_loader_reads_quoted_values_as_before() {
    check(&QUOTED);
}

#[test]
fn every_loader_reads_values_of_many_lines_as_before() {
    check(&LINES);
}

#[test]
fn every_loader_reads_files_with_unusual_line_ends_marks_and_blanks_as_before() {
    check(&FILES);
}

#[test]
fn every_loader_reads_a_value_that_was_set_after_the_move() {
    for text in [
        "A=canary-x\n",
        "A='canary'#c\n",
        "A=it's canary\n",
        "A=\"canary\\nline\"\n",
        "A=#canary\n",
        "A=canary$efgh\n",
        "A=\"canary ${HOME}\"\n",
    ] {
        let init = ["init", "project", "--from-env", "project/.env", "--move"];
        let mut output = project(text).args(init).run().success();
        // Also where a loader expanded the first value.
        for new in ["canary new #1", "canary-$x"] {
            let set = ["secret", "-m", "project/hushpipe.yaml", "set", "A"];
            let hushpipe = output.again().env("RUNTIME_DIRECTORY", "{place}/run");
            output = hushpipe.args(set).stdin(new).run().success();
            let (read, after) = read_after(output.again());
            output = after;
            for line in read.lines() {
                let (_, read) = line.split_once(' ').unwrap();
                let read: serde_json::Value = serde_json::from_str(read).unwrap();
                assert_eq!(read, serde_json::json!({ "A": new }), "{text:?}: {line}");
            }
        }
    }
}
