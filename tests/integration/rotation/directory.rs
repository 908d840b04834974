//! Changes of a directory.

use std::fs;
use std::os::unix::fs::symlink;

use super::{AT_ONCE, BY_FILE, READS, directory, said_times, start};
use crate::harness::{Hushpipe, Place};

#[test]
fn writes_in_place_and_renames_are_seen() {
    let running = directory(&format!("{BY_FILE}{AT_ONCE}"), &READS);
    let place = running.place();
    place.write("secrets/token", "two");
    running.wait_for_line("two");
    place.replace("secrets/token", "three");
    running.wait_for_line("three");
    running.stop().stdout_is("ready\ntwo\nthree\n");
}

fn flip(place: &Place, number: usize) {
    for key in ["user", "password"] {
        place.write(
            &format!("secrets/..{number}/{key}"),
            format!("value-{number}"),
        );
    }
    let new = place.join("secrets/..data_tmp");
    symlink(format!("..{number}"), &new).unwrap();
    fs::rename(new, place.join("secrets/..data")).unwrap();
    if number > 0 {
        fs::remove_dir_all(place.join(&format!("secrets/..{}", number - 1))).unwrap();
    }
}

#[test]
fn a_flip_of_a_kubernetes_volume_is_never_seen_half() {
    let hushpipe = Hushpipe::new().directory("secrets");
    flip(hushpipe.place(), 0);
    for key in ["user", "password"] {
        symlink(
            format!("..data/{key}"),
            hushpipe.place().join(&format!("secrets/{key}")),
        )
        .unwrap();
    }
    let manifest = format!(
        "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  user: {{ store: dir, key: user }}\n  password: {{ store: dir, key: password }}\n\
         deliver:\n  - {{ file: \"{{place}}/run/both\", \
         content: \"{{{{ user }}}} {{{{ password }}}}\\n\" }}\n{AT_ONCE}"
    );
    let probe = ["on", "HUP", "cat:{place}/run/both", "serve"];
    let running = start(hushpipe, &manifest, &probe);
    let mut seen = "ready\n".to_owned();
    for number in 1..=50 {
        flip(running.place(), number);
        let both = format!("value-{number} value-{number}");
        running.wait_for_line(&both);
        seen = seen + &both + "\n";
    }
    running.stop().stdout_is(&seen);
}

#[test]
fn a_directory_that_is_made_anew_is_followed() {
    let running = directory(&format!("{BY_FILE}{AT_ONCE}"), &READS);
    let place = running.place();
    for value in ["two", "three"] {
        fs::remove_dir_all(place.join("secrets")).unwrap();
        place.replace("secrets/token", value);
        running.wait_for_line(value);
    }
    let output = running.stop().stdout_is("ready\ntwo\nthree\n");
    said_times(&output, "told the program", 2);
}

#[test]
fn a_secret_that_is_never_looked_at_again_makes_no_generation() {
    let hushpipe = Hushpipe::new()
        .file("secrets/token", "one")
        .file("secrets/fixed", "first");
    let manifest = format!(
        "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token, refresh: 1s }}\n\
         \x20 fixed: {{ store: dir, key: fixed, refresh: never }}\n\
         deliver:\n  - {{ file: \"{{place}}/run/token\", \
         content: \"{{{{ token }}}} {{{{ fixed }}}}\\n\" }}\n{AT_ONCE}"
    );
    let running = start(hushpipe.args(["-vv"]), &manifest, &READS);
    running.place().replace("secrets/fixed", "second");
    for _ in 0..2 {
        running.wait_for_stderr("nothing has changed");
    }
    running.place().replace("secrets/token", "two");
    running.wait_for_line("two second");
    running.stop().stdout_is("ready\ntwo second\n");
}

#[test]
fn nothing_is_done_where_the_manifest_says_so() {
    let rest = format!("{BY_FILE}on_rotate: {{ do: nothing, settle: 0s }}\n");
    let probe = ["on", "USR1", "cat:{place}/run/token", "serve"];
    let running = directory(&rest, &probe);
    running.place().replace("secrets/token", "two");
    running.wait_for_stderr("generation 2 is in place");
    running.signal(nix::sys::signal::Signal::SIGUSR1);
    running.wait_for_line("two");
    let output = running.stop().stdout_is("ready\ntwo\n");
    said_times(&output, "told the program", 0);
}

#[test]
fn a_link_above_the_directory_that_is_flipped_is_followed() {
    let hushpipe = Hushpipe::new()
        .file("releases/1/secrets/token", "one")
        .file("releases/2/secrets/token", "two");
    let link = |place: &Place, release: &str| {
        symlink(release, place.join("new")).unwrap();
        fs::rename(place.join("new"), place.join("current")).unwrap();
    };
    link(hushpipe.place(), "releases/1");
    let manifest = format!(
        "stores:\n  dir: {{ type: directory, path: \"{{place}}/current/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token }}\n{BY_FILE}{AT_ONCE}"
    );
    let running = start(hushpipe, &manifest, &READS);
    link(running.place(), "releases/2");
    running.wait_for_line("two");
    link(running.place(), "releases/1");
    running.wait_for_line("one");
    running.stop().stdout_is("ready\ntwo\none\n");
}
