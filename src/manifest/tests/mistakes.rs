//! Mistakes that people make in their first manifests: each message has the cause and the cure, in two
//! lines of 100 columns at most, beside the excerpt.

use super::*;

const BASE: &str = "\
version: 1
service: demo
stores:
  local: { type: directory, path: ./values }
secrets:
  token: { store: local, key: token }
deliver:
  - { file: token, secret: token }
run:
  command: [cat, \"{{ files }}/token\"]
";

/// The one fault of a manifest: its message, and its help.
fn fault(text: &str) -> (String, String) {
    let Err(error) = parsed(text) else {
        panic!("this manifest is good:\n{text}");
    };
    let rendered = rendered(&error);
    let faults = error.faults();
    assert_eq!(faults.len(), 1, "{rendered}");
    let help = rendered
        .lines()
        .find_map(|line| line.split_once("= help: "))
        .map_or_else(String::new, |(_, help)| help.to_owned());
    let message = faults[0].1.to_owned();
    (message, help)
}

/// From a part of the good manifest to what somebody writes in its place; the cause, the cure.
const REPLACED: [(&str, &str, &str, &str); 45] = [
    (
        "secrets:\n",
        "secret:\n",
        "unknown key `secret`",
        "did you mean `secrets`?",
    ),
    (
        "service:",
        "servce:",
        "the key `service` is missing",
        "add `service:`",
    ),
    (
        "service: demo\n",
        "",
        "the key `service` is missing",
        "add `service:`",
    ),
    (
        "version: 1\n",
        "",
        "the key `version` is missing",
        "add `version:` with 1",
    ),
    (
        "version: 1",
        "version: \"1\"",
        "is a number, found text",
        "`version: 1`, without quotes",
    ),
    (
        "version: 1",
        "version: 2",
        "unknown version `2`",
        "`version: 1`",
    ),
    (
        "path: ./values",
        "path: ./values, pth: x",
        "unknown key `pth`",
        "did you mean `path`?",
    ),
    (
        "directory",
        "dir",
        "unknown store type `dir`",
        "this build has",
    ),
    (
        "directory",
        "sealled",
        "unknown store type `sealled`",
        "did you mean `sealed`?",
    ),
    (
        "directory",
        "aws",
        "no stores of type `aws`",
        "use a command store",
    ),
    (
        "store: local",
        "store: locla",
        "unknown store `locla`",
        "did you mean `local`?",
    ),
    (
        "secret: token",
        "secret: tokne",
        "unknown secret `tokne`",
        "did you mean `token`?",
    ),
    (
        "  local:",
        "\tlocal:",
        "tabs disallowed",
        "indent with spaces",
    ),
    (
        "  token: {",
        "  - token: {",
        "expected a mapping, found a list",
        "remove the `- `",
    ),
    (
        "  - { file: token, secret: token }",
        "  file: token",
        "expected a list, found a mapping",
        "write a list",
    ),
    (
        "service: demo",
        "service demo",
        "invalid YAML",
        "check indentation, colons and quotes",
    ),
    (
        "service: demo",
        "service: \"demo",
        "invalid YAML",
        "check indentation, colons and quotes",
    ),
    (
        "./values }",
        "./values",
        "invalid YAML",
        "check indentation, colons and quotes",
    ),
    (
        "\"{{ files }}/token\"",
        "{{ files }}/token",
        "a key is text",
        "such as a template, goes in quotes",
    ),
    (
        "secret: token }",
        "content: \"{{ tken }}\" }",
        "unknown secret `tken`",
        "did you mean `token`?",
    ),
    (
        "secret: token }",
        "content: \"{{ token | jsn }}\" }",
        "unknown filter `jsn`",
        "did you mean `json`?",
    ),
    (
        "secret: token }",
        "content: \"{{ token \" }",
        "invalid template",
        "a value is {{ secret }}",
    ),
    (
        "secret: token }",
        "value: hunter2 }",
        "unknown key `value`",
        "known here",
    ),
    (
        ", secret: token }",
        " }",
        "neither `secret` nor `content`",
        "add `secret: NAME`",
    ),
    (
        "file: token, ",
        "",
        "this delivery has no destination",
        "such as `file: token`",
    ),
    (
        "file: token, ",
        "file: token, mode: 640, ",
        "`640` needs quotes",
        "write \"0640\"",
    ),
    (
        "file: token, ",
        "file: ../token, ",
        "`../token`",
        "write a path such as token",
    ),
    (
        "file: token, ",
        "env: TOKEN, ",
        "unknown key `env`",
        "did you mean `getenv`?",
    ),
    (
        "[cat, \"{{ files }}/token\"]",
        "cat token",
        "a command is a list",
        "write [cat, token]",
    ),
    (
        "\"{{ files }}/token\"",
        "\"{{ token }}\"",
        "an argument cannot hold a template",
        "others can read arguments",
    ),
    (
        "run:\n",
        "run:\n  env: { set: { DATABASE_URL: \"{{ token }}\" } }\n",
        "cannot hold a template",
        "getenv: DATABASE_URL",
    ),
    (
        "run:\n",
        "run:\n  env: { DATABASE_URL: abc }\n",
        "unknown key `DATABASE_URL`",
        "variables below `set`",
    ),
    (
        "run:\n",
        "env: { DATABASE_URL: abc }\nrun:\n",
        "`env`: it is a key of `run`",
        "write run: { env:",
    ),
    (
        "run:\n",
        "run:\n  directory: /srv\n",
        "the directory is `cwd`",
        "write `cwd: PATH`",
    ),
    (
        "run:\n",
        "run:\n  listen: 80\n",
        "the program opens its own sockets",
        "remove it",
    ),
    (
        "run:\n",
        "service: again\nrun:\n",
        "duplicate key `service`",
        "remove one of the two",
    ),
    (
        "run:\n",
        "  - { file: token, secret: token }\nrun:\n",
        "duplicate delivery path",
        "another path",
    ),
    (
        "run:\n",
        "on_rotate: restart\nrun:\n",
        "expected a mapping, found text",
        "{ do: signal, signal: HUP }",
    ),
    (
        "run:\n",
        "on_rotate: { do: signal, signal: SIGHUPP }\nrun:\n",
        "`SIGHUPP`",
        "a signal such as TERM or HUP",
    ),
    (
        "key: token",
        "key: token, refresh: 60",
        "a duration is a number and a unit",
        "such as 30s",
    ),
    (
        "key: token",
        "name: token",
        "unknown key `name`",
        "write `key:`",
    ),
    (
        "type: directory, path: ./values",
        "type: command, command: [op, read, x]",
        "unknown key `command`",
        "write run: [PROGRAM",
    ),
    (
        "service: demo",
        "service: ${NAME}",
        "the variable NAME is not set",
        "or write ${NAME:-default}",
    ),
    (
        "service: demo",
        "service:",
        "this key has no value",
        "or remove the key",
    ),
    (
        "{ file: token,",
        "{ getenv: PATH,",
        "`PATH` cannot be delivered by getenv",
        "use another name",
    ),
];

#[test]
fn each_mistake_in_a_manifest_gets_its_cause_and_its_cure() {
    for (from, to, cause, cure) in REPLACED {
        let text = BASE.replacen(from, to, 1);
        let files = !text.contains("file:") && !text.contains("file ");
        let text = if files {
            text.replace("{{ files }}/", "")
        } else {
            text
        };
        let found = parsed(&text).map_or_else(|error| rendered(&error), |_| String::new());
        let all = parsed(&text).err().map_or(0, |error| error.faults().len());
        // A key that is missing where another one is misspelt is a fault of its own.
        assert!((1..=2).contains(&all), "{to:?}: {found}");
        assert!(found.contains(cause), "{to:?}: {found}");
        assert!(found.contains(cure), "{to:?}: {found}");
        two_lines(&found);
    }
}

/// Beside the excerpt of the file, a fault has its message and its help, each a line of 100 columns.
fn two_lines(rendered: &str) {
    for line in rendered.lines() {
        let of_the_file = line
            .trim_start()
            .starts_with(|c: char| c.is_ascii_digit() || c == '|');
        assert!(of_the_file || line.chars().count() <= 100, "{rendered}");
    }
}

#[test]
fn one_mistake_is_one_fault() {
    for (from, to) in [
        ("secrets:\n", "secret:\n"),
        ("service: demo\n", ""),
        ("  token: {", "  - token: {"),
        ("  - { file: token, secret: token }", "  file: token"),
        ("file: token, ", "file: ../token, "),
        ("service: demo", "service: ${NAME}"),
    ] {
        fault(&BASE.replacen(from, to, 1));
    }
}

#[test]
fn other_files_are_not_taken_for_manifests() {
    for (text, cause, cure) in [
        (
            " \n",
            "the manifest is empty",
            "`version`, `service` and `run`",
        ),
        (
            "- a\n- b\n",
            "expected a mapping",
            "starts with `version: 1`",
        ),
        (
            "version: 1\nservice: a\n",
            "no command to run",
            "run: { command: [PROGRAM",
        ),
        (
            "version: 1\nservice: a\n---\nversion: 1\n",
            "a second YAML document",
            "one document",
        ),
    ] {
        let (message, help) = fault(text);
        assert!(message.contains(cause), "{text:?}: {message}");
        assert!(help.contains(cure), "{text:?}: {help}");
    }
}

/// Files of Windows' editors.
#[test]
fn carriage_returns_and_a_byte_order_mark_are_no_faults() {
    let windows = BASE.replace('\n', "\r\n");
    for text in [
        windows.clone(),
        format!("\u{feff}{BASE}"),
        format!("\u{feff}{windows}"),
    ] {
        let plan = parsed(&text).unwrap_or_else(|error| panic!("{}", rendered(&error)));
        assert_eq!(plan.service, "demo");
    }
}
