//! Receivers that keep what comes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::harness::wait_until;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Its first line and headers.
    pub head: String,
    /// Its content.
    pub body: String,
}

/// An HTTP server that answers with these statuses, the last one again and again.
pub struct Collector {
    pub port: u16,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Collector {
    pub fn start(statuses: &[u16]) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap(), statuses)
    }

    pub fn at(listener: TcpListener, statuses: &[u16]) -> Self {
        let port = listener.local_addr().unwrap().port();
        let posted = Arc::new(Mutex::new(Vec::new()));
        let (kept, statuses) = (Arc::clone(&posted), statuses.to_vec());
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &kept, &statuses);
            }
        });
        Self { port, posted }
    }

    pub fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    /// Waits for so many requests.
    pub fn wait(&self, count: usize) -> Vec<Posted> {
        wait_until(|| (self.posted().len() >= count).then_some(())).expect("requests arrive");
        self.posted()
    }
}

fn serve(stream: TcpStream, posted: &Mutex<Vec<Posted>>, statuses: &[u16]) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head += &line;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        let status = {
            let mut posted = posted.lock().unwrap();
            let status = statuses[posted.len().min(statuses.len() - 1)];
            posted.push(Posted { head, body });
            status
        };
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\n\r\n{{}}");
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Messages of a stream that counts octets.
pub fn counted(mut bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&bytes[..end]).unwrap().parse().unwrap();
        let message = &bytes[end + 1..end + 1 + length];
        messages.push(String::from_utf8(message.to_vec()).unwrap());
        bytes = &bytes[end + 1 + length..];
    }
    messages
}

/// A listener that keeps the bytes of all its connections.
pub struct Stream {
    pub port: u16,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Stream {
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

pub fn stream() -> Stream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&bytes);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut buffer) = (stream.unwrap(), [0; 4096]);
            while let Ok(length) = stream.read(&mut buffer) {
                if length == 0 {
                    break;
                }
                kept.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        }
    });
    Stream { port, bytes }
}
