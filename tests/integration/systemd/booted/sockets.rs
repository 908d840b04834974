//! Socket activation by systemd itself: its sockets reach the program through hushpipe.

use super::in_each;
use super::machine::Machine;

/// Serves at both doors; every answer has the number, the door's name, and what is delivered.
const SERVER: &str = "import os, select, socket\n\
    names = ('LISTEN_FDS', 'LISTEN_FDNAMES')\n\
    print('given', *map(os.environ.get, names), \
          os.environ['LISTEN_PID'] == str(os.getpid()), flush=True)\n\
    doors = [socket.socket(fileno=number) for number in (3, 4)]\n\
    while True:\n    \
        for door in select.select(doors, [], [])[0]:\n        \
            with door.accept()[0] as guest:\n            \
                guest.recv(100)\n            \
                path = os.path.basename(door.getsockname())\n            \
                token = os.pread(5, 100, 0).decode()\n            \
                guest.sendall(f'{door.fileno()} {path} {token}'.encode())\n";

/// Says something, and prints what it is answered.
const GUEST: &str = "import socket, sys\n\
    guest = socket.socket(socket.AF_UNIX)\n\
    guest.connect(sys.argv[1])\n\
    guest.sendall(b'hello\\n')\n\
    print(guest.makefile().read(), end='')\n";

fn manifest(name: &str, fd: u32) -> String {
    format!(
        "version: 1\nservice: {name}\n\
         stores: {{ dir: {{ type: directory, path: /srv/{name} }} }}\n\
         secrets: {{ token: {{ store: dir, key: token }} }}\n\
         deliver:\n  - {{ fd: {fd}, secret: token }}\n\
         on_rotate: {{ do: restart, settle: 0s }}\n"
    )
}

/// What is answered at a door.
fn knock(machine: &Machine, door: &str) -> String {
    machine.run(&["python3", "-c", GUEST, door]).stdout
}

fn is_answered(machine: &Machine, door: &str, answer: &str) {
    machine.until(&format!("{answer:?} at {door}"), || {
        (knock(machine, door) == answer).then_some(())
    });
}

#[test]
fn a_service_that_a_connection_starts_has_its_sockets_beside_its_secret() {
    in_each(|machine| {
        let name = "doors";
        machine.write("/srv/doors.py", SERVER, 0o644);
        machine.write("/srv/doors/token", "doors-one", 0o644);
        machine.write("/etc/hushpipe/doors.yaml", manifest(name, 5), 0o644);
        machine.write_unit(
            "doors.socket",
            "[Socket]\nListenStream=/run/doors/one\nListenStream=/run/doors/two\n\
             FileDescriptorName=door\n",
        );
        machine.write_unit(
            "doors.service",
            "[Service]\nExecStart=/usr/bin/python3 /srv/doors.py\n",
        );
        machine.ok(&["hushpipe", "systemd", "wrap", name, "--install"]);
        machine.systemctl("daemon-reload");
        machine.systemctl("start doors.socket");
        assert_eq!(machine.property(name, "ActiveState"), "inactive");
        is_answered(machine, "/run/doors/one", "3 one doors-one");
        is_answered(machine, "/run/doors/two", "4 two doors-one");
        machine.wait_for_journal(name, "given 2 door:door True");

        // A new program gets them too, and no guest is turned away meanwhile.
        let main = machine.property(name, "MainPID");
        machine.write("/srv/doors/token", "doors-two", 0o644);
        is_answered(machine, "/run/doors/two", "4 two doors-two");
        is_answered(machine, "/run/doors/one", "3 one doors-two");
        assert_eq!(machine.property(name, "MainPID"), main);
        let given = machine.journal(name);
        assert_eq!(
            given.matches("given 2 door:door True").count(),
            2,
            "{given}"
        );

        // A secret is never where the program looks for a socket.
        machine.write("/etc/hushpipe/doors.yaml", manifest(name, 3), 0o644);
        machine.systemctl("restart doors.service");
        machine.wait_for_journal(name, "socket activation takes fds 3 to 4 (LISTEN_FDS=2)");
        machine.until("it has failed", || {
            (machine.property(name, "ExecMainStatus") == "78").then_some(())
        });
        machine.systemctl("stop doors.socket doors.service");
    });
}

/// A service for each connection at a socket of this name.
fn accept(machine: &Machine, name: &str, fd: u32, settings: &str) {
    machine.write(&format!("/srv/{name}/token"), "guests-token", 0o644);
    let path = format!("/etc/hushpipe/{name}.yaml");
    machine.write(&path, manifest(name, fd), 0o644);
    machine.write_unit(
        &format!("{name}.socket"),
        &format!("[Socket]\nListenStream=/run/{name}\nAccept=yes\n"),
    );
    let unit = format!("[Service]\n{settings}\n");
    machine.write_unit(&format!("{name}@.service"), &unit);
    let template = format!("{name}@");
    let wrap = ["hushpipe", "systemd", "wrap", &template, "--install"];
    machine.ok(&[&wrap[..], &["--manifest", &path]].concat());
    machine.systemctl("daemon-reload");
    machine.systemctl(&format!("start {name}.socket"));
}

/// It is the program's standard input (inetd), and no other descriptor: 3 is free.
#[test]
fn a_service_speaks_to_its_guest_by_standard_input_and_output() {
    in_each(|machine| {
        let settings = "StandardInput=socket\nStandardError=journal\n\
             ExecStart=/bin/sh -c 'read line; \
             echo \"$$line $${LISTEN_FDS-none} $$(cat /dev/fd/3)\"'";
        accept(machine, "guests", 3, settings);
        for _ in 0..2 {
            let answer = knock(machine, "/run/guests");
            assert_eq!(answer, "hello none guests-token\n");
        }
        machine.systemctl("stop guests.socket");
    });
}

#[test]
fn a_service_finds_its_guest_at_3() {
    in_each(|machine| {
        let server = "import os, socket\n\
             with socket.socket(fileno=3) as guest:\n    \
                 line = guest.recv(100).decode().strip()\n    \
                 own = os.environ['LISTEN_PID'] == str(os.getpid())\n    \
                 name = os.environ['LISTEN_FDNAMES']\n    \
                 token = os.pread(4, 100, 0).decode()\n    \
                 guest.sendall(f'{line} {own} {name} {token}'.encode())\n";
        machine.write("/srv/calls.py", server, 0o644);
        let settings = "ExecStart=/usr/bin/python3 /srv/calls.py";
        accept(machine, "calls", 4, settings);
        for _ in 0..2 {
            let answer = knock(machine, "/run/calls");
            assert_eq!(answer, "hello True connection guests-token");
        }
        machine.systemctl("stop calls.socket");
    });
}
