//! Programs that are run beside the program: to tell it of a new generation, and to ask whether it is
//! well.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{Plan, RunSpec, Signal, Startup, format_duration};
use crate::supervisor::Handle;
use crate::supervisor::spawn::{Handover, Launch};
use crate::sys::child::{self, Child, Group, Spec, Staged, Step};
use crate::sys::command::Running;
use crate::sys::origin;
use crate::sys::reaper::{Reaper, Status};
use crate::sys::signals::Mask;

/// How long a command that takes too long has to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(1);

/// Where such commands run: as the program does (its user, groups, directory, limits and
/// environment), with its private files in sight, and `PROGRAM_PID` set. Their input is empty, and
/// what they write goes to hushpipe's standard error.
pub struct Beside<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The program.
    pub handle: Handle,
    /// Who waits.
    pub reaper: Reaper,
    /// The program has private files.
    pub private: bool,
    /// It has namespaces of its own without.
    pub apart: bool,
}

impl Beside<'_> {
    /// Runs a command to its end; says what went wrong. It is killed, with its process group, when it
    /// takes longer, and when this future is dropped.
    pub async fn run(&self, argv: &[String], timeout: Duration) -> Result<(), String> {
        let name = argv.first().map_or("", String::as_str);
        let child = self
            .start(argv)
            .map_err(|why| format!("{name} cannot be started: {why}"))?;
        let running = Running::adopt(child, &self.reaper);
        let mut running =
            running.map_err(|error| format!("{name} cannot be waited for: {error}"))?;
        let ended = tokio::time::timeout(timeout, running.ended()).await;
        match ended {
            Ok(Ok(Status::Exited(0))) => Ok(()),
            Ok(Ok(status)) => Err(format!("{name} ended with {}", told(status))),
            Ok(Err(error)) => Err(format!("{name} cannot be waited for: {error}")),
            Err(_) => {
                let stopped = running.stop(GRACE).await;
                let late = format!("{name} did not end within {}", format_duration(timeout));
                match stopped {
                    Ok(()) => Err(late),
                    Err(error) => Err(format!("{late}, and cannot be ended: {error}")),
                }
            }
        }
    }

    /// In the program's namespaces; where the kernel lets no one in there, and there is nothing to see,
    /// in hushpipe's.
    fn start(&self, argv: &[String]) -> Result<Child, String> {
        match self.start_in(argv, self.private || self.apart) {
            Err(Refusal { beside: true, .. }) if !self.private => self.start_in(argv, false),
            started => started,
        }
        .map_err(|refusal| refusal.why)
    }

    fn start_in(&self, argv: &[String], beside: bool) -> Result<Child, Refusal> {
        let launched = self.spec(argv, beside)?;
        let started = child::stage(launched).and_then(Staged::start);
        started.map_err(|error| Refusal {
            beside: error.step == Step::Beside,
            why: crate::model::chain(&error),
        })
    }

    fn spec(&self, argv: &[String], beside: bool) -> Result<Spec, String> {
        let text = |error: &dyn std::error::Error| crate::model::chain(error);
        let program = self.handle.pidfd().map_err(|error| text(&error))?;
        let (Some(pidfd), Some(pid)) = (program, self.handle.pid()) else {
            return Err("the program has ended".to_owned());
        };
        let run = RunSpec {
            command: argv.iter().map(OsString::from).collect(),
            fds: Vec::new(),
            sha256: None,
            judged: false,
            startup: Startup::default(),
            // The directory that hushpipe is in is not kept across a change of the mounts.
            cwd: self.plan.run.cwd.clone().or_else(directory),
            ..self.plan.run.clone()
        };
        let launch = Launch::settle(&run, std::env::vars_os())
            .map_err(|faults| faults.first().map_or(String::new(), |fault| text(fault)))?;
        let handover = Handover {
            fds: streams().map_err(|error| text(&error))?,
            hidden: None,
            mounts: Vec::new(),
            covers: Vec::new(),
            apart: false,
            users: None,
            beside: beside.then_some(pidfd),
            group: Group::Own,
            mask: Mask::empty(),
            parent_death: Some(Signal::KILL),
            variables: vec![("PROGRAM_PID", pid.to_string().into())],
            pid_variables: Vec::new(),
        };
        launch.spec(handover).map_err(|error| text(&error))
    }
}

/// Why a command was not started.
struct Refusal {
    why: String,
    /// The kernel does not let it into the program's namespaces.
    beside: bool,
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { why, beside: false }
    }
}

/// Where hushpipe was started.
fn directory() -> Option<PathBuf> {
    let left = origin::left().filter(|left| left.is_dir());
    left.map(Path::to_owned)
        .or_else(|| std::env::current_dir().ok())
}

/// Standard input and output; standard error is hushpipe's.
fn streams() -> std::io::Result<Vec<(OwnedFd, i32)>> {
    let input = OwnedFd::from(File::open("/dev/null")?);
    let output = std::io::stderr().as_fd().try_clone_to_owned()?;
    Ok(vec![(input, 0), (output, 1)])
}

fn told(status: Status) -> String {
    match status {
        Status::Killed { signal, .. } => match Signal::from_number(signal) {
            Some(signal) => signal.to_string(),
            None => status.to_string(),
        },
        status => status.to_string(),
    }
}
