//! What the monitor says to whoever runs it.

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It goes well again, or goes on.
    Notice,
    /// Something does not work.
    Warning,
    /// Somebody changed the log.
    Alert,
}

/// Where messages go.
pub type Say<'a> = &'a dyn Fn(Weight, &str);
