//! Manifests, good and bad: `tests/vectors/manifests`. Each bad one has the exact stderr that
//! `hushpipe check` gives for it. `UPDATE_GOLDEN=1` writes those files anew: read them then.

mod yaml;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Hushpipe, Output, Place};

/// The first line of a bad manifest that the schema refuses as well.
const STRUCTURAL: &[u8] = b"# structural";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn vectors(kind: &str) -> Vec<PathBuf> {
    let directory = repository().join("tests/vectors/manifests").join(kind);
    let mut found: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    found.sort();
    found
}

/// Every `hushpipe.yaml` below `examples`.
fn examples() -> Vec<PathBuf> {
    let mut open = vec![repository().join("examples")];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|name| name == "hushpipe.yaml") {
                found.push(path);
            }
        }
    }
    found
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// `hushpipe check -m NAME`, where the file is in the current directory.
fn check(hushpipe: Hushpipe, path: &Path) -> Output {
    let hushpipe = hushpipe.file(name(path), fs::read(path).unwrap());
    hushpipe
        .args(["check", "--manifest-only", "-m", name(path)])
        .run()
}

#[test]
fn every_bad_manifest_gets_its_exact_message() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut hushpipe = Hushpipe::new();
    let mut wrong = Vec::new();
    for path in vectors("bad") {
        let output = check(hushpipe, &path).code(78);
        let stderr = output.stderr();
        assert_eq!(output.stdout(), "", "{}", path.display());
        let golden = path.with_extension("stderr");
        if update {
            fs::write(&golden, &stderr).unwrap();
        }
        let wanted = fs::read_to_string(&golden).unwrap_or_default();
        if wanted != stderr {
            wrong.push(format!(
                "--- {}\nwanted:\n{wanted}\nis:\n{stderr}",
                path.display()
            ));
        }
        hushpipe = output.again();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn there_are_many_bad_manifests_and_no_message_without_one() {
    let manifests: BTreeSet<PathBuf> = vectors("bad").into_iter().collect();
    assert!(manifests.len() >= 165, "{}", manifests.len());
    for entry in fs::read_dir(repository().join("tests/vectors/manifests/bad")).unwrap() {
        assert!(manifests.contains(&entry.unwrap().path().with_extension("yaml")));
    }
}

#[test]
fn every_good_manifest_and_every_example_is_taken_without_a_word() {
    let good = vectors("good");
    assert!(good.len() >= 18, "{}", good.len());
    let mut hushpipe = Hushpipe::new();
    for path in good {
        let output = check(hushpipe, &path).success().stderr_is("");
        assert!(output.stdout().starts_with("service\n  name "));
        hushpipe = output.again();
    }
}

fn schema() -> Value {
    let output = Hushpipe::new().arg("schema").run().success();
    serde_json::from_str(&output.stdout()).unwrap()
}

#[test]
fn the_schema_takes_what_hushpipe_takes() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut all = vectors("good");
    all.extend(examples());
    for path in all {
        let document = yaml::read(&fs::read_to_string(&path).unwrap()).unwrap();
        let faults: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(
            faults.is_empty(),
            "{}: {}",
            path.display(),
            faults.join("\n")
        );
    }
}

#[test]
fn the_schema_refuses_what_has_the_wrong_structure() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut structural = 0;
    for path in vectors("bad") {
        let text = fs::read(&path).unwrap();
        if !text.starts_with(STRUCTURAL) {
            continue;
        }
        structural += 1;
        let document = yaml::read(std::str::from_utf8(&text).unwrap());
        let document = document.unwrap_or_else(|| panic!("{}: is no YAML", path.display()));
        assert!(
            !validator.is_valid(&document),
            "{} is valid",
            path.display()
        );
    }
    assert!(structural >= 60, "{structural}");
}

