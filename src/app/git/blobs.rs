//! What a merge needs of git's own objects, asked of git: both sides of a conflict.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use tokio::net::unix::pipe::Receiver;

use crate::app::event_loop::runtime;
use crate::sys::command::spawn;
use crate::sys::reaper::{Reaper, Status};

/// What git gets of hushpipe's environment: no credential, and nothing that leads it elsewhere.
const PASSED: [&str; 2] = ["PATH", "HOME"];

/// The content of a blob by its name for git, such as `:3:./file`, with paths from the directory; `None`
/// where there is none. No filter, hook or helper of the work tree runs.
pub fn blob(directory: &Path, name: &str) -> Option<Vec<u8>> {
    let directory = directory.to_str()?;
    let words = [
        "git",
        "--no-replace-objects",
        "-c",
        "core.fsmonitor=false",
        "-C",
        directory,
        "cat-file",
        "blob",
        name,
    ];
    let argv = words.map(str::to_owned);
    let environment = environment().chain([
        ("GIT_NO_LAZY_FETCH".into(), "1".into()),
        // Also where git does not know that variable.
        ("GIT_ALLOW_PROTOCOL".into(), "none".into()),
    ]);
    let read = async {
        let mut spawned = spawn(&argv, environment, &Reaper::new())?;
        let bytes = collect(&spawned.stdout).await?;
        Ok::<_, io::Error>((spawned.running.ended().await?, bytes))
    };
    match runtime().ok()?.block_on(read) {
        Ok((Status::Exited(0), bytes)) => Some(bytes),
        _ => None,
    }
}

async fn collect(stdout: &Receiver) -> io::Result<Vec<u8>> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
    loop {
        stdout.readable().await?;
        match stdout.try_read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    PASSED
        .into_iter()
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
}
