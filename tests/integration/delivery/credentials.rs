//! `credentials:`, as programs of systemd's look for them, and as `systemd-creds` does.

use std::fs;

use super::{Memory, VALUE, launch, shell};
use crate::harness::Hushpipe;

/// Two, in a directory of the place.
const TWO: &str = "deliver:\n\
                   \x20 - { credentials: [token, db.password], directory: \"{place}/c\" }\n";

fn with_two(rest: &str) -> Hushpipe {
    let output = launch("");
    output
        .file("secrets/db", "{\"password\":\"battery\"}")
        .manifest(&format!(
            "version: 1\nservice: t\n\
         stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token }}\n  \
         db: {{ store: dir, key: db, format: json }}\n{rest}"
        ))
}

/// What a program that knows systemd's credentials does, and `systemd-creds` with them.
const LOOK: &str = "cd $CREDENTIALS_DIRECTORY && stat -c '%A %u %F' . && stat -c '%n %a %u %F' * && \
                    systemd-creds cat token && systemd-creds cat db.password && \
                    systemd-creds list --no-legend | cut -d ' ' -f 1";

fn seen(uid: u32) -> String {
    format!(
        "dr-x------ {uid} directory\n\
         db.password 400 {uid} regular file\ntoken 400 {uid} regular file\n\
         {VALUE}batterydb.password\ntoken\n"
    )
}

#[test]
fn a_program_and_systemd_creds_find_them_where_systemd_has_them() {
    for uid in [0, 1000] {
        let private = format!("{TWO}isolation: private\n");
        let output = with_two(&private).user(uid).args(shell(LOOK)).run();
        let output = output.success().stdout_is(&seen(uid));
        assert!(!output.place().join("c").exists());
    }
}

#[test]
fn they_belong_to_the_programs_user() {
    for isolation in ["private", "shared"] {
        let memory = Memory::new();
        let rest = TWO.replace("{place}", "{memory}");
        let rest = format!("{rest}isolation: {isolation}\nrun: {{ user: '1000' }}\n");
        let output = with_two(&memory.fill(&rest)).args(shell(LOOK)).run();
        output.success().stdout_is(&seen(1000));
        assert!(memory.is_empty());
    }
}

#[test]
fn shared_ones_are_removed_by_an_unprivileged_user() {
    let memory = Memory::given_to(1000);
    let rest = format!("{}isolation: shared\n", TWO.replace("{place}", "{memory}"));
    let output = with_two(&memory.fill(&rest)).user(1000).args(shell(LOOK));
    output.run().success().stdout_is(&seen(1000));
    assert!(memory.is_empty());
}

#[test]
fn files_can_have_other_names_and_stand_beside_other_deliveries() {
    let rest = "deliver:\n\
                \x20 - { credentials: { tls-key: token }, directory: \"{place}/a\" }\n\
                \x20 - { file: \"{place}/b/token\", secret: token, owner: '1001' }\n\
                isolation: private\n";
    let script = "systemd-creds cat tls-key; \
                  setpriv --reuid=1001 --regid=1001 --clear-groups cat {place}/b/token; \
                  systemd-creds list --no-legend | wc -l; \
                  setpriv --reuid=1001 --regid=1001 --clear-groups ls $CREDENTIALS_DIRECTORY/";
    let output = launch(rest).args(shell(script)).run();
    output
        .code(2)
        .stdout_is(&format!("{VALUE}{VALUE}1\n"))
        .stderr_has("Permission denied");
}

#[test]
fn a_generation_replaces_them_all_at_once() {
    for uid in [0, 1000] {
        let rest = format!("{TWO}on_rotate: {{ do: signal, signal: HUP, settle: 0s }}\n");
        let script = "trap 'systemd-creds cat token; echo' HUP; echo ready; \
                      while :; do sleep 0.01; done";
        let running = with_two(&rest).user(uid).args(shell(script)).spawn();
        running.wait_for_line("ready");
        for value in ["second", "third", "fourth"] {
            let place = running.place();
            place.write("next", value);
            place.give_to(uid);
            fs::rename(place.join("next"), place.join("secrets/token")).unwrap();
            running.wait_for_line(value);
        }
        running.stop();
    }
}