/// Every key that a schema has, and those that a document which fits has, by their paths. A free
/// key is `*`; of several kinds of record, those count that the document is.
fn keys(at: &str, schema: &Value, document: Option<&Value>, found: &mut BTreeSet<String>) {
    let fits = |one: &Value| {
        document.is_none_or(|document| jsonschema::validator_for(one).unwrap().is_valid(document))
    };
    for kinds in ["oneOf", "anyOf"] {
        for (number, one) in schema[kinds].as_array().into_iter().flatten().enumerate() {
            if one["type"].is_string() && fits(one) {
                let kind = one["properties"].as_object().and_then(|properties| {
                    properties.values().find_map(|tag| tag["const"].as_str())
                });
                let kind = kind.map_or_else(|| number.to_string(), str::to_owned);
                keys(&format!("{at}({kind})"), one, document, found);
            }
        }
    }
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let value = document.map(|document| &document[key]);
        if value.is_none_or(|value| !value.is_null()) {
            let at = format!("{at}.{key}");
            keys(&at, property, value, found);
            found.insert(at);
        }
    }
    let free = &schema["additionalProperties"];
    let items = &schema["items"];
    match document {
        None => [("*", free), ("[]", items)]
            .iter()
            .filter(|(_, schema)| schema.is_object())
            .for_each(|(what, schema)| keys(&format!("{at}.{what}"), schema, None, found)),
        Some(Value::Object(entries)) if free.is_object() => entries
            .values()
            .for_each(|value| keys(&format!("{at}.*"), free, Some(value), found)),
        Some(Value::Array(values)) => values
            .iter()
            .for_each(|value| keys(&format!("{at}.[]"), items, Some(value), found)),
        _ => {}
    }
}

#[test]
fn every_key_of_the_schema_is_one_that_hushpipe_takes() {
    let schema = schema();
    let mut taken = BTreeSet::new();
    for path in vectors("good") {
        let document = yaml::read(&fs::read_to_string(&path).unwrap()).unwrap();
        keys("", &schema, Some(&document), &mut taken);
    }
    let mut all = BTreeSet::new();
    keys("", &schema, None, &mut all);
    let missing: Vec<&String> = all.difference(&taken).collect();
    assert!(missing.is_empty(), "no good manifest has {missing:?}");
    assert!(all.len() > 140, "{}", all.len());
}

#[test]
fn every_property_of_the_schema_is_described() {
    fn walk(at: &str, value: &Value, missing: &mut Vec<String>) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                if !property["description"]
                    .as_str()
                    .is_some_and(|text| text.ends_with('.'))
                {
                    missing.push(format!("{at}.{name}"));
                }
            }
        }
        match value {
            Value::Object(object) => object
                .iter()
                .for_each(|(key, value)| walk(&format!("{at}.{key}"), value, missing)),
            Value::Array(items) => items.iter().for_each(|value| walk(at, value, missing)),
            _ => {}
        }
    }
    let mut missing = Vec::new();
    walk("", &schema(), &mut missing);
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_manifest_that_cannot_be_read_says_why() {
    Hushpipe::new().args(["check", "--manifest-only"]).run().code(66).stderr_is(
        "hushpipe: error: no manifest: there is no hushpipe.yaml in this directory\n  help: name \
         one with -m FILE or $HUSHPIPE_MANIFEST, or make one with `hushpipe init`\n",
    );
    let missing = Hushpipe::new()
        .args(["check", "--manifest-only", "-m", "nope.yaml"])
        .run();
    missing
        .code(66)
        .stderr_has("cannot read nope.yaml: No such file");
    let directory = Hushpipe::new()
        .directory("d")
        .args(["check", "--manifest-only", "-m", "d"])
        .run();
    directory
        .code(66)
        .stderr_has("cannot read d: it is a directory");
    let denied = Hushpipe::new().user(1).file("m.yaml", "").mode("m.yaml", 0);
    denied
        .args(["check", "--manifest-only", "-m", "m.yaml"])
        .run()
        .code(66)
        .stderr_has("cannot read m.yaml: Permission denied")
        .stderr_has("help: the user that runs hushpipe must be able to read");
}

