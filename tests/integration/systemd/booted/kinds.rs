//! Every `Type=` of services, and what closes them, with hushpipe in front.

use super::machine::{Machine, Suite};
use super::{in_each, leaks};
use crate::harness::deadline;

/// Installs a service with these settings, wraps it, and starts it.
fn start(machine: &Machine, name: &str, settings: &str, deliver_to: &str, arguments: &str) {
    machine.write("/srv/kinds.py", include_str!("kinds.py"), 0o644);
    let secret = format!("/srv/{name}/token");
    machine.write(&secret, format!("{name}-secret-one"), 0o644);
    let manifest = format!(
        "version: 1\nservice: {name}\n\
         stores: {{ dir: {{ type: directory, path: /srv/{name} }} }}\n\
         secrets: {{ token: {{ store: dir, key: token }} }}\n\
         deliver:\n  - {{ file: {deliver_to}/token, secret: token }}\n\
         on_rotate: {{ do: signal, signal: HUP, settle: 0s }}\n"
    );
    machine.write(&format!("/etc/hushpipe/{name}.yaml"), manifest, 0o644);
    let unit = format!(
        "[Service]\n{settings}\n\
         ExecStart=/usr/bin/python3 /srv/kinds.py {deliver_to}/token {arguments}\n"
    );
    machine.write_unit(&format!("{name}.service"), &unit);
    machine.ok(&["hushpipe", "systemd", "wrap", name, "--install"]);
    machine.systemctl("daemon-reload");
    machine.systemctl(&format!("start {name}"));
    machine.wait_for_journal(name, &format!("{name}-secret-one"));
}

/// A new value reaches the program, which stays the same process of the same service.
fn rotates(machine: &Machine, name: &str) {
    let before = machine.property(name, "MainPID");
    machine.write(
        &format!("/srv/{name}/token"),
        format!("{name}-secret-two"),
        0o644,
    );
    machine.wait_for_journal(name, &format!("{name}-secret-two"));
    machine.until("it is well again", || {
        (machine.property(name, "SubState") == "running").then_some(())
    });
    assert_eq!(machine.property(name, "MainPID"), before);
    assert_eq!(machine.property(name, "NRestarts"), "0");
}

fn stops(machine: &Machine, name: &str) {
    machine.systemctl(&format!("stop {name}"));
    assert_eq!(machine.property(name, "ActiveState"), "inactive");
    // Python dies of SIGTERM, and hushpipe so too: to systemd, that is a clean end.
    assert_eq!(machine.property(name, "Result"), "success");
}

#[test]
fn simple_and_exec_services_start_rotate_and_stop() {
    in_each(|machine| {
        for kind in ["simple", "exec"] {
            start(
                machine,
                kind,
                &format!("Type={kind}"),
                &format!("/run/{kind}/s"),
                "-",
            );
            rotates(machine, kind);
            stops(machine, kind);
        }
    });
}

#[test]
fn a_notify_service_is_ready_when_the_program_says_so() {
    in_each(|machine| {
        let name = "notifies";
        // Long enough for a machine that stands still for a while, and well within the deadline.
        let settings = format!(
            "Type=notify\nWatchdogSec={}\nRestart=on-failure\nRestartSec=0\n\
             FileDescriptorStoreMax=1",
            deadline().as_secs() / 3
        );
        start(machine, name, &settings, "/run/notifies/s", "-");
        assert_eq!(machine.property(name, "StatusText"), "I am well");
        rotates(machine, name);
        assert_eq!(machine.property(name, "NFileDescriptorStore"), "0");
        machine.systemctl("kill --signal=USR2 --kill-whom=main notifies");
        machine.until("the descriptor is kept", || {
            (machine.property(name, "NFileDescriptorStore") == "1").then_some(())
        });
        // The watchdog sees a program that hangs, though hushpipe does not.
        machine.systemctl("kill --signal=USR1 --kill-whom=main notifies");
        machine.wait_for_journal(name, "Watchdog timeout");
        machine.until("it is started anew", || {
            let again = machine.property(name, "NRestarts") != "0";
            (again && machine.property(name, "SubState") == "running").then_some(())
        });
        // What it gave systemd is the new program's, at the number where it looks for it.
        machine.wait_for_journal(name, "was given kept");
        stops(machine, name);
    });
}

