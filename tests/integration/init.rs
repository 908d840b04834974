//! `hushpipe init` in a project that has .env files.

mod loaders;
mod places;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::terminal::Terminal;
use crate::harness::{Hushpipe, Place, walk};

/// Every value of [`ENV`] that is secret has this in it.
const CANARY: &str = "canary";

const ENV: &str = "# a comment\n\
    DB_PASSWORD='canary p$ss # one'\n\
    DATABASE_URL=\"pg://app:${DB_PASSWORD}@localhost/canary\"\n\
    PORT=3000\n\
    export API_KEY=canary-key-0123456789\n";

/// Loads ./.env as shells do, and shows what it has.
const LOAD: &str = "set -a; . ./.env; set +a; \
    printf '%s\\n' \"$DB_PASSWORD\" \"$DATABASE_URL\" \"$PORT\" \"$API_KEY\"";

const LOADED: &str = "canary p$ss # one\n\
    pg://app:canary p$ss # one@localhost/canary\n3000\ncanary-key-0123456789\n";

/// A project, with a runtime directory of the user's own.
fn project(env: &str) -> Hushpipe {
    Hushpipe::new()
        .file("project/.env", env)
        .directory("run")
        .env("RUNTIME_DIRECTORY", "{place}/run")
}

fn in_git(hushpipe: Hushpipe) -> Hushpipe {
    git(hushpipe.place(), &["init", "--quiet"]);
    hushpipe
}

fn git(place: &Place, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(place.join("project"))
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The files below a directory that have a text in them.
fn files_with(directory: &Path, text: &str) -> Vec<String> {
    let has = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_default();
        memchr::memmem::find(&bytes, text.as_bytes()).is_some()
    };
    let files = walk(directory).into_iter();
    let files = files.filter(|path| !path.starts_with(directory.join("bin")) && has(path));
    files.map(|path| path.display().to_string()).collect()
}

/// The program of the project, through /bin/sh, from its directory.
fn run(hushpipe: Hushpipe, script: &str) -> Hushpipe {
    hushpipe
        .env("RUNTIME_DIRECTORY", "{place}/run")
        .through(&["sh", "-c", "cd project && exec \"$@\"", "sh"])
        .args(["run", "--", "sh", "-c", script])
}

