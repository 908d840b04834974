//! Requests for approval, as anybody may write them.

use crate::approval::Request;

/// What is read is written as exactly the same bytes.
pub fn request(data: &[u8]) {
    match Request::parse(data) {
        Ok(request) => assert_eq!(request.to_bytes(), data),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