/// systemd's own for hushpipe are hushpipe's: with them the program could log in as hushpipe does.
#[test]
fn hushpipes_own_are_not_the_programs() {
    // No argument says where they are.
    let own = ". {place}/look";
    let with_own = |rest: &str| {
        // In one piece, for the log of hushpipe goes to the same pipe.
        let look = "echo ${CREDENTIALS_DIRECTORY-none}; exec 3>&1; \
                    said=$(cat {place}/unit/role_id 2>&1 1>&3); code=$?; \
                    [ -z \"$said\" ] || echo \"$said\" >&2; (exit $code)";
        let hushpipe = launch(rest).file("unit/role_id", "role\n").directory("c");
        let look = hushpipe.place().fill(look);
        let hushpipe = hushpipe.file("look", look);
        let directory = hushpipe.place().join("unit");
        hushpipe.env("CREDENTIALS_DIRECTORY", directory)
    };
    let private = "isolation: private\n";
    let credentials = "deliver:\n  - { credentials: [token], directory: \"{place}/c\" }\n";
    let output = with_own(&format!("{credentials}{private}")).args(shell(own));
    let output = output.run().code(1);
    let directory = output.place().join("c/..data");
    let output = output.stdout_is(&format!("{}\n", directory.display()));
    let output = output.stderr_has("role_id: No such file");
    assert_eq!(output.place().read("unit/role_id"), "role\n");
    // A program that has no credentials does not see them either.
    let file = "deliver:\n  - { file: \"{place}/c/token\", secret: token }\n";
    for mode in ["supervise", "exec"] {
        let rest = format!("{file}{private}mode: {mode}\n");
        let output = with_own(&rest).args(shell(own)).run().code(1);
        output
            .stdout_is("none\n")
            .stderr_has("role_id: No such file");
    }
    // The manifest can hand them on.
    let set = "run: { env: { set: { CREDENTIALS_DIRECTORY: \"${CREDENTIALS_DIRECTORY}\" } } }\n";
    let other = "run: { env: { set: { ROLE: \"${CREDENTIALS_DIRECTORY}/role_id\" } } }\n";
    let argument = "{place}/unit/role_id";
    let given = [
        (set, "$CREDENTIALS_DIRECTORY/role_id"),
        (other, "$ROLE"),
        ("", argument),
    ];
    for (given, path) in given {
        let rest = format!("{file}{private}{given}");
        let output = with_own(&rest).args(shell(&format!("cat {path}"))).run();
        output.success().stdout_is("role\n");
    }
}

/// Where there are no private mounts, a program of the same user could find them; that is told.
#[test]
fn hushpipes_own_that_cannot_be_hidden_are_told_of() {
    let told = "the program can read what systemd gave hushpipe, in ";
    let memory = Memory::new();
    let shared = "deliver:\n  - { file: \"{memory}/token\", secret: token }\nisolation: shared\n";
    let fd = "deliver:\n  - { fd: 9, secret: token }\n";
    for rest in [fd, &memory.fill(shared)] {
        for (user, tells) in [("", true), ("run: { user: '1000' }\n", false)] {
            let hushpipe = launch(&format!("{rest}{user}")).file("unit/role_id", "role\n");
            let directory = hushpipe.place().join("unit");
            let hushpipe = hushpipe.env("CREDENTIALS_DIRECTORY", directory);
            let output = hushpipe.args(shell("true")).run().success();
            assert_eq!(output.stderr().contains(told), tells, "{}", output.stderr());
        }
    }
}

#[test]
fn without_a_directory_named_they_are_where_the_service_may_write() {
    let rest = "deliver:\n  - { credentials: [token] }\n";
    let script = shell("echo $CREDENTIALS_DIRECTORY; systemd-creds cat token");
    let output = launch(rest).args(script).run().success();
    let stdout = output.stdout();
    let (directory, value) = stdout.split_once('\n').unwrap();
    // /run is no tmpfs everywhere.
    let usual =
        ["/run/hushpipe-t/", "/dev/shm/hushpipe-t/"].map(|at| format!("{at}credentials/..data"));
    assert!(usual.iter().any(|usual| usual == directory), "{directory}");
    assert_eq!(value, VALUE);
    assert!(fs::metadata(directory).is_err());
    let again = output.again().args(["run", "-v"]).args(script);
    let runtime = again.place().join("runtime");
    let output = again.env("RUNTIME_DIRECTORY", format!("{}:/x", runtime.display()));
    output.run().success().stdout_is(&format!(
        "{}/credentials/..data\n{VALUE}",
        runtime.display()
    ));
}

#[test]
fn exec_mode_has_them_too() {
    let private = format!("{TWO}isolation: private\nmode: exec\n");
    let output = with_two(&private).args(shell(LOOK)).run();
    output.success().stdout_is(&seen(0));
}

#[test]
fn who_takes_the_usual_directory_of_credentials_first_keeps_nobody_out() {
    let usual = std::path::Path::new("/dev/shm/hushpipe-taken");
    let manifest = "version: 1\nservice: taken\n\
                    stores:\n  dir: { type: directory, path: \"{place}/secrets\" }\n\
                    secrets:\n  token: { store: dir, key: token }\n\
                    deliver:\n  - { credentials: [token] }\n";
    // A run that failed left it.
    drop(fs::remove_dir(usual));
    fs::create_dir(usual).unwrap();
    std::os::unix::fs::chown(usual, Some(4719), None).unwrap();
    let script = shell("echo $CREDENTIALS_DIRECTORY; systemd-creds cat token");
    for isolation in ["private", "shared"] {
        let launched = Hushpipe::new()
            .user(4721)
            .file("secrets/token", VALUE)
            .manifest(&format!("{manifest}isolation: {isolation}\n"))
            .args(["run"]);
        let output = launched.args(script).run().success();
        let stdout = output.stdout();
        let (directory, value) = stdout.split_once('\n').unwrap();
        assert!(
            directory.starts_with("/dev/shm/hushpipe-taken-"),
            "{stdout}"
        );
        assert_eq!(value, VALUE);
        output.stderr_has(
            "another user made /dev/shm/hushpipe-taken: files go to /dev/shm/hushpipe-taken-",
        );
        assert!(fs::metadata(directory).is_err(), "{directory} is left");
    }
    fs::remove_dir(usual).unwrap();
}
