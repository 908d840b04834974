//! Units that are not simply a file: instances of templates, generated and masked ones.

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
    let main = machine.property(name, "MainPID");
    let command = machine.ok(&["cat", &format!("/proc/{main}/comm")]);
    assert_eq!(command, "hushpipe\n");
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
