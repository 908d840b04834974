//! Changes of a sealed store.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use super::{AT_ONCE, BY_FILE, READS, STORE, numbered, said_times, sealed, start};
use crate::harness::{Hushpipe, Place, Running, wait_until};

#[test]
fn a_new_version_is_read_by_file_and_by_fifo() {
    let deliver =
        format!("{BY_FILE}  - {{ fifo: \"{{place}}/run/pipe\", secret: token }}\n{AT_ONCE}");
    let probe = [
        "on",
        "HUP",
        "cat:{place}/run/token",
        "on",
        "HUP",
        "cat:{place}/run/pipe",
        "on",
        "HUP",
        "say:.",
        "serve",
    ];
    let running = sealed(&deliver, &probe);
    running.place().seal("token", "two");
    running.wait_for_line("two");
    running.wait_for_line("two.");
    running.place().roll_back("token");
    running.wait_for_line("one");
    running.wait_for_line("one.");
    let output = running.stop().stdout_is("ready\ntwo\ntwo.\none\none.\n");
    said_times(&output, "told the program by SIGHUP", 2);
}

type Held = (Vec<String>, Vec<String>, u64);

/// [`held`], when nothing of a rotation is on its way any more.
fn at_rest(running: &Running) -> Held {
    running.until("hushpipe comes to rest", || {
        let now = held(running);
        std::thread::sleep(Duration::from_millis(50));
        let later = held(running);
        ((&now.0, &now.1) == (&later.0, &later.1)).then_some(now)
    })
}

