//! The host's log of its system: syslog(3), which journald and others take.

use std::ffi::CString;

/// Sends one line there, as an alert of `hushpipe` about authorization (`authpriv.alert`), as sudo(8)
/// does. Where the host has no log that takes it, nothing happens.
pub fn alert(line: &str) {
    let Ok(line) = CString::new(line) else {
        return; // `printable` lines have no NUL byte
    };
    let priority = libc::LOG_AUTHPRIV | libc::LOG_ALERT;
    // SAFETY: the name is static and stays valid, as openlog(3) keeps its address; the format takes one
    // string, which lives for the call. The socket is close-on-exec, and is closed here.
    unsafe {
        libc::openlog(c"hushpipe".as_ptr(), libc::LOG_PID, libc::LOG_AUTHPRIV);
        libc::syslog(priority, c"%s".as_ptr(), line.as_ptr());
        libc::closelog();
    }
}
