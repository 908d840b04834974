//! Services as Debian ships them, with hushpipe in front of them by `hushpipe systemd wrap`.

use std::process::Command;

use super::machine::Machine;
use super::{in_each, leaks};

/// Wraps an installed service, and starts it so.
fn wrap(machine: &Machine, unit: &str, manifest: &str) {
    machine.write(&format!("/etc/hushpipe/{unit}.yaml"), manifest, 0o644);
    machine.ok(&["hushpipe", "systemd", "wrap", unit, "--install"]);
    machine.systemctl("daemon-reload");
    machine.systemctl(&format!("restart {unit}"));
}

/// A file of the machine with a line more.
fn append(machine: &Machine, path: &str, line: &str) {
    machine.ok(&["sh", "-c", &format!("echo '{line}' >>{path}")]);
}

/// The program that hushpipe has started for a service, once it is there.
fn program(machine: &Machine, unit: &str) -> String {
    let main = machine.property(unit, "MainPID");
    let command = machine.ok(&["cat", &format!("/proc/{main}/comm")]);
    assert_eq!(command, "hushpipe\n");
    machine.until("hushpipe has a child", || {
        let child = machine.run(&["pgrep", "--parent", &main]).stdout;
        let child = child.lines().next()?;
        Some(child.to_owned())
    })
}

/// Kills the program, and waits until systemd has started the service anew.
fn crash(machine: &Machine, unit: &str) {
    machine.ok(&["kill", "-SEGV", &program(machine, unit)]);
    machine.until("it is started anew", || {
        let running = machine.property(unit, "SubState") == "running";
        (running && machine.property(unit, "NRestarts") != "0").then_some(())
    });
}

fn stop(machine: &Machine, unit: &str) {
    machine.systemctl(&format!("stop {unit}"));
    assert_eq!(machine.property(unit, "ActiveState"), "inactive");
    assert_eq!(machine.property(unit, "Result"), "success");
}

/// redis.io: `AUTH`, by redis-cli.
fn redis_takes(machine: &Machine, password: &str) {
    machine.until(&format!("redis takes {password}"), || {
        let variable = format!("REDISCLI_AUTH={password}");
        let ping = machine.run(&["env", &variable, "redis-cli", "ping"]);
        (ping.stdout == "PONG\n" && ping.stderr.is_empty()).then_some(())
    });
}

/// Its unit is as closed as can be: no namespaces, no other programs, few system calls.
#[test]
fn redis_starts_rotates_crashes_restarts_and_stops() {
    in_each(|machine| {
        let unit = "redis-server";
        machine.write("/srv/redis/password", "redis-secret-one", 0o644);
        append(
            machine,
            "/etc/redis/redis.conf",
            "include /run/redis/secrets/auth.conf",
        );
        wrap(
            machine,
            unit,
            "version: 1\nservice: redis\n\
             stores: { dir: { type: directory, path: /srv/redis } }\n\
             secrets: { password: { store: dir, key: password } }\n\
             deliver:\n  - file: /run/redis/secrets/auth.conf\n    \
             content: \"requirepass {{ password }}\\n\"\n\
             on_rotate: { do: restart, settle: 0s }\n",
        );
        redis_takes(machine, "redis-secret-one");
        assert_eq!(
            machine.property(unit, "StatusText"),
            "Ready to accept connections"
        );
        let before = machine.property(unit, "MainPID");
        machine.write("/srv/redis/password", "redis-secret-two", 0o644);
        redis_takes(machine, "redis-secret-two");
        assert_eq!(machine.property(unit, "MainPID"), before);
        crash(machine, unit);
        redis_takes(machine, "redis-secret-two");
        machine.systemctl("restart redis-server");
        redis_takes(machine, "redis-secret-two");
        leaks::assert_none(machine, unit, "redis-secret-");
        stop(machine, unit);
        assert!(!machine.path("/run/redis").exists());
        machine.ok(&[
            "rm",
            "/etc/systemd/system/redis-server.service.d/50-hushpipe.conf",
        ]);
    });
}

/// This system's psql(1) logs in with a password, at PgBouncer's socket there.
fn pgbouncer_takes(machine: &Machine, password: &str) {
    let host = machine.path("/run/postgresql");
    let of = format!(
        "host={} port=6432 user=app dbname=pgbouncer",
        host.display()
    );
    machine.until(&format!("PgBouncer takes {password}"), || {
        let mut psql = Command::new("psql");
        psql.args([&of, "--no-psqlrc", "--command=show version"]);
        let said = psql.env("PGPASSWORD", password).output();
        let said = said.expect("tests/install brings psql").stdout;
        String::from_utf8_lossy(&said)
            .contains("PgBouncer")
            .then_some(())
    });
}

