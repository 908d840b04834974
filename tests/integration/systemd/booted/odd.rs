//! Units that are not simply a file: instances of templates, generated and masked ones, those that
//! `systemctl edit` has changed; and units without hushpipe again.

use super::in_each;
use super::machine::Machine;

/// A manifest, and a program that reads what is delivered.
fn prepare(machine: &Machine, name: &str, directory: &str) {
    machine.write("/srv/kinds.py", include_str!("kinds.py"), 0o644);
    machine.write("/srv/odd/token", "odd-token", 0o644);
    let manifest = format!(
        "version: 1\nservice: odd\n\
         stores: {{ dir: {{ type: directory, path: /srv/odd }} }}\n\
         secrets: {{ token: {{ store: dir, key: token }} }}\n\
         deliver:\n  - {{ file: \"{directory}/token\", secret: token }}\n"
    );
    machine.write(&format!("/etc/hushpipe/{name}.yaml"), manifest, 0o644);
}

fn wrap_and_start(machine: &Machine, name: &str) {
    machine.ok(&["hushpipe", "systemd", "wrap", name, "--install"]);
    machine.systemctl("daemon-reload");
    machine.systemctl(&format!("restart {name}"));
    machine.wait_for_journal(name, "have odd-token");
    assert_eq!(main_process(machine, name), "hushpipe\n");
}

fn main_process(machine: &Machine, name: &str) -> String {
    let main = machine.property(name, "MainPID");
    machine.ok(&["cat", &format!("/proc/{main}/comm")])
}

#[test]
fn an_instance_of_a_template_keeps_its_specifiers() {
    in_each(|machine| {
        prepare(machine, "spec@one", "/run/spec-one");
        machine.write_unit(
            "spec@.service",
            "[Service]\nExecStart=/usr/bin/python3 /srv/kinds.py /run/%p-%i/token \"%n 5%%\"\n",
        );
        wrap_and_start(machine, "spec@one");
        let main = machine.property("spec@one", "MainPID");
        let command = machine.ok(&["cat", &format!("/proc/{main}/cmdline")]);
        assert!(
            command.ends_with("/run/spec-one/token\0spec@one.service 5%\0"),
            "{command}"
        );
        machine.systemctl("stop spec@one");
    });
}

#[test]
fn a_generated_unit_is_wrapped_and_stays_so() {
    in_each(|machine| {
        prepare(machine, "made", "/run/made");
        let generator = "#!/bin/sh\nprintf '[Service]\\nExecStart=/usr/bin/python3 /srv/kinds.py \
                         /run/made/token -\\n' >\"$1/made.service\"\n";
        machine.write("/etc/systemd/system-generators/made", generator, 0o755);
        machine.systemctl("daemon-reload");
        let shown = machine.ok(&["hushpipe", "systemd", "wrap", "made"]);
        assert!(shown.contains("A generator makes this unit"), "{shown}");
        wrap_and_start(machine, "made");
        machine.systemctl("daemon-reload");
        assert!(machine.property("made", "ExecStart").contains("hushpipe"));
        machine.systemctl("stop made");
    });
}

#[test]
fn a_masked_unit_is_not_wrapped_and_says_what_to_do() {
    in_each(|machine| {
        machine.write(
            "/usr/lib/systemd/system/hidden.service",
            "[Service]\nExecStart=/bin/true\n",
            0o644,
        );
        machine.systemctl("mask --quiet hidden.service");
        let refused = machine.run(&["hushpipe", "systemd", "wrap", "hidden", "--install"]);
        assert_eq!(refused.code, Some(64), "{}", refused.stdout);
        assert!(
            refused
                .stderr
                .contains("`systemctl unmask hidden.service` first")
        );
        machine.systemctl("unmask --quiet hidden.service");
        machine.ok(&["hushpipe", "systemd", "wrap", "hidden", "--install"]);
    });
}

/// override.conf, as `systemctl edit` names it, comes after 50-hushpipe.conf.
#[test]
fn hushpipe_stays_in_front_of_what_an_override_starts() {
    in_each(|machine| {
        let name = "edited";
        prepare(machine, name, "/run/edited");
        let program = "/usr/bin/python3 /srv/kinds.py /run/edited/token";
        machine.write_unit("edited.service", "[Service]\nExecStart=/bin/false\n");
        machine.write_unit(
            "edited.service.d/override.conf",
            &format!(
                "[Service]\nType=forking\nPIDFile=/run/edited.pid\nExecStart=\n\
                 ExecStart={program} forking /run/edited.pid\n"
            ),
        );
        wrap_and_start(machine, name);
        // Type=forking would not be over yet, or hushpipe not the main process.
        assert_eq!(machine.property(name, "Type"), "notify");
        assert_eq!(machine.property(name, "SubState"), "running");
        machine.systemctl("stop edited");
        assert_eq!(machine.property(name, "Result"), "success");
    });
}

