//! rsyslog as Debian has it: it reads the messages as RFC 5424 says, whatever carries them.

use nix::sys::signal::Signal;

use super::{again, launched, lines, site};
use crate::harness::ports::free_port;
use crate::harness::server::Server;
use crate::harness::wait_until;

#[test]
fn rsyslog_reads_every_record_by_tcp_and_its_socket() {
    let output = launched("");
    let (place, port) = (output.place(), free_port());
    let config = format!(
        "module(load=\"imtcp\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         global(workDirectory=\"{{place}}\" maxMessageSize=\"64k\" processInternalMessages=\"off\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"tcp\")\n\
         input(type=\"imuxsock\" Socket=\"{{place}}/dev-log\" UseSpecialParser=\"off\" ParseHostname=\"on\" \
         ruleset=\"unix\")\n\
         template(name=\"read\" type=\"string\" string=\"%app-name%|%msgid%|%procid%|%syslogfacility-text%|\
         %structured-data%|%msg%\\n\")\n\
         ruleset(name=\"tcp\") {{ action(type=\"omfile\" file=\"{{place}}/by-tcp\" template=\"read\") }}\n\
         ruleset(name=\"unix\") {{ action(type=\"omfile\" file=\"{{place}}/by-unix\" template=\"read\") }}\n"
    );
    place.write("rsyslog.conf", place.fill(&config));
    let (conf, pid) = (place.join("rsyslog.conf"), place.join("rsyslog.pid"));
    let words = [
        "/usr/sbin/rsyslogd",
        "-n",
        "-f",
        conf.to_str().unwrap(),
        "-i",
        pid.to_str().unwrap(),
    ];
    let mut rsyslog = Server::start(&words, &place.join("rsyslog.log"), place.path());
    let socket = place.join("dev-log");
    let listens = || {
        std::net::TcpStream::connect(("127.0.0.1", port))
            .ok()
            .filter(|_| socket.exists())
    };
    wait_until(listens).unwrap_or_else(|| panic!("{}", rsyslog.log()));
    let sinks = format!(
        "{{ syslog: {{ address: 'tcp://127.0.0.1:{port}' }} }}, {{ syslog: {{ address: \
         'unix://{{place}}/dev-log' }} }}"
    );
    let output = site(again(output), &sinks)
        .args(["monitor", "--once"])
        .run()
        .success();
    let sent = lines(output.place());
    for file in ["by-tcp", "by-unix"] {
        let received = wait_until(|| {
            let text = std::fs::read_to_string(output.place().join(file)).unwrap_or_default();
            (text.lines().count() == sent.len()).then_some(text)
        });
        let received = received.unwrap_or_else(|| panic!("{file}: {}", rsyslog.log()));
        for (message, line) in received.lines().zip(&sent) {
            assert!(message.starts_with("hushpipe|"), "{message}");
            assert!(
                message.contains("|authpriv|[origin software=\"hushpipe\""),
                "{message}"
            );
            assert!(
                message.ends_with(line.as_str()),
                "{file}: {message}\n{line}"
            );
        }
        assert!(
            received
                .lines()
                .nth(1)
                .unwrap()
                .starts_with("hushpipe|release|")
        );
    }
    rsyslog.stop(Signal::SIGTERM);
}
