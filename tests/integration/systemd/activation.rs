//! Socket activation, through hushpipe.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::harness::Hushpipe;

/// Opens sockets from 3 on as systemd does, says so to its own process id, and becomes hushpipe.
const OPEN: &str = r#"
import os, socket, sys
for number, name in enumerate(sys.argv[1].split(":")):
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.bind(os.path.join(os.environ["TEST_PLACE"], name))
    opened.listen()
    fd = opened.detach()
    if fd != 3 + number:
        os.dup2(fd, 3 + number)
        os.close(fd)
    os.set_inheritable(3 + number, True)
os.environ["LISTEN_FDS"] = str(number + 1)
os.environ["LISTEN_FDNAMES"] = sys.argv[1]
os.environ["LISTEN_PID"] = str(os.getpid() + int(os.environ.pop("OFF", "0")))
os.environ["LISTEN_PIDFDID"] = "12345"
os.execv(sys.argv[2], sys.argv[2:])
"#;

/// Shows what a program sees of it.
const SHOW: &str = "\
import os, socket
print(*(os.environ.get('LISTEN_' + name) for name in ('FDS', 'FDNAMES', 'PIDFDID')))
print(os.environ.get('LISTEN_PID') == str(os.getpid()))
for fd in range(3, 8):
    try:
        what = os.readlink('/proc/self/fd/%d' % fd)
    except OSError:
        what = None
    if what and what.startswith('socket:'):
        print(fd, os.path.basename(socket.socket(fileno=os.dup(fd)).getsockname()))
    else:
        print(fd, what is not None)
";

fn activated(names: &str, manifest: &str) -> Hushpipe {
    let manifest = format!("version: 1\nservice: t\n{manifest}");
    Hushpipe::new()
        .manifest(&manifest)
        .file("secrets/token", "t0k3n")
        .through(&["/usr/bin/python3", "-c", OPEN, names])
        .args(["run", "--", "/usr/bin/python3", "-c", SHOW])
}

const TOKEN: &str = "stores:\n  dir: { type: directory, path: \"{place}/secrets\" }\n\
     secrets:\n  token: { store: dir, key: token }\n";

const TWO: &str = "2 one:two None\nTrue\n3 one\n4 two\n5 False\n6 False\n7 False\n";

#[test]
fn sockets_keep_their_numbers_and_names_and_get_the_programs_pid() {
    activated("one:two", "").run().success().stdout_is(TWO);
    let exec = "2 one:two 12345\nTrue\n3 one\n4 two\n5 False\n6 False\n7 False\n";
    activated("one:two", "mode: exec\n")
        .run()
        .success()
        .stdout_is(exec);
}

#[test]
fn they_stand_beside_deliveries_of_every_isolation() {
    for (isolation, file) in [
        ("private", "{place}/run/token"),
        ("shared", "/dev/shm/hushpipe-sockets-test/token"),
    ] {
        let manifest = format!(
            "{TOKEN}deliver:\n  - {{ fd: 5, secret: token }}\n  - {{ fd: 7, as: pipe, secret: token }}\n  \
             - {{ file: \"{file}\", secret: token }}\nisolation: {isolation}\n"
        );
        let both = TWO
            .replace("5 False", "5 True")
            .replace("7 False", "7 True");
        activated("one:two", &manifest)
            .run()
            .success()
            .stdout_is(&both);
        let exec = both.replace("None", "12345");
        let manifest = manifest + "mode: exec\n";
        if isolation == "private" {
            activated("one:two", &manifest)
                .run()
                .success()
                .stdout_is(&exec);
        }
    }
}

#[test]
fn a_delivery_at_a_taken_number_is_refused_before_anything_starts() {
    let manifest = format!(
        "{TOKEN}deliver:\n  - {{ fd: 4, secret: token }}\n  - {{ fd: 3, secret: token }}\n  \
         - {{ fd: 5, secret: token }}\n"
    );
    for mode in ["supervise", "exec"] {
        let manifest = format!("{manifest}mode: {mode}\n");
        activated("one:two", &manifest)
            .run()
            .code(78)
            .stdout_is("")
            .stderr_has("hushpipe.yaml:8:7: fd 4: systemd's socket activation takes fds 3 to 4 (LISTEN_FDS=2): deliver at 5 or above")
            .stderr_has("hushpipe.yaml:9:7: fd 3: systemd's");
    }
}