/// What `unwrap` prints is for a shell, as it stands.
#[test]
fn what_unwrap_prints_takes_hushpipe_away() {
    in_each(|machine| {
        let name = "brief";
        let path = "/etc/systemd/system/brief.service.d";
        prepare(machine, name, "/run/brief");
        machine.write("/run/brief-token", "plain", 0o644);
        machine.write_unit(
            "brief.service",
            "[Service]\nExecStart=/bin/sh -c 'f=/run/brief/token; [ -e $f ] || f=/run/brief-token; \
             exec /usr/bin/python3 /srv/kinds.py $f -'\n",
        );
        wrap_and_start(machine, name);
        let commands = machine.ok(&["hushpipe", "systemd", "unwrap", name]);
        machine.ok(&["sh", "-ec", &commands]);
        machine.wait_for_journal(name, "have plain");
        assert_eq!(main_process(machine, name), "python3\n");
        assert!(!machine.path(path).exists());
        let again = machine.run(&["hushpipe", "systemd", "unwrap", name]);
        assert_eq!(again.code, Some(1), "{}", again.stderr);
        machine.systemctl("stop brief");
    });
}

/// All that is in front of a program and around it is as it was, and the program's arguments too.
#[test]
fn prefixes_variables_and_what_runs_before_are_kept() {
    in_each(|machine| {
        let name = "before";
        prepare(machine, name, "/run/before-s");
        let look = "import os, sys, time; print('have', open(sys.argv[1]).read(), sys.argv[2:], \
                    os.getuid(), open('/proc/self/cmdline').read().split(chr(0))[0], flush=True); \
                    time.sleep(1000)";
        machine.write("/srv/before.py", look, 0o644);
        machine.write_unit(
            "before.service",
            "[Service]\nUser=daemon\nRuntimeDirectory=before\n\
             Environment=ONE=1 'TWO=a  b' PROGRAM=/bin/false\n\
             ExecStartPre=-/bin/false\n\
             ExecStartPre=+/bin/sh -c 'id -u >>/run/before/whole'\n\
             ExecStartPre=/bin/sh -c 'id -u >>/run/before/own'\n\
             ExecStartPost=/bin/sh -c 'echo done >>/run/before/own'\n\
             ExecStart=!-@/usr/bin/python3 named /srv/before.py /run/before-s/token $TWO ${TWO} \
             \"${ONE} x\" '%%' \\x41\n",
        );
        wrap_and_start(machine, name);
        let said = machine.journal(name);
        // `!`: as root all the same; `@`: by another name.
        let expected = "have odd-token ['a', 'b', 'a  b', '1 x', '%', 'A'] 0 named";
        assert!(said.contains(expected), "{said}");
        assert_eq!(machine.ok(&["cat", "/run/before/whole"]), "0\n");
        machine.until("what comes after the start has run", || {
            (machine.run(&["cat", "/run/before/own"]).stdout == "1\ndone\n").then_some(())
        });
        // `-`: a program that fails is none of a failure.
        let main = machine.property(name, "MainPID");
        machine.ok(&["pkill", "-KILL", "--parent", &main]);
        machine.until("it has ended", || {
            (machine.property(name, "ActiveState") == "inactive").then_some(())
        });
        assert_eq!(machine.property(name, "Result"), "success");
    });
}

/// Each program of a oneshot service in turn, every one through hushpipe.
#[test]
fn a_oneshot_service_runs_all_its_programs() {
    in_each(|machine| {
        let name = "steps";
        prepare(machine, name, "/run/steps");
        let say = "/bin/sh -c 'echo have $1 $(cat /run/steps/token)' sh";
        machine.write_unit(
            "steps.service",
            &format!(
                "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=-/bin/false\n\
                 ExecStart={say} one ; {say} two\nExecStart={say} three\n"
            ),
        );
        machine.ok(&["hushpipe", "systemd", "wrap", name, "--install"]);
        machine.systemctl("daemon-reload");
        machine.systemctl("start steps");
        let said = machine.journal(name);
        let have = said.lines().filter(|line| line.starts_with("have"));
        let have: Vec<&str> = have.collect();
        let expected = ["one", "two", "three"].map(|step| format!("have {step} odd-token"));
        assert_eq!(have, expected, "{said}");
        assert_eq!(machine.property(name, "ActiveState"), "active");
        machine.systemctl("stop steps");
    });
}