/// What must not grow with the number of rotations: open fds of hushpipe, entries of the program's
/// tmpfs, and hushpipe's resident memory in KiB, but for that of files.
fn held(running: &Running) -> Held {
    let proc = format!("/proc/{}", running.pid());
    let names = |path: String| {
        let entries = std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let names = entries.map(|entry| entry.unwrap().path());
        names.collect::<Vec<_>>()
    };
    let mut fds: Vec<String> = names(format!("{proc}/fd"))
        .iter()
        .filter_map(|fd| Some(std::fs::read_link(fd).ok()?.display().to_string()))
        // The inode of a FIFO or a memory area is another one after each rotation.
        .map(|target| target.split([':', '[']).next().unwrap().to_owned())
        .collect();
    fds.sort();
    let tmpfs = format!(
        "/proc/{}/root{}",
        running.program(),
        running.place().join("run").display()
    );
    let mut files: Vec<String> = names(tmpfs)
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .map(|name| {
            name.trim_end_matches(|c: char| c.is_ascii_digit())
                .to_owned()
        })
        .collect();
    files.sort();
    let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
    // How much of the binary is mapped depends on who else uses the machine: RssFile is left out.
    let own = status.lines().filter_map(|line| {
        let kib = line
            .strip_prefix("RssAnon:")
            .or_else(|| line.strip_prefix("RssShmem:"))?;
        kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    (fds, files, own.sum())
}

#[test]
fn a_hundred_versions_are_each_seen_once_in_order_and_leave_nothing_behind() {
    let deliver = format!(
        "deliver:\n  - {{ file: \"{{place}}/run/token\", content: \"{{{{ token }}}}\\n\" }}\n\
         \x20 - {{ file: \"{{place}}/run/other\", content: \"{{{{ token }}}}\\n\" }}\n\
         \x20 - {{ fifo: \"{{place}}/run/pipe\", secret: token }}\n{AT_ONCE}"
    );
    let running = sealed(&deliver, &READS);
    let mut before = None;
    for number in 1..=100 {
        running.place().seal("token", &format!("value-{number}"));
        running.wait_for_line(&format!("value-{number}"));
        running.wait_for_stderr(&format!("generation {} is in place", number + 1));
        if number == 10 {
            before = Some(at_rest(&running));
        }
    }
    let before = before.unwrap();
    // A poll's or an allocator's page more or less.
    let is_flat = |now: &Held| now.0 == before.0 && now.1 == before.1 && now.2 < before.2 + 512;
    let flat = wait_until(|| is_flat(&held(&running)).then_some(()));
    assert!(flat.is_some(), "{before:?}\n{:?}", held(&running));
    let seen = numbered("value-", 100);
    running.stop().stdout_is(&format!("ready\n{seen}"));
}

#[test]
fn no_reader_sees_two_generations_in_one() {
    let deliver = format!(
        "deliver:\n  - {{ file: \"{{place}}/run/a\", content: \"{{{{ token }}}}\" }}\n\
         \x20 - {{ file: \"{{place}}/run/b\", content: \"{{{{ token }}}}\" }}\n{AT_ONCE}"
    );
    let probe = ["compare", "{place}/run", "a", "b", "serve"];
    let running = sealed(&deliver, &probe);
    running.until("a first pair", || {
        running.stdout().contains("pair one").then_some(())
    });
    for number in 1..=50 {
        running.place().seal("token", &format!("value-{number}"));
        running.wait_for_line(&format!("pair value-{number}"));
    }
    let output = running.stop();
    let stdout = output.stdout();
    let told = ["pair ", "mixed "];
    let lines = stdout
        .lines()
        .filter(|line| told.iter().any(|told| line.starts_with(told)));
    let lines = lines.collect::<Vec<_>>().join("\n") + "\n";
    assert_eq!(
        lines,
        "pair one\n".to_owned() + &numbered("pair value-", 50)
    );
}

#[test]
fn changes_within_the_window_are_one_generation() {
    // As long as the three may take on a busy machine.
    let settle = "on_rotate: { do: signal, signal: HUP, settle: 8s }\n";
    let running = sealed(&format!("{BY_FILE}{settle}"), &READS);
    let place = running.place();
    for value in ["two", "three", "four"] {
        place.seal("token", value);
    }
    running.wait_for_line("four");
    place.seal("token", "five");
    running.wait_for_line("five");
    running.stop().stdout_is("ready\nfour\nfive\n");
}

#[test]
fn the_same_value_again_is_no_change() {
    let running = sealed(&format!("{BY_FILE}{AT_ONCE}"), &READS);
    running.place().seal("token", "one");
    running.place().seal("token", "two");
    running.wait_for_line("two");
    running.stop().stdout_is("ready\ntwo\n");
}

#[test]
fn a_secret_that_is_removed_stays_with_the_program() {
    let running = sealed(&format!("{BY_FILE}{AT_ONCE}"), &READS);
    let place = running.place();
    place.unseal("token");
    running.wait_for_stderr("store local, token: not found");
    place.seal("token", "two");
    running.wait_for_stderr("store local answers again");
    running.wait_for_line("two");
    place.unseal("token");
    running.wait_for_stderr("store local, token: not found");
    // It comes back as it was: the program has it already.
    place.seal("token", "two");
    running.wait_for_stderr("store local answers again");
    let output = running.stop().stdout_is("ready\ntwo\n");
    said_times(&output, "hushpipe: error", 2);
    said_times(&output, "answers again", 2);
}

#[test]
fn a_link_to_the_store_that_is_flipped_is_followed() {
    let hushpipe = Hushpipe::new().sealed(&[("token", "one")]);
    let place = hushpipe.place();
    let (store, old, new) = (place.join("store"), place.join("old"), place.join("new"));
    let copied = Command::new("cp").arg("-a").args([&store, &old]).status();
    assert!(copied.unwrap().success());
    place.seal("token", "two");
    fs::rename(&store, new).unwrap();
    symlink("old", &store).unwrap();
    // The host has not seen the newer one yet.
    fs::remove_dir_all(place.join(".state")).unwrap();
    let manifest = format!("{STORE}{BY_FILE}{AT_ONCE}");
    let running = start(hushpipe, &manifest, &READS);
    let next = running.place().join("next");
    symlink("new", &next).unwrap();
    fs::rename(next, store).unwrap();
    running.wait_for_line("two");
    // What leads to the secret now is watched now.
    running.place().seal("token", "three");
    running.wait_for_line("three");
    running.stop().stdout_is("ready\ntwo\nthree\n");
}

/// A directory with all that is in it, both in the test's place.
fn copy_all(place: &Place, from: &str, to: &str) {
    let words = ["-a", "--no-target-directory", from, to];
    let copied = Command::new("cp")
        .args(words)
        .current_dir(place.path())
        .status();
    assert!(copied.unwrap().success());
}

#[test]
fn a_store_that_is_put_back_is_refused_while_the_program_keeps_what_it_has() {
    let running = sealed(&format!("{BY_FILE}{AT_ONCE}"), &READS);
    let place = running.place();
    let copy = |from: &str, to: &str| copy_all(place, from, to);
    copy("store", "kept");
    place.seal("token", "two");
    running.wait_for_line("two");
    copy("store", "good");
    let store = place.join("store");
    fs::rename(&store, place.join("gone")).unwrap();
    fs::rename(place.join("kept"), &store).unwrap();
    running.wait_for_stderr("it is older than before");
    fs::rename(&store, place.join("kept")).unwrap();
    fs::rename(place.join("good"), &store).unwrap();
    running.wait_for_stderr("store local answers again");
    place.seal("token", "three");
    running.wait_for_line("three");
    running.stop().stdout_is("ready\ntwo\nthree\n");
}

#[test]
fn each_reason_for_which_a_store_is_down_is_reported_once() {
    let running = sealed(&format!("{BY_FILE}{AT_ONCE}"), &READS);
    let place = running.place();
    let copy = |from: &str, to: &str| copy_all(place, from, to);
    copy("store", "kept");
    place.seal("token", "two");
    running.wait_for_line("two");
    copy("store", "good");
    // File by file, as a person or another tool does it: half of it is there for a while.
    fs::remove_dir_all(place.join("store")).unwrap();
    copy("kept", "store");
    running.wait_for_stderr("it is older than before");
    fs::remove_dir_all(place.join("store")).unwrap();
    running.wait_for_stderr("no sealed store");
    copy("good", "store");
    running.wait_for_stderr("store local answers again");
    let output = running.stop().stdout_is("ready\ntwo\n");
    said_times(&output, "it is older than before", 1);
    said_times(&output, "answers again", 1);
}