#[test]
fn pgbouncer_starts_reloads_rotates_crashes_and_stops() {
    in_each(|machine| {
        let unit = "pgbouncer";
        machine.write("/srv/pgbouncer/password", "bouncer-secret-one", 0o644);
        let settings = "auth_file = /run/postgresql/secrets/userlist.txt\\nadmin_users = app";
        let edit = format!("s|^auth_file = .*|{settings}|");
        machine.ok(&["sed", "-i", &edit, "/etc/pgbouncer/pgbouncer.ini"]);
        machine.write_unit(
            "pgbouncer.service.d/restart.conf",
            "[Service]\nRestart=on-failure\nRestartSec=100ms\n",
        );
        wrap(
            machine,
            unit,
            "version: 1\nservice: pgbouncer\n\
             stores: { dir: { type: directory, path: /srv/pgbouncer } }\n\
             secrets: { password: { store: dir, key: password } }\n\
             deliver:\n  - file: /run/postgresql/secrets/userlist.txt\n    \
             content: \"\\\"app\\\" \\\"{{ password }}\\\"\\n\"\n\
             isolation: private\non_rotate: { do: signal, signal: HUP, settle: 0s }\n",
        );
        pgbouncer_takes(machine, "bouncer-secret-one");
        let userlist = machine.path("/run/postgresql/secrets/userlist.txt");
        assert!(!userlist.exists(), "it is seen outside");
        let before = program(machine, unit);
        machine.write("/srv/pgbouncer/password", "bouncer-secret-two", 0o644);
        pgbouncer_takes(machine, "bouncer-secret-two");
        // Its own ExecReload= reaches it through hushpipe.
        machine.systemctl("reload pgbouncer");
        machine.until("it was reloaded twice", || {
            let told = machine.journal(unit).matches("got SIGHUP").count();
            (told == 2).then_some(())
        });
        assert_eq!(program(machine, unit), before);
        leaks::assert_none(machine, unit, "bouncer-secret-");
        machine.systemctl("restart pgbouncer");
        pgbouncer_takes(machine, "bouncer-secret-two");
        crash(machine, unit);
        pgbouncer_takes(machine, "bouncer-secret-two");
        stop(machine, unit);
        assert!(machine.journal(unit).contains("got SIGINT"));
    });
}

/// A key and its certificate for this name, as one secret.
fn certify(machine: &Machine, name: &str) {
    let script = format!(
        "cd /etc/nginx-secrets && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
         -nodes -subj /CN={name} -keyout new.key -out new.crt 2>/dev/null && \
         cat new.key new.crt >server.new && mv server.new server.pem"
    );
    machine.ok(&["sh", "-c", &script]);
}

/// What a client sees of the certificate.
fn nginx_shows(machine: &Machine, name: &str) {
    let script = "openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | \
                  openssl x509 -noout -subject";
    machine.until(&format!("nginx shows {name}"), || {
        let subject = machine.run(&["sh", "-c", script]).stdout;
        subject.contains(name).then_some(())
    });
}

/// By the commands in examples/systemd/README.md, as they stand there.
#[test]
fn nginx_starts_reloads_rotates_crashes_and_stops() {
    in_each(|machine| {
        let unit = "nginx";
        let readme = include_str!("../../../../examples/systemd/README.md");
        let commands = readme.lines().filter_map(|line| line.strip_prefix("    "));
        let commands: Vec<&str> = commands.collect();
        machine.ok(&["sh", "-ec", &commands.join("\n")]);
        nginx_shows(machine, "localhost");
        assert!(!machine.path("/run/nginx-secrets/server.pem").exists());
        certify(machine, "second");
        machine.systemctl("reload nginx");
        nginx_shows(machine, "second");
        certify(machine, "third");
        nginx_shows(machine, "third");
        assert_eq!(machine.property(unit, "NRestarts"), "0");
        leaks::assert_none(machine, unit, "PRIVATE KEY");
        machine.systemctl("restart nginx");
        nginx_shows(machine, "third");
        crash_daemon(machine);
        nginx_shows(machine, "third");
        stop(machine, unit);
        assert!(!machine.path("/run/nginx-secrets").exists());
    });
}

fn crash_daemon(machine: &Machine) {
    machine.ok(&["sh", "-c", "kill -SEGV $(cat /run/nginx.pid)"]);
    machine.until("it is started anew", || {
        let running = machine.property("nginx", "SubState") == "running";
        (running && machine.property("nginx", "NRestarts") != "0").then_some(())
    });
}
