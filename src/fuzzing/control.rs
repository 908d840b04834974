//! The control socket: a request as a launcher reads it, a reply as `hushpipe status` does.

use crate::model::control::{LONGEST_REQUEST, Reply, Request};

/// A line that somebody sent: what is read is read again from what it is written as, and is no longer
/// than a request may be.
pub fn control(data: &[u8]) {
    match Request::parse(data) {
        Ok(request) => {
            let line = request.to_line();
            assert!(line.len() <= LONGEST_REQUEST + 1 || data.len() > LONGEST_REQUEST / 6);
            assert!(!line[..line.len() - 1].contains(&b'\n'));
            if line.len() <= LONGEST_REQUEST + 1 {
                assert_eq!(Request::parse(&line), Ok(request));
            }
        }
        Err(error) => assert!(error.to_string().is_ascii()),
    }
    if let Ok(reply) = serde_json::from_slice::<Reply>(data) {
        let line = reply.to_line();
        let again: Reply = serde_json::from_slice(&line).expect("what is written is a reply");
        assert_eq!(again, reply);
    }
}
