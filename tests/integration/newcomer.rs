//! What README says, as somebody does it who has never had hushpipe: a fresh home, no runtime directory, as
//! root and as another user. Units and containers are walked in `systemd::booted::readme` and
//! `docker::example`, by README's own lines.

use std::fs;

use crate::harness::{Hushpipe, Output};

const README: &str = include_str!("../../README.md");

/// Root, and one who has an entry in /etc/passwd nowhere.
const USERS: [u32; 2] = [0, 4761];

const VALUE: &str = "newcomers-value";

/// The commands of a part of README, without their comments.
fn commands(part: &str) -> Vec<Vec<String>> {
    let (_, section) = README.split_once(&format!("## {part}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section
        .lines()
        .filter_map(|line| line.strip_prefix("    hushpipe "));
    let words = |line: &str| {
        let line = line.split('#').next().unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    lines.map(words).collect()
}

#[test]
fn five_commands_lead_to_a_program_with_its_secrets() {
    for uid in USERS {
        let commands = commands("A first manifest");
        assert_eq!(commands.len(), 5);
        let mut hushpipe = Hushpipe::new();
        let mut last = None;
        for command in commands {
            let output = hushpipe
                .user(uid)
                .args(command)
                .stdin(VALUE)
                .run()
                .success();
            last = Some(output.stdout());
            hushpipe = output.again();
        }
        assert_eq!(last.as_deref(), Some(VALUE));
        // What the second command added is there for programs that read variables.
        let show = ["run", "printenv", "API_KEY"];
        let output = hushpipe.user(uid).args(show).run();
        output.success().stdout_is(&format!("{VALUE}\n"));
    }
}

/// Each delivery of README's table, and how a program then reads.
const TABLE: [(&str, &str, &str); 7] = [
    (
        "- { file: token, secret: token }",
        "",
        "cat {{ files }}/token",
    ),
    (
        "- { file: token, secret: token }",
        "run: { env: { set: { NAME_FILE: \"{{ files }}/token\" } } }",
        "cat $NAME_FILE",
    ),
    (
        "- { file: pgpass, secret: pgpass, link: ~/.pgpass }",
        "",
        "cat ~/.pgpass",
    ),
    (
        "- { file: .env, content: \"KEY={{ token | dotenv }}\\n\", link: .env }",
        "",
        ". ./.env; echo $KEY",
    ),
    (
        "- credentials: [token]",
        "",
        "cat $CREDENTIALS_DIRECTORY/token",
    ),
    ("- { fd: 3, secret: token }", "", "cat /dev/fd/3"),
    (
        "- { getenv: NAME, secret: token }",
        "",
        "printenv NAME || echo $NAME",
    ),
];

fn with_delivery(uid: u32, index: usize) -> Output {
    let (deliver, rest, read) = TABLE[index];
    let manifest = format!(
        "version: 1\nservice: newcomer-{uid}-{index}\nstores:\n  local: {{ type: directory, path: \
         ./values }}\nsecrets:\n  token: {{ store: local, key: token }}\n  pgpass: {{ store: local, key: \
         token }}\ndeliver:\n  {deliver}\n{rest}\n"
    );
    let hushpipe = Hushpipe::new()
        .file("values/token", VALUE)
        .file("hushpipe.yaml", manifest);
    hushpipe.user(uid).args(["run", "sh", "-c", read]).run()
}

#[test]
fn every_row_of_the_table_delivers() {
    let plain = README.replace("\\|", "|");
    for uid in USERS {
        for (index, (deliver, rest, _)) in TABLE.iter().enumerate() {
            assert!(plain.contains(&format!("`{deliver}`")), "{deliver}");
            assert!(plain.contains(rest), "{rest}");
            let output = with_delivery(uid, index).success();
            assert_eq!(output.stdout().trim_end(), VALUE, "{deliver} as {uid}");
            // Nothing stays in the home or beside the manifest.
            assert_eq!(
                output.place().entries(),
                ["hushpipe.yaml", "values", "values/token"]
            );
        }
    }
}

#[test]
fn the_table_of_the_manual_is_that_of_the_readme() {
    let help = Hushpipe::new()
        .args(["help", "getenv"])
        .run()
        .success()
        .stdout();
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let help = squeezed(&help);
    for (deliver, _, _) in TABLE.iter().filter(|row| !row.0.contains("content")) {
        assert!(help.contains(&squeezed(deliver)), "{deliver}");
    }
}

#[test]
fn manual_and_completions_go_into_a_clean_home() {
    for uid in USERS {
        let output = Hushpipe::new().directory("fresh").user(uid);
        let man = output
            .args(["man", "{place}/fresh/.local/share/man"])
            .run()
            .success();
        assert!(
            man.place()
                .join("fresh/.local/share/man/man7/hushpipe-getenv.7")
                .exists()
        );
    }
}

#[test]
fn every_topic_of_the_readme_is_there_and_fits_a_terminal() {
    let named = README.split("`hushpipe help ").skip(1);
    let topics: Vec<&str> = named.filter_map(|rest| rest.split('`').next()).collect();
    assert!(topics.len() > 4, "{topics:?}");
    for topic in topics.iter().filter(|topic| **topic != "TOPIC") {
        let help = Hushpipe::new()
            .args(["help", *topic])
            .run()
            .success()
            .stdout();
        assert!(help.lines().count() > 10, "{topic}");
        let page = format!("hushpipe-{topic}");
        let page = Hushpipe::new()
            .args(["man", "--page", &*page])
            .run()
            .success();
        page.stdout_has(".SH NAME");
    }
    assert!(README.lines().count() <= 160);
}

#[test]
fn an_env_file_moves_for_a_user_without_a_runtime_directory() {
    for uid in USERS {
        let hushpipe = Hushpipe::new().file(".env", "API_KEY=canary-key-0123456789\n");
        let init = ["init", "--from-env", ".env", "--move"];
        let output = hushpipe.user(uid).args(init).run().success();
        assert!(fs::symlink_metadata(output.place().join(".env")).is_err());
        let show = ["run", "sh", "-c", ". ./.env; echo $API_KEY"];
        let output = output.again().user(uid).args(show).run();
        output.success().stdout_is("canary-key-0123456789\n");
    }
}