#[test]
fn what_was_moved_is_on_no_disk_and_the_program_finds_it_where_it_was() {
    for uid in [0, 1000] {
        let output = in_git(project(ENV).user(uid))
            .args(["init", "project", "--from-env", "project/.env", "--move"])
            .run()
            .success()
            .stdout_has("3 values of project/.env")
            .stdout_has(".env      removed: while the program runs, a link leads to what it gets")
            .says_nothing_of(CANARY);
        let place = output.place();
        let found = files_with(place.path(), CANARY);
        assert!(found.is_empty(), "{found:?}");
        assert_eq!(
            place.read("project/.gitignore").lines().nth(1),
            Some("/.env")
        );
        let output = run(output.again(), LOAD).user(uid).run();
        let output = output.success().stdout_is(LOADED);
        // It is gone with the program, and so is the link.
        assert!(fs::symlink_metadata(output.place().join("project/.env")).is_err());
        let found = files_with(output.place().path(), CANARY);
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn without_a_terminal_nothing_is_done_with_env_files_but_when_asked_for() {
    let output = in_git(project(ENV))
        .args(["init", "project"])
        .run()
        .success();
    let output = output.stdout_has("project/.env stays as it is");
    assert_eq!(output.place().read("project/.env"), ENV);
    assert!(
        output
            .place()
            .read("project/.gitignore")
            .contains("/.env\n")
    );
    assert!(
        !output
            .place()
            .read("project/hushpipe.yaml")
            .contains("DB_PASSWORD")
    );

    let output = project(ENV)
        .args(["init", "project", "--yes"])
        .run()
        .success();
    let output = output
        .stdout_has(".env      STILL HAS THE VALUES in plain text. Delete it: rm project/.env")
        .stdout_has("and remove the `# ` before `link:` in hushpipe.yaml");
    assert_eq!(output.place().read("project/.env"), ENV);
    // In no work tree there is nothing to be ignored.
    assert!(!output.place().join("project/.gitignore").exists());
    let check = ["check", "-m", "project/hushpipe.yaml", "--", "true"];
    let again = output.again().env("RUNTIME_DIRECTORY", "{place}/run");
    again.args(check).run().success().says_nothing_of(CANARY);
}

#[test]
fn several_files_are_delivered_side_by_side_and_samples_are_left_alone() {
    let output = project(ENV)
        .file("project/.env.local", "API_KEY=canary-local-one\nMODE=dev\n")
        .file("project/.env.example", "API_KEY=put-it-here\n")
        .args(["init", "project", "--yes", "--move"])
        .run()
        .success();
    assert!(
        output
            .place()
            .read("project/.env.example")
            .contains("put-it-here")
    );
    let show = format!("{LOAD}; . ./.env.local; echo \"$API_KEY $MODE\"");
    let expected = format!("{LOADED}canary-local-one dev\n");
    run(output.again(), &show)
        .run()
        .success()
        .stdout_is(&expected);
}

#[test]
fn a_variable_can_be_left_readable() {
    let init = [
        "init",
        "project",
        "--yes",
        "--move",
        "--plain",
        "PORT,API_KEY",
    ];
    let output = project(ENV)
        .args(init)
        .run()
        .success()
        .stdout_has("2 values");
    let manifest = output.place().read("project/hushpipe.yaml");
    assert!(
        manifest.contains("      export API_KEY=canary-key-0123456789\n"),
        "{manifest}"
    );
    run(output.again(), LOAD).run().success().stdout_is(LOADED);

    let unknown = ["init", "project", "--yes", "--plain", "TYPO"];
    let output = project(ENV).args(unknown).run();
    let output = output
        .code(64)
        .stderr_has("--plain TYPO: no .env file has this variable");
    assert!(!output.place().join("project/hushpipe.yaml").exists());
    assert!(!output.place().join("project/secrets").exists());
}

#[test]
fn what_the_store_has_already_is_not_overwritten() {
    let init = ["init", "project", "--from-env", "project/.env", "--move"];
    let output = project("TOKEN=canary-first\n").args(init).run().success();
    fs::remove_file(output.place().join("project/hushpipe.yaml")).unwrap();

    // Another value: nothing is done, of the other variables neither.
    let env = "NEW=canary-new\nTOKEN=canary-second\n";
    let hushpipe = output.again().file("project/.env", env);
    let hushpipe = hushpipe.env("RUNTIME_DIRECTORY", "{place}/run");
    let refused = hushpipe.args(init).run().code(65).says_nothing_of(CANARY);
    let refused = refused
        .stderr_has("project/.env: TOKEN is in the store already, as TOKEN, with another value")
        .stderr_has("hushpipe secret --store project/secrets rm TOKEN");
    let place = refused.place();
    assert_eq!(place.read("project/.env"), env);
    assert!(!place.join("project/secrets/secrets/NEW").exists());
    assert!(!place.join("project/hushpipe.yaml").exists());

    // The same value: no version more.
    let env = "NEW=canary-new\nTOKEN=canary-first\n";
    let hushpipe = refused.again().file("project/.env", env);
    let hushpipe = hushpipe.env("RUNTIME_DIRECTORY", "{place}/run");
    let output = hushpipe.args(init).run().success();
    let output = output.stdout_has("secrets (kept)").says_nothing_of(CANARY);
    let place = output.place();
    assert!(place.join("project/secrets/secrets/NEW/1.age").exists());
    assert!(!place.join("project/secrets/secrets/TOKEN/2.age").exists());
    let shown = "printf '%s\\n' \"$NEW\" \"$TOKEN\"";
    let load = format!("set -a; . ./.env; {shown}");
    let output = run(output.again(), &load).run().success();
    output.stdout_is("canary-new\ncanary-first\n");
}

#[test]
fn gitignore_is_appended_to_once_and_where_it_is_needed() {
    let hushpipe = in_git(project(ENV)).file("project/.gitignore", "node_modules\n*.txt");
    let init = ["init", "project", "--yes", "--identity", "project/keys/id"];
    let output = hushpipe
        .args(init)
        .run()
        .success()
        .stdout_has("added /keys/id, /.env");
    let place = output.place();
    let expected = "node_modules\n*.txt\n\
        # hushpipe: what opens the sealed store, and what may have values in plain text.\n\
        /keys/id\n/.env\n";
    assert_eq!(place.read("project/.gitignore"), expected);
    // What git would add of it all: the store and the manifest.
    let status = git(place, &["status", "--porcelain"]);
    assert_eq!(status, "?? .gitignore\n?? hushpipe.yaml\n?? secrets/\n");

    fs::remove_file(place.join("project/hushpipe.yaml")).unwrap();
    fs::remove_dir_all(place.join("project/secrets")).unwrap();
    let again = output.again().env("RUNTIME_DIRECTORY", "{place}/run");
    let output = again.args(init).run().success();
    assert_eq!(output.place().read("project/.gitignore"), expected);
}

#[test]
fn what_git_says_of_the_store_and_of_a_tracked_file_is_told() {
    let hushpipe = in_git(project(ENV)).file("project/.gitignore", ".env*\n/secrets\n");
    git(hushpipe.place(), &["add", "--force", ".env"]);
    git(hushpipe.place(), &["commit", "--quiet", "--message", "x"]);
    let output = hushpipe
        .args(["init", "project", "--yes", "--move"])
        .run()
        .success();
    let output = output
        .stdout_has("git ignores secrets: it has ciphertext alone")
        .stdout_has("git has it, and its history the values: `git rm --cached .env`");
    assert_eq!(
        output.place().read("project/.gitignore"),
        ".env*\n/secrets\n"
    );
}

#[test]
fn an_exported_value_is_taken_out_of_the_programs_environment() {
    let key = "canary-key-0123456789";
    let output = project(ENV)
        .env("EXPORTED", key)
        .args(["init", "project", "--yes", "--move"])
        .run()
        .success();
    let manifest = output.place().read("project/hushpipe.yaml");
    assert!(manifest.contains("unset: [EXPORTED]"), "{manifest}");
    let run = run(output.again(), "echo \"<$EXPORTED>\"").env("EXPORTED", key);
    run.run().success().stdout_is("<>\n");
}

#[test]
fn without_a_directory_of_the_users_own_it_works_as_well() {
    let init = || Hushpipe::new().file("project/.env", ENV).user(1000);
    let output = init()
        .args(["init", "project", "--yes", "--move"])
        .run()
        .success();
    let run = run_without_runtime(output.again().user(1000), LOAD).run();
    let output = run.success().stdout_is(LOADED);
    assert!(fs::symlink_metadata(output.place().join("project/.env")).is_err());
}

#[test]
fn a_file_that_was_kept_is_not_replaced_and_its_loader_takes_a_path() {
    let init = || Hushpipe::new().file("project/.env", ENV).user(1000);
    let output = init().args(["init", "project", "--yes"]).run().success();
    let output = output
        .stdout_has("hushpipe run -- docker compose --env-file '{{ files }}/.env' up")
        .stdout_has("Not with `set -a` in a shell");
    let show = "cat \"$DOTENV_CONFIG_PATH\"";
    let hushpipe = run_without_runtime(output.again().user(1000), show);
    let output = hushpipe
        .run()
        .success()
        .stdout_has("API_KEY=canary-key-0123456789");
    // The line that init wrote for it, before the file is gone.
    let manifest = output.place().read("project/hushpipe.yaml");
    let linked = manifest.replace("# link: \".env\"   # once that file is gone", "link: .env");
    assert_ne!(linked, manifest);
    output.place().write("project/hushpipe.yaml", linked);
    let output = run_without_runtime(output.again().user(1000), LOAD)
        .run()
        .code(71);
    let output =
        output.stderr_has("project/.env: a file is there, and hushpipe does not replace it");
    fs::remove_file(output.place().join("project/.env")).unwrap();
    let hushpipe = run_without_runtime(output.again().user(1000), LOAD);
    hushpipe.run().success().stdout_is(LOADED);
}

/// As [`run`], for a user without a runtime directory.
fn run_without_runtime(hushpipe: Hushpipe, script: &str) -> Hushpipe {
    hushpipe
        .through(&["sh", "-c", "cd project && exec \"$@\"", "sh"])
        .args(["run", "--", "sh", "-c", script])
}

#[test]
fn a_file_that_cannot_be_read_stops_everything_before_it_begins() {
    let bad: [(&[u8], &str); 4] = [
        (b"A=1\ncanary\n", "line 2: a `=` is expected"),
        (
            b"A=canary\nA=canary\n",
            "line 2: the name of line 1 is there again (A): loaders differ on which of the two",
        ),
        (b"A=canary\xff\n", "A is not UTF-8 text"),
        (b"A='canary\n", "line 1: the quote that opens here"),
    ];
    for (text, expected) in bad {
        let hushpipe = project("").file("project/.env", text);
        let output = hushpipe.args(["init", "project", "--yes"]).run();
        let output = output.code(65).stderr_has(expected).says_nothing_of(CANARY);
        assert_eq!(output.place().entries(), ["project", "project/.env", "run"]);
    }
    let missing = ["init", "project", "--from-env", "project/none.env"];
    project("")
        .args(missing)
        .run()
        .code(71)
        .stderr_has("none.env");
}

/// The commands of README's first manifest, without their comments.
fn first_commands() -> Vec<Vec<&'static str>> {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("## A first manifest\n\n").unwrap();
    let lines = section
        .lines()
        .map_while(|line| line.strip_prefix("    hushpipe "));
    let words = |line: &'static str| line.split('#').next().unwrap().split_whitespace().collect();
    lines.map(words).collect()
}

#[test]
fn the_first_commands_of_the_readme_work_as_written() {
    let mut commands = first_commands().into_iter();
    let init = commands.next().unwrap();
    let mut output = Hushpipe::new().args(init).run().success();
    // Not before the secret is there, and the check says so. Without this host it does not matter.
    for check in [&["check"][..], &["check", "--online"], &["run"]] {
        output = output.again().args(check.to_vec()).run().code(65);
        output = output.stderr_has("store local, example/greeting: not found");
    }
    let check = ["check", "--manifest-only"];
    output = output.again().args(check).run().success();
    let mut count = 0;
    for command in commands {
        output = output.again().args(command).stdin("hello").run().success();
        count += 1;
    }
    assert_eq!(count, 4);
    let output = output.stdout_is("hello");

    fs::remove_file(output.place().join(".config/hushpipe/identity.txt")).unwrap();
    let output = output.again().arg("check").run().code(69);
    output.stderr_has("no identity file");
}

#[test]
fn a_umask_that_takes_everything_is_the_programs_alone() {
    let umask = ["sh", "-c", "umask 0777; exec \"$@\"", "sh"];
    let init = ["init", "project", "--yes", "--move"];
    let hushpipe = project(ENV).user(1000).through(&umask);
    let output = hushpipe.args(init).run().success();
    let hushpipe = output.again().user(1000).through(&umask);
    let output = run(hushpipe, "umask; cat .env").run().success();
    output
        .stdout_has("0777\n")
        .stdout_has("API_KEY=canary-key-0123456789");
}

#[test]
fn what_stands_in_the_way_of_a_command_is_said_with_hushpipes_name() {
    let output = Hushpipe::new().args(["ps", "--no-such"]).run().code(64);
    output.stderr_has("hushpipe: error: unexpected argument '--no-such'");
    for words in [&["ps"][..], &["--help"], &["help", "exit-codes"]] {
        let full = ["sh", "-c", "exec \"$@\" >/dev/full", "sh"];
        let output = Hushpipe::new().through(&full).args(words.to_vec()).run();
        output
            .code(71)
            .stderr_has("hushpipe: error: cannot write to standard output");
    }
}

#[test]
fn a_working_directory_that_is_gone_is_an_error_with_a_message() {
    for directory in [&[][..], &["."], &[".."]] {
        let gone = "mkdir gone && cd gone && rmdir ../gone && exec \"$@\"";
        let hushpipe = Hushpipe::new().through(&["sh", "-c", gone, "sh"]);
        let output = hushpipe.arg("init").args(directory.to_vec()).run();
        let output = output
            .code(71)
            .stderr_has("the working directory cannot be used");
        assert!(output.place().entries().is_empty());
    }
    // It leads nowhere, and nothing can be made below it.
    let hushpipe = Hushpipe::new();
    std::os::unix::fs::symlink("nowhere", hushpipe.place().join("link")).unwrap();
    let init = ["init", "--store", "link/a/b"];
    hushpipe.args(init).run().code(77).stderr_has("link/a");
}

#[test]
fn a_file_that_was_kept_is_moved_by_another_init() {
    let runtime = |output: crate::harness::Output| {
        let again = output.again();
        again.env("RUNTIME_DIRECTORY", "{place}/run")
    };
    let kept = [&["--yes"][..], &["--yes", "--plain", "PORT,API_KEY"]];
    for options in kept {
        let init = project(ENV)
            .args(["init", "project"])
            .args(options.to_vec());
        let output = init.run().success().stdout_has("STILL HAS THE VALUES");
        // What was changed in other places stays.
        let manifest = output.place().read("project/hushpipe.yaml") + "# mine\n";
        output.place().write("project/hushpipe.yaml", &manifest);
        let output = runtime(output).args(["init", "project"]).run();
        let output = output
            .code(64)
            .stderr_has("project/.env STILL HAS THE VALUES in plain text")
            .stderr_has("`hushpipe init --move`");
        let output = runtime(output).args(["init", "project", "--move"]).run();
        let output = output
            .success()
            .stdout_has(".env      removed: while the program runs, a link leads to what it gets")
            .says_nothing_of(CANARY);
        let linked = manifest.replace(
            "# link: \".env\"   # once that file is gone",
            "link: \".env\"",
        );
        assert_eq!(output.place().read("project/hushpipe.yaml"), linked);
        let output = run(output.again(), LOAD).run().success().stdout_is(LOADED);
        // Nothing is left to do.
        let output = runtime(output).args(["init", "project", "--move"]).run();
        output
            .code(64)
            .stderr_has("is there already: it stays as it is");
    }

    // Other values than those in the store are moved nowhere.
    let init = ["init", "project", "--yes"];
    let output = project("TOKEN=canary-first\n").args(init).run().success();
    output
        .place()
        .write("project/.env", "TOKEN=canary-second\n");
    let output = runtime(output).args(["init", "project", "--move"]).run();
    let output = output.code(65).stderr_has("with another value");
    assert_eq!(output.place().read("project/.env"), "TOKEN=canary-second\n");
}

#[test]
fn a_starting_manifest_that_nobody_changed_makes_room_for_that_of_the_env_files() {
    let output = project(ENV).args(["init", "project"]).run().success();
    let changed = output.place().read("project/hushpipe.yaml") + "# mine\n";
    let init = ["init", "project", "--yes", "--move"];
    let again = output.again().env("RUNTIME_DIRECTORY", "{place}/run");
    let output = again
        .args(init)
        .run()
        .success()
        .stdout_has("removed: while the program runs");
    let output = run(output.again(), LOAD).run().success().stdout_is(LOADED);

    output.place().write("project/hushpipe.yaml", &changed);
    output.place().write("project/.env", ENV);
    let again = output.again().env("RUNTIME_DIRECTORY", "{place}/run");
    let output = again.args(init).run().code(64);
    assert_eq!(output.place().read("project/hushpipe.yaml"), changed);
    assert_eq!(output.place().read("project/.env"), ENV);
}

#[test]
fn an_init_that_is_interrupted_at_a_question_changed_nothing() {
    let mut terminal = on_terminal(ENV);
    terminal.expect("[n]o: ");
    terminal.line("y");
    terminal.expect("in the same place. [Y/n] ");
    terminal.send(crate::harness::terminal::CTRL_C);
    terminal.ends();
    assert_eq!(terminal.place.read("project/.env"), ENV);
    assert_eq!(terminal.place.entries(), ["project", "project/.env", "run"]);
}

#[test]
fn what_init_does_not_take_is_reported() {
    let hushpipe = project("# nothing\n");
    let fifo = hushpipe.place().join("project/.env.pipe");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let output = hushpipe.args(["init", "project", "--yes", "--move"]).run();
    output
        .success()
        .stdout_has("project/.env has no variables: it stays as it is, and --move does nothing")
        .stdout_has("project/.env.pipe is a FIFO: skipped");
    let init = ["init", "project", "--quiet"];
    project(ENV).args(init).run().success().stdout_is("");
}

#[test]
fn a_place_that_others_can_change_is_refused_before_anything_is_asked_or_made() {
    let init = ["init", "project", "--yes", "--store", "theirs/secrets"];
    let hushpipe = project(ENV).directory("theirs");
    let theirs = hushpipe.place().join("theirs");
    std::os::unix::fs::chown(&theirs, Some(4711), None).unwrap();
    let output = hushpipe.args(init).run();
    let output = output.stderr_has("theirs belongs to uid 4711, which can change it");
    assert_eq!(output.place().read("project/.env"), ENV);
    assert!(!output.place().join(".config").exists());
    assert!(!output.place().join("project/hushpipe.yaml").exists());
}

/// `hushpipe init` on a terminal, in a project.
fn on_terminal(env: &str) -> Terminal {
    let place = Place::new();
    place.write("project/.env", env);
    let start = "cd project && mkdir ../run && XDG_RUNTIME_DIR=$HOME/run exec \"$0\" init";
    Terminal::within(place, &["sh", "-c", start, env!("CARGO_BIN_EXE_hushpipe")])
}

#[test]
fn on_a_terminal_it_is_asked_what_becomes_of_each_file_and_no_value_is_shown() {
    let mut terminal = on_terminal(ENV);
    terminal.expect(".env has 4 variables:");
    terminal.expect("PORT          stays readable");
    terminal.expect("[n]o: ");
    terminal.line("what?");
    terminal.expect("[n]o: ");
    terminal.line("");
    terminal.expect("in the same place. [Y/n] ");
    terminal.line("");
    terminal.expect("removed: while the program runs");
    assert_eq!(terminal.ends(), Some(0));
    assert!(!terminal.all().contains(CANARY), "{}", terminal.all());
    assert!(files_with(terminal.place.path(), CANARY).is_empty());
}

#[test]
fn on_a_terminal_each_variable_can_be_chosen_and_the_file_kept() {
    let mut terminal = on_terminal(ENV);
    terminal.expect("[n]o: ");
    terminal.line("c");
    for (name, answer) in [
        ("DB_PASSWORD: to the store? [Y/n] ", "y"),
        ("DATABASE_URL: to the store? [Y/n] ", "n"),
        ("PORT: to the store? [y/N] ", "y"),
        ("API_KEY: to the store? [Y/n] ", ""),
    ] {
        terminal.expect(name);
        terminal.line(answer);
    }
    terminal.expect("in the same place. [Y/n] ");
    terminal.line("n");
    terminal.expect("STILL HAS THE VALUES");
    assert_eq!(terminal.ends(), Some(0));
    assert_eq!(terminal.place.read("project/.env"), ENV);
    let manifest = terminal.place.read("project/hushpipe.yaml");
    assert!(manifest.contains("PORT={{ PORT | dotenv }}"), "{manifest}");
    assert!(
        manifest.contains("DATABASE_URL=\"pg://app:$${DB_PASSWORD}@"),
        "{manifest}"
    );
}

#[test]
fn on_a_terminal_no_leaves_the_file_and_no_answer_leaves_everything() {
    let mut terminal = on_terminal(ENV);
    terminal.expect("[n]o: ");
    terminal.line("n");
    terminal.expect(".env      stays as it is");
    assert_eq!(terminal.ends(), Some(0));
    assert_eq!(terminal.place.read("project/.env"), ENV);

    let mut terminal = on_terminal(ENV);
    terminal.expect("[n]o: ");
    terminal.send(crate::harness::terminal::CTRL_D);
    terminal.expect("no answer: nothing more is done");
    assert_eq!(terminal.ends(), Some(1));
    assert_eq!(terminal.place.entries(), ["project", "project/.env", "run"]);
}

#[test]
fn a_directory_that_is_not_there_is_named_with_what_to_do() {
    let output = Hushpipe::new().args(["init", "no such"]).run().code(71);
    output.stderr_has("there is no directory 'no such'\n  help: make it first: mkdir -p 'no such'");
    let output = Hushpipe::new()
        .file("f", "")
        .args(["init", "f"])
        .run()
        .code(71);
    output.stderr_has("f is not a directory");
}