#[test]
fn sockets_of_another_process_are_not_the_programs() {
    let none = "None None None\nFalse\n3 False\n4 False\n5 False\n6 False\n7 False\n";
    activated("one:two", "")
        .env("OFF", "1")
        .run()
        .success()
        .stdout_is(none);
    let manifest = format!("{TOKEN}deliver:\n  - {{ fd: 4, secret: token }}\n");
    let taken = none.replace("4 False", "4 True");
    activated("one:two", &manifest)
        .env("OFF", "1")
        .run()
        .success()
        .stdout_is(&taken);
}

#[test]
fn run_env_keeps_them_from_the_program_as_any_variable() {
    let none = "None None None\nFalse\n3 False\n4 False\n5 False\n6 False\n7 False\n";
    let manifest = "run: { env: { inherit: none } }\n";
    activated("one:two", manifest)
        .run()
        .success()
        .stdout_is(none);
}

#[test]
fn sockets_that_were_promised_and_are_not_there_are_a_fault() {
    let set = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\" 3>&-";
    Hushpipe::new()
        .manifest("version: 1\nservice: t\nrun: { command: [echo, started] }\n")
        .through(&["sh", "-c", set, "sh"])
        .arg("run")
        .run()
        .code(71)
        .stdout_is("")
        .stderr_has("LISTEN_FDS=1 promises fd 3, but fd 3 cannot be used");
}

/// What the program closes is closed: hushpipe keeps no end of a connection.
#[test]
fn hushpipe_keeps_no_socket_of_a_program_that_is_not_restarted() {
    let program = "import os, socket, time\n\
        listening = socket.socket(fileno=3)\n\
        listening.close()\nprint('closed', flush=True)\ntime.sleep(60)";
    let running = Hushpipe::new()
        .manifest("version: 1\nservice: t\n")
        .through(&["/usr/bin/python3", "-c", OPEN, "one"])
        .args(["run", "--", "/usr/bin/python3", "-c", program])
        .spawn();
    running.wait_for_line("closed");
    let refused = UnixStream::connect(running.place().join("one"));
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    running.stop().code(143);
}

#[test]
fn the_tool_of_systemd_activates_a_server_through_hushpipe() {
    let server = "import socket\nlistening = socket.socket(fileno=3)\n\
        connection, _ = listening.accept()\nconnection.sendall(b'hello')";
    let hushpipe = Hushpipe::new().manifest("version: 1\nservice: t\n");
    let path = hushpipe.place().join("door");
    let running = hushpipe
        .through(&[
            "systemd-socket-activate",
            "-E",
            "TEST_PLACE",
            "--listen={place}/door",
            "--fdname=door",
        ])
        .args(["run", "--", "/usr/bin/python3", "-c", server])
        .spawn();
    running.wait_for_stderr("Listening on");
    let mut answer = String::new();
    let mut connection = UnixStream::connect(path).unwrap();
    connection.flush().unwrap();
    connection.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
    running.wait().success();
}

#[test]
fn a_program_that_is_started_anew_gets_them_again() {
    let program = "import os, socket, time\n\
        print(os.environ['LISTEN_PID'] == str(os.getpid()), \
              socket.socket(fileno=3).getsockname()[-3:], flush=True)\n\
        time.sleep(60)";
    let manifest = format!(
        "version: 1\nservice: t\n{TOKEN}deliver:\n  - {{ file: \"{{place}}/run/token\", secret: token }}\n\
         on_rotate: {{ do: restart, settle: 0s }}\n"
    );
    let running = Hushpipe::new()
        .manifest(&manifest)
        .file("secrets/token", "one")
        .through(&["/usr/bin/python3", "-c", OPEN, "one"])
        .args(["run", "--", "/usr/bin/python3", "-c", program])
        .spawn();
    running.wait_for_line("True one");
    running.place().replace("secrets/token", "two");
    running.wait_for_line("True one");
    running.stop().code(143);
}
