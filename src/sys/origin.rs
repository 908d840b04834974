//! The directory that hushpipe was started in. A supervisor leaves it once its program runs, so that
//! its file system can be unmounted; what is started later is started there again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static LEFT: OnceLock<PathBuf> = OnceLock::new();

/// Goes to `/`. Relative paths mean something else from here on, but for [`within`].
///
/// An error (the directory has no path any more: getcwd(3)) leaves hushpipe where it is.
pub fn leave() -> io::Result<()> {
    let directory = std::env::current_dir()?;
    std::env::set_current_dir("/")?;
    LEFT.get_or_init(|| directory);
    Ok(())
}

/// The directory, if it was left.
pub fn left() -> Option<&'static Path> {
    LEFT.get().map(PathBuf::as_path)
}

/// Runs `act`, which starts a process, in the directory. If it cannot be entered any more, `act` runs
/// in `/`. hushpipe has one thread that starts processes: no other meets the change.
pub fn within<R>(act: impl FnOnce() -> R) -> io::Result<R> {
    let entered = left().is_some_and(|directory| std::env::set_current_dir(directory).is_ok());
    let result = act();
    if entered {
        std::env::set_current_dir("/")?;
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_before_a_program_runs() {
        assert_eq!(left(), None);
        let before = std::env::current_dir().unwrap();
        assert_eq!(within(std::env::current_dir).unwrap().unwrap(), before);
    }
}