#[test]
fn a_reload_of_a_notify_reload_service_is_the_programs() {
    in_each(|machine| {
        if machine.suite() == Suite::Bookworm {
            return; // systemd 252 has no such services.
        }
        let name = "reloads";
        start(machine, name, "Type=notify-reload", "/run/reloads/s", "-");
        rotates(machine, name);
        machine.systemctl("reload reloads");
        let told = machine
            .journal(name)
            .matches("have reloads-secret-two")
            .count();
        assert_eq!(told, 2);
        assert_eq!(machine.property(name, "SubState"), "running");
        stops(machine, name);
    });
}

#[test]
fn a_forking_service_is_followed_by_its_pid_file() {
    in_each(|machine| {
        let name = "forks";
        start(
            machine,
            name,
            "Type=forking\nPIDFile=/run/forks.pid",
            "/run/forks/s",
            "forking /run/forks.pid",
        );
        let daemon = machine.ok(&["cat", "/run/forks.pid"]);
        rotates(machine, name);
        machine.ok(&["kill", "-KILL", daemon.trim()]);
        machine.until("it has failed", || {
            (machine.property(name, "Result") == "signal").then_some(())
        });
    });
}

/// To systemd hushpipe stays the main process, whomever the program names by `MAINPID=`.
#[test]
fn a_main_process_that_the_program_names_is_followed() {
    in_each(|machine| {
        let name = "names";
        start(machine, name, "Type=notify", "/run/names/s", "another");
        let hushpipe = machine.property(name, "MainPID");
        let comm = machine.ok(&["cat", &format!("/proc/{hushpipe}/comm")]);
        assert_eq!(comm, "hushpipe\n");
        rotates(machine, name);
        machine.ok(&["pkill", "-KILL", "--parent", &hushpipe]);
        machine.until("it has failed", || {
            (machine.property(name, "Result") == "signal").then_some(())
        });
    });
}

/// What systemd kept would be at 3 at the next start, and that start refused.
#[test]
fn a_service_with_a_secret_at_3_starts_again_after_a_crash() {
    in_each(|machine| {
        let name = "three";
        let settings = "Type=notify\nRestart=on-failure\nRestartSec=0\nFileDescriptorStoreMax=4";
        start(machine, name, settings, "/run/three/s", "-");
        let manifest = format!("/etc/hushpipe/{name}.yaml");
        let delivery = "s/^deliver:$/&\\n  - { fd: 3, secret: token }/";
        machine.ok(&["sed", "-i", delivery, &manifest]);
        machine.systemctl("restart three");
        machine.systemctl("kill --signal=USR2 --kill-whom=main three");
        machine.wait_for_journal(name, "it is closed; deliver at a higher number");
        assert_eq!(machine.property(name, "NFileDescriptorStore"), "0");
        let hushpipe = machine.property(name, "MainPID");
        machine.ok(&["pkill", "-SEGV", "--parent", &hushpipe]);
        machine.until("it is started anew", || {
            let again = machine.property(name, "NRestarts") != "0";
            (again && machine.property(name, "SubState") == "running").then_some(())
        });
        stops(machine, name);
    });
}

/// What closes a service, and still leaves it namespaces.
const CLOSED: &str = "Type=notify\nDynamicUser=yes\nPrivateTmp=yes\nProtectSystem=strict\n\
    NoNewPrivileges=yes\nSystemCallFilter=@system-service @mount\nRuntimeDirectory=closed-%N\n\
    CapabilityBoundingSet=\nPrivateDevices=yes\nProtectProc=invisible";

#[test]
fn a_closed_service_has_private_files() {
    in_each(|machine| {
        let name = "closed";
        start(machine, name, CLOSED, "/run/closed-closed/s", "-");
        assert!(!machine.path("/run/closed-closed/s/token").exists());
        rotates(machine, name);
        leaks_but_its_own(machine, name);
        stops(machine, name);
    });
}

#[test]
fn a_service_without_namespaces_and_mounts_has_shared_files() {
    in_each(|machine| {
        let name = "barred";
        let settings = format!(
            "{}\nRestrictNamespaces=yes\nMemoryDenyWriteExecute=yes",
            CLOSED.replace(" @mount", "")
        );
        start(machine, name, &settings, "/run/closed-barred/s", "-");
        assert!(machine.journal(name).contains("isolation: shared, because"));
        assert!(machine.path("/run/closed-barred/s/token").exists());
        rotates(machine, name);
        leaks_but_its_own(machine, name);
        stops(machine, name);
        assert!(!machine.path("/run/closed-barred").exists());
    });
}

/// The program prints what it has, and may: nobody else does.
fn leaks_but_its_own(machine: &Machine, name: &str) {
    leaks::assert_none_of(machine, name, &format!("{name}-secret-"), "have ");
}
