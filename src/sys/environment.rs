//! hushpipe's own environment, where the kernel put it.

use std::ffi::CStr;

use zeroize::Zeroize;

unsafe extern "C" {
    /// environ(7).
    static environ: *const *mut libc::c_char;
}

/// Overwrites the values of these variables where they stand: in the memory that
/// `/proc/PID/environ` shows for as long as the process lives. The variables stay, and are empty.
///
/// For the time before there is a second thread. Nobody sets variables in this program, so that the
/// strings are those of execve(2).
pub fn wipe(names: &[&str]) {
    // SAFETY: the pointer is only read here, as std does; what it points to is the environment.
    unsafe { wipe_in(environ, names) }
}

/// # Safety
/// `entries` is null, or points to an array of pointers that ends with a null one. The others point to
/// strings that end with a zero byte, may be written, and that nobody else reads or writes meanwhile.
unsafe fn wipe_in(mut entries: *const *mut libc::c_char, names: &[&str]) {
    if entries.is_null() {
        return;
    }
    loop {
        // SAFETY: the caller's: this is an entry, or the null pointer at the end.
        let entry = unsafe { entries.read() };
        if entry.is_null() {
            return;
        }
        // SAFETY: the caller's: it is a string that ends with a zero byte.
        let length = unsafe { CStr::from_ptr(entry) }.count_bytes();
        // SAFETY: these are the bytes of that string; the caller lets nobody else have them.
        let entry = unsafe { std::slice::from_raw_parts_mut(entry.cast::<u8>(), length) };
        wipe_one(entry, names);
        // SAFETY: the entry was not the last one.
        entries = unsafe { entries.add(1) };
    }
}

/// `NAME=value`
fn wipe_one(entry: &mut [u8], names: &[&str]) {
    let Some(equals) = entry.iter().position(|byte| *byte == b'=') else {
        return;
    };
    let (name, value) = entry.split_at_mut(equals);
    if names.iter().any(|wanted| wanted.as_bytes() == name) {
        value[1..].zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn wiped_variables_are_empty_and_the_others_are_as_they_were() {
        let mut texts = [
            *b"TOKEN=s3cr3t\0",
            *b"TOKENS=s3cr3\0",
            *b"TOKEN=again!\0",
            *b"no variable!\0",
        ];
        let mut entries = texts.each_mut().map(|text| text.as_mut_ptr().cast());
        let mut all = entries.to_vec();
        all.push(ptr::null_mut());
        // SAFETY: strings of this test's own, and a null pointer at the end.
        unsafe { wipe_in(all.as_ptr(), &["TOKEN", "OTHER"]) };
        entries.fill(ptr::null_mut());
        assert_eq!(
            texts,
            [
                *b"TOKEN=\0\0\0\0\0\0\0",
                *b"TOKENS=s3cr3\0",
                *b"TOKEN=\0\0\0\0\0\0\0",
                *b"no variable!\0",
            ]
        );
        // SAFETY: null is allowed.
        unsafe { wipe_in(ptr::null(), &["TOKEN"]) };
    }
}
