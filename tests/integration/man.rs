//! The manual pages and the completions, as their readers take them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::terminal::Terminal;
use crate::harness::{Hushpipe, Place};

/// All pages, below `man` in the place.
fn pages() -> Place {
    let output = Hushpipe::new().args(["man", "{place}/man"]).run().success();
    let output = output.stdout_is("").stderr_is("");
    let place = Place::new();
    fs::rename(output.place().join("man"), place.join("man")).unwrap();
    place
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The commands that `--help` lists.
fn commands(of: &[&str]) -> Vec<String> {
    let help = Hushpipe::new()
        .args(of.iter().copied())
        .arg("--help")
        .run()
        .success()
        .stdout();
    let Some((_, list)) = help.split_once("Commands:\n") else {
        return Vec::new();
    };
    let lines = list.lines().take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

#[test]
fn every_command_has_a_page_that_groff_reads_without_a_warning() {
    let place = pages();
    let mut expected = vec!["hushpipe.1".to_owned()];
    for command in commands(&[]) {
        for below in commands(&[&command]) {
            expected.push(format!("hushpipe-{command}-{below}.1"));
        }
        expected.push(format!("hushpipe-{command}.1"));
    }
    expected.sort();
    assert_eq!(names(&place.join("man/man1")), expected);
    let files = ["hushpipe-site.yaml.5", "hushpipe.yaml.5"];
    assert_eq!(names(&place.join("man/man5")), files);
    let topics = [
        "hushpipe-approval.7",
        "hushpipe-audit.7",
        "hushpipe-containers.7",
        "hushpipe-getenv.7",
        "hushpipe-incident.7",
        "hushpipe-policy.7",
        "hushpipe-rotation.7",
        "hushpipe-security.7",
        "hushpipe-stores.7",
        "hushpipe-templates.7",
        "hushpipe-units.7",
    ];
    assert_eq!(names(&place.join("man/man7")), topics);
    let services = ["hushpipe-monitor.8"];
    assert_eq!(names(&place.join("man/man8")), services);
    for path in crate::harness::walk(&place.join("man"))
        .iter()
        .filter(|path| path.is_file())
    {
        let groff = ["-man", "-Tutf8", "-ww", "-rLL=90n"];
        let output = Command::new("groff")
            .args(groff)
            .arg(path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{}: {said}",
            path.display()
        );
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains("SEE ALSO") || text.contains("S\u{8}S"),
            "{}",
            path.display()
        );
        assert!(fs::read(path).unwrap().is_ascii(), "{}", path.display());
    }
}

#[test]
fn pages_say_what_whatis_looks_for_and_refer_to_pages_that_are_there() {
    let place = pages();
    for path in crate::harness::walk(&place.join("man"))
        .iter()
        .filter(|path| path.is_file())
    {
        let page = fs::read_to_string(path).unwrap().replace("\\-", "-");
        let file = path.file_name().unwrap().to_str().unwrap();
        let (name, _) = file.rsplit_once('.').unwrap();
        assert!(page.contains(&format!("\n{name} - ")), "{file}");
        for reference in page.split("\\fBhushpipe").skip(1) {
            let (name, rest) = reference.split_once("\\fR").unwrap();
            let Some(section) = rest.strip_prefix('(').and_then(|rest| rest.get(..1)) else {
                continue;
            };
            let other = place.join(&format!("man/man{section}/hushpipe{name}.{section}"));
            assert!(other.exists(), "{file} refers to {}", other.display());
        }
    }
}

#[test]
fn one_page_goes_to_standard_output_and_what_is_wrong_is_told() {
    let page = |name: &str| Hushpipe::new().args(["man", "--page", name]).run();
    page("hushpipe-run")
        .success()
        .stdout_has("hushpipe run \\-\\-exec")
        .stdout_has(".SH EXAMPLES");
    page("nothing")
        .code(64)
        .stderr_has("no page \"nothing\"; there are: hushpipe.1, hushpipe-run.1");
    let output = Hushpipe::new().arg("man").run().success();
    output
        .stdout_has(".SH \"EXIT STATUS\"")
        .stdout_has("denied by a store");
    let taken = Hushpipe::new()
        .file("man", "")
        .args(["man", "{place}/man"])
        .run();
    taken.code(71).stderr_has("cannot write");
}

/// A place with the script for a shell, as `script`.
fn script(shell: &str) -> Place {
    let script = Hushpipe::new()
        .args(["completions", shell])
        .run()
        .success()
        .stdout();
    let place = Place::new();
    place.write("script", script);
    place
}

fn says(place: &Place, words: &[&str]) -> String {
    let output = Command::new(words[0])
        .args(&words[1..])
        .current_dir(place.path())
        .env("HOME", place.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{words:?}: {said}"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_commands_and_options() {
    let place = script("bash");
    for (words, expected) in [
        ("hushpipe ro", "rotate rollback"),
        ("hushpipe secret imp", "import"),
        ("hushpipe run --exe", "--exec"),
        ("hushpipe completions f", "fish"),
    ] {
        let ask = format!(
            ". ./script; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _hushpipe hushpipe \"${{COMP_WORDS[COMP_CWORD]}}\" \
             \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[*]}}\"; complete -p hushpipe"
        );
        let said = says(&place, &["bash", "--norc", "-c", &ask]);
        let mut lines = said.lines();
        assert_eq!(lines.next(), Some(expected), "{words}");
        assert!(lines.next().unwrap().contains("_hushpipe"), "{said}");
    }
    // What only this host knows: as `secret list` and `ps` print it.
    for (words, expected) in [
        ("hushpipe secret get db", "db/password"),
        ("hushpipe rotate -t pay", "payments-api"),
        ("hushpipe run printen", "printenv"),
    ] {
        let ask = format!(
            ". ./script; hushpipe() {{ case $1 in ps) echo PID USER PROGRAM SERVICE; echo 7 me 8 payments-api ;; \
             *) echo NAME CURRENT; echo db/password v1 ;; esac; }}; COMP_WORDS=({words}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _hushpipe_names hushpipe; echo \"${{COMPREPLY[*]}}\""
        );
        let said = says(&place, &["bash", "--norc", "-c", &ask]);
        assert_eq!(said.trim(), expected, "{words}");
    }
}

#[test]
fn fish_completes_commands_and_options() {
    let place = script("fish");
    for (words, expected) in [
        ("hushpipe rot", "rotate\t"),
        ("hushpipe secret imp", "import\t"),
        ("hushpipe run --exe", "--exec\t"),
        ("hushpipe run --log-format js", "json\t"),
    ] {
        let ask = format!("source ./script; complete -C '{words}'");
        let said = says(&place, &["fish", "--no-config", "-c", &ask]);
        assert!(
            said.starts_with(expected) && said.lines().count() == 1,
            "{words}: {said}"
        );
    }
}

#[test]
fn zsh_completes_commands_and_options() {
    let place = script("zsh");
    place.write("functions/_hushpipe", place.read("script"));
    place.write(
        ".zshrc",
        "PS1='PROMPT> '\nfpath=($HOME/functions $fpath)\nautoload -U compinit\ncompinit -u\n\
         setopt no_beep no_list_ambiguous\n",
    );
    let mut zsh = Terminal::within(place, &["zsh", "-i"]);
    zsh.expect("PROMPT> ");
    // What was completed is put into quotes, and printed in place of being run.
    for (typed, expected) in [
        ("hushpipe rot\t", "hushpipe rotate"),
        ("hushpipe secret imp\t", "hushpipe secret import"),
        ("hushpipe run --exe\t", "hushpipe run --exec"),
    ] {
        zsh.send(typed);
        zsh.send("\x01print -r -- '<\x05>'\n");
        zsh.expect(&format!("\n<{expected}>"));
        zsh.expect("PROMPT> ");
    }
}
