//! Each kind of sink, once.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::thread;

use super::fake::{Collector, counted};
use super::{VALUE, again, json, launched, lines, site};
use crate::harness::certificates::Authority;
use crate::harness::ports::free_port;
use crate::harness::{Hushpipe, Output, wait_until};

/// Sends what there is to these sinks.
fn sent(output: Output, sinks: &str) -> Output {
    site(again(output), sinks)
        .args(["monitor", "--once"])
        .run()
        .success()
}

fn received(socket: &UnixDatagram, count: usize) -> Vec<String> {
    let mut buffer = vec![0; 1 << 20];
    let receive = |_| {
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    (0..count).map(receive).collect()
}

/// Each ends in its record's line, in the log's order.
fn end_in_records(messages: &[String], lines: &[String]) {
    assert_eq!(messages.len(), lines.len(), "{messages:?}");
    for (message, line) in messages.iter().zip(lines) {
        assert!(
            message.trim_end().ends_with(line.as_str()),
            "{message}\n{line}"
        );
        assert!(!message.contains(VALUE), "{message}");
    }
}

#[test]
fn journald_and_syslog_sockets_get_every_record() {
    let output = launched("");
    let (journal, log) = (
        output.place().join("journal"),
        output.place().join("dev-log"),
    );
    let sockets = [&journal, &log].map(|path| UnixDatagram::bind(path).unwrap());
    let lines = lines(output.place());
    let sinks = "{ journald: { socket: '{place}/journal' } }, { syslog: { address: 'unix://{place}/dev-log' } }";
    let output = sent(output, sinks);
    let entries = received(&sockets[0], 4);
    end_in_records(&entries, &lines);
    assert!(
        entries[1].starts_with("MESSAGE=release of db for shop\n"),
        "{}",
        entries[1]
    );
    assert!(entries[1].contains("\nHUSHPIPE_SECRET=db\n"));
    let messages = received(&sockets[1], 4);
    end_in_records(&messages, &lines);
    assert!(messages[0].starts_with("<86>1 20"), "{}", messages[0]);
    assert!(messages[0].contains(" start [origin software=\"hushpipe\" "));
    // Nothing comes twice.
    sent(output, sinks);
    sockets[0].set_nonblocking(true).unwrap();
    assert!(sockets[0].recv(&mut [0; 9]).is_err());
}

#[test]
fn syslog_by_udp_and_tcp_gets_every_record() {
    let (udp, tcp) = (
        UdpSocket::bind("127.0.0.1:0").unwrap(),
        super::fake::stream(),
    );
    let (one, two) = (udp.local_addr().unwrap(), tcp.port);
    let sinks = format!(
        "{{ syslog: {{ address: 'udp://{one}' }} }}, {{ syslog: {{ address: 'tcp://127.0.0.1:{two}' }} }}"
    );
    let output = sent(launched(""), &sinks);
    let lines = lines(output.place());
    let mut buffer = vec![0; 1 << 16];
    let messages: Vec<String> = (0..4)
        .map(|_| {
            let length = udp.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        })
        .collect();
    end_in_records(&messages, &lines);
    end_in_records(&counted(&tcp.bytes()), &lines);
}

#[test]
fn syslog_by_tls_is_for_the_server_that_was_named_alone() {
    let output = launched("");
    let authority = Authority::new(output.place().path(), "ca");
    let server = authority.server("siem", "DNS:localhost");
    let port = free_port();
    let openssl = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &port.to_string()])
        .arg("-cert")
        .arg(&server.certificate)
        .arg("-key")
        .arg(&server.key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut openssl = openssl.expect("tests/install installs OpenSSL");
    wait_until(|| std::net::TcpStream::connect(("127.0.0.1", port)).ok()).expect("it listens");
    let ca = authority.certificate();
    let sink = |host: &str| {
        format!(
            "{{ syslog: {{ address: 'tls://{host}:{port}', ca_file: '{}' }} }}",
            ca.display()
        )
    };
    let hushpipe = site(again(output), &sink("127.0.0.1"));
    let output = hushpipe.args(["monitor", "--once"]).run().code(69);
    let output = sent(output, &sink("localhost"));
    let lines = lines(output.place());
    drop(openssl.stdin.take());
    let mut stdout = openssl.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut stdout, &mut bytes).map(|_| bytes)
    });
    thread::sleep(std::time::Duration::from_millis(200));
    openssl.kill().unwrap();
    openssl.wait().unwrap();
    let bytes = reader.join().unwrap().unwrap();
    end_in_records(&counted(&bytes), &lines);
}

#[test]
fn http_gets_ocsf_json_and_splunks_events() {
    let collector = Collector::start(&[200]);
    let url = format!("http://127.0.0.1:{}", collector.port);
    let sinks = format!(
        "{{ http: {{ url: '{url}/ocsf' }} }}, {{ http: {{ url: '{url}/json', format: json, token_file: \
         '{{place}}/token' }} }}, {{ http: {{ url: '{url}/services/collector/event', format: hec, token_file: \
         '{{place}}/token' }} }}, {{ otlp: {{ url: '{url}' }} }}"
    );
    let output = launched("");
    output.place().write("token", "t0ken-t0ken\n");
    let output = sent(output, &sinks);
    let lines = lines(output.place());
    let posted = collector.posted();
    let firsts: Vec<&str> = posted
        .iter()
        .map(|one| one.head.lines().next().unwrap())
        .collect();
    let wanted = [
        "POST /ocsf HTTP/1.1",
        "POST /json HTTP/1.1",
        "POST /services/collector/event HTTP/1.1",
        "POST /v1/logs HTTP/1.1",
    ];
    assert_eq!(firsts, wanted);
    for (number, token) in [None, Some("Bearer"), Some("Splunk"), None]
        .iter()
        .enumerate()
    {
        let head = posted[number].head.to_ascii_lowercase();
        assert!(head.contains("content-type: application/json"), "{head}");
        let wanted =
            token.map(|scheme| format!("authorization: {scheme} t0ken-t0ken").to_ascii_lowercase());
        let found = head.lines().find(|line| line.starts_with("authorization"));
        assert_eq!(found, wanted.as_deref());
        assert!(!posted[number].body.contains(VALUE));
    }
    // The receiver's copy alone has the log, byte for byte.
    let ocsf = json(&posted[0].body);
    let copies: Vec<&str> = ocsf
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["raw_data"].as_str().unwrap())
        .collect();
    assert_eq!(copies, lines);
    for line in &lines {
        assert!(
            posted[1].body.contains(line) && posted[2].body.contains(line),
            "{line}"
        );
    }
    let logs = json(&posted[3].body);
    let logs = logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
        .as_array()
        .unwrap();
    assert_eq!(logs[1]["body"]["stringValue"], lines[1].as_str());
}

#[test]
fn a_site_without_anything_to_monitor_says_so() {
    let output = launched("");
    let output = again(output).args(["monitor"]).run().code(78);
    output.stderr_has("neither audit.sinks, audit.witnesses, metrics nor alerts");
    let hushpipe = Hushpipe::new().file("site.yaml", "version: 1\n");
    let hushpipe = hushpipe.env("HUSHPIPE_SITE", "{place}/site.yaml");
    hushpipe
        .args(["monitor"])
        .run()
        .code(78)
        .stderr_has("has no `audit`");
}
