//! What a merge needs of git's own objects, asked of git: both sides of a conflict.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use tokio::net::unix::pipe::Receiver;

use super::super::runtime;
use crate::sys::command::spawn;
use crate::sys::reaper::{Reaper, Status};

/// How git may be led elsewhere by its environment, as within a hook.
const ELSEWHERE: [&str; 3] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"];

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
    let environment = environment().chain([("GIT_NO_LAZY_FETCH".into(), "1".into())]);
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
    std::env::vars_os().filter(|(name, _)| ELSEWHERE.iter().all(|elsewhere| name != elsewhere))
}