#[test]
fn a_fifo_is_no_manifest_and_no_hang() {
    let place = Place::new();
    nix::unistd::mkfifo(&place.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let output = Hushpipe::at(place)
        .args(["check", "--manifest-only", "-m", "fifo"])
        .run();
    output.code(66).stderr_has("cannot read fifo: it is a pipe");
}

#[test]
fn a_huge_file_is_not_read() {
    let place = Place::new();
    let file = fs::File::create(place.join("huge.yaml")).unwrap();
    file.set_len(100 * 1024 * 1024).unwrap();
    let output = Hushpipe::at(place)
        .args(["check", "--manifest-only", "-m", "huge.yaml"])
        .run();
    output.code(78).stderr_has("huge.yaml is larger than 1 MiB");
}

const LEAST: &str = "version: 1\nservice: app\nrun: { command: [app] }\n";

#[test]
fn a_manifest_is_found_by_option_variable_and_place() {
    let service = |output: Output, service: &str| {
        output
            .success()
            .stdout_has(&format!("  name      {service}\n"));
    };
    let named = |name: &str| LEAST.replace("app", name);
    let files = || {
        Hushpipe::new()
            .manifest(&named("here"))
            .file("a.yaml", named("variable"))
            .file("b.yaml", named("option"))
    };
    service(files().args(["check", "--manifest-only"]).run(), "here");
    service(
        files()
            .env("HUSHPIPE_MANIFEST", "a.yaml")
            .args(["check", "--manifest-only"])
            .run(),
        "variable",
    );
    let both = files().env("HUSHPIPE_MANIFEST", "a.yaml");
    service(
        both.args(["check", "--manifest-only", "-m", "b.yaml"])
            .run(),
        "option",
    );
    let stdin = Hushpipe::new().stdin(named("stdin"));
    service(
        stdin.args(["check", "--manifest-only", "-m", "-"]).run(),
        "stdin",
    );
}

#[test]
fn faults_on_standard_input_have_a_name() {
    let output = Hushpipe::new()
        .stdin("version: 1\n")
        .args(["check", "--manifest-only", "-m", "-"])
        .run();
    output.code(78).stderr_has("--> <stdin>:1:1");
}

#[test]
fn an_unused_secret_is_a_warning() {
    let text = "version: 1\nservice: app\nstores: { s: { type: directory, path: /s } }\n\
                secrets:\n  token: { store: s, key: token }\nrun: { command: [app] }\n";
    let output = Hushpipe::new()
        .manifest(text)
        .args(["check", "--manifest-only"])
        .run()
        .success();
    output.stderr_is(
        "hushpipe: warning: hushpipe.yaml:5:3: the secret token is declared, and nothing uses it\n",
    );
    Hushpipe::new()
        .manifest(text)
        .args(["check", "--manifest-only", "-q"])
        .run()
        .success()
        .stderr_is("");
}

#[test]
fn faults_are_lines_of_json_where_that_is_asked_for() {
    let output = Hushpipe::new()
        .manifest("version: 1\n")
        .args(["check", "--manifest-only", "--log-format", "json"])
        .run()
        .code(78);
    let line: Value = serde_json::from_str(output.stderr().trim()).unwrap();
    assert_eq!(line["exit"], 78);
    let message = line["message"].as_str().unwrap();
    assert!(
        message.contains("hushpipe.yaml:1:1: the key `service` is missing"),
        "{message}"
    );
}

#[test]
fn the_plan_as_json_holds_no_values_of_variables() {
    let text = format!("{LEAST}environment: x\n")
        .replace("[app] }", "[app], env: { set: { A: canary-value } } }");
    let output = Hushpipe::new()
        .manifest(&text)
        .args(["check", "--manifest-only", "--format", "json"])
        .run();
    let output = output.success().says_nothing_of("canary-value");
    let plan: Value = serde_json::from_str(&output.stdout()).unwrap();
    assert_eq!(plan["run"]["env"]["set"][0], "A");
    assert_eq!(plan["run"]["stop"]["timeout"], "30s");
}

#[test]
fn the_command_line_gives_a_command_and_exec_mode() {
    let text = "version: 1\nservice: app\n";
    let output = Hushpipe::new()
        .manifest(text)
        .args(["check", "--manifest-only", "--", "redis", "a b"])
        .run();
    output.success().stdout_has("command      redis 'a b'\n");
    let fifo = "version: 1\nservice: app\nstores: { s: { type: directory, path: /s } }\n\
                secrets: { token: { store: s, key: token } }\n\
                deliver: [{ fifo: /run/a/f, secret: token }]\nrun: { command: [app] }\n";
    let output = Hushpipe::new()
        .manifest(fifo)
        .args(["check", "--manifest-only", "--exec"])
        .run();
    output
        .code(78)
        .stderr_has("a fifo cannot be had with --exec");
}
