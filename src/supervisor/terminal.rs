//! Jobs: whose process group the program is in, and who has the terminal.

use std::io;

use super::state::{Control, Foreground};
use crate::sys::child::Group;
use crate::sys::{process, terminal};

/// What decides about the program's process group.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Surroundings {
    /// hushpipe's session has a controlling terminal.
    pub terminal: bool,
    /// hushpipe's process group is in its foreground.
    pub foreground: bool,
    /// hushpipe leads its session, as in a container with a terminal.
    pub session_leader: bool,
    /// hushpipe leads its process group, as when it was typed into a shell.
    pub group_leader: bool,
    /// Standard input or output is a pipe.
    pub piped: bool,
}

/// Decides. A program on a terminal is a job of its own where hushpipe is one; within a pipeline or a
/// script it stays in the group that the shell made, so that the job still is one job.
pub const fn group_for(here: Surroundings) -> Group {
    match control_for(here) {
        Control::Shared => Group::Shared,
        Control::Job if here.foreground => Group::OwnForeground,
        Control::Job | Control::None => Group::Own,
    }
}

const fn control_for(here: Surroundings) -> Control {
    if !here.terminal {
        Control::None
    } else if here.session_leader || (here.group_leader && !here.piped) {
        Control::Job
    } else {
        Control::Shared
    }
}

/// How the program's group stands to the terminal, decided once, before it starts.
#[derive(Debug)]
pub struct Job {
    here: Surroundings,
    terminal: Option<terminal::Terminal>,
}

impl Job {
    /// Looks at the terminal, the session and the standard descriptors.
    pub fn here() -> io::Result<Self> {
        let terminal = terminal::Terminal::controlling()?;
        let here = Surroundings {
            terminal: terminal.is_some(),
            foreground: false,
            session_leader: process::is_session_leader(),
            group_leader: process::is_group_leader(),
            piped: terminal::is_piped(),
        };
        Ok(Self { here, terminal })
    }

    /// The group that the program is to be started in now. A shell may have moved hushpipe to the
    /// background since it was asked last.
    pub fn group(&self) -> Group {
        // A terminal that cannot be asked is not handed over.
        let foreground = self
            .foreground(0)
            .is_ok_and(|whose| whose == Foreground::Ours);
        group_for(Surroundings {
            foreground,
            ..self.here
        })
    }

    /// How the group stands to the terminal.
    pub const fn control(&self) -> Control {
        control_for(self.here)
    }

    /// Whether a hang-up of the terminal is told to hushpipe alone.
    pub const fn session_leader(&self) -> bool {
        self.here.session_leader
    }

    /// Who has the terminal; `program` is the program's process id.
    pub fn foreground(&self, program: i32) -> io::Result<Foreground> {
        let group = match &self.terminal {
            Some(terminal) => terminal.foreground()?,
            None => None,
        };
        Ok(match group {
            Some(group) if group == process::group() => Foreground::Ours,
            Some(group) if group == program => Foreground::Programs,
            _ => Foreground::Elsewhere,
        })
    }

    /// Hands the foreground to the program, if hushpipe's group has it.
    pub fn give(&self, program: i32) -> io::Result<()> {
        if let (Control::Job, Some(terminal)) = (self.control(), &self.terminal)
            && terminal.foreground()? == Some(process::group())
        {
            terminal.set_foreground(program)?;
        }
        Ok(())
    }

    /// Takes the foreground back, if the program's group has it, or one that is no more.
    pub fn take(&self, program: i32) -> io::Result<()> {
        if let (Control::Job, Some(terminal)) = (self.control(), &self.terminal)
            && let Some(group) = terminal.foreground()?
            && (group == program || !process::group_exists(group))
        {
            terminal.set_foreground(process::group())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Surroundings = Surroundings {
        terminal: false,
        foreground: false,
        session_leader: false,
        group_leader: false,
        piped: false,
    };
    const SHELL: Surroundings = Surroundings {
        terminal: true,
        foreground: true,
        group_leader: true,
        ..NONE
    };

    #[test]
    fn the_group_follows_from_where_hushpipe_stands() {
        let background = Surroundings {
            foreground: false,
            ..SHELL
        };
        let pipeline = Surroundings {
            piped: true,
            ..SHELL
        };
        let script = Surroundings {
            group_leader: false,
            ..SHELL
        };
        let container = Surroundings {
            session_leader: true,
            piped: true,
            ..SHELL
        };
        let daemon = Surroundings {
            group_leader: true,
            piped: true,
            ..NONE
        };
        for (case, here, group, control) in [
            (
                "typed into a shell",
                SHELL,
                Group::OwnForeground,
                Control::Job,
            ),
            ("with & at the end", background, Group::Own, Control::Job),
            ("in a pipeline", pipeline, Group::Shared, Control::Shared),
            ("from a script", script, Group::Shared, Control::Shared),
            (
                "docker run -t",
                container,
                Group::OwnForeground,
                Control::Job,
            ),
            ("docker run, systemd", daemon, Group::Own, Control::None),
            ("no leader, no terminal", NONE, Group::Own, Control::None),
        ] {
            assert_eq!(
                (group_for(here), control_for(here)),
                (group, control),
                "{case}"
            );
        }
    }
}
