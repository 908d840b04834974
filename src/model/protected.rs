//! What the gate at execve(2) asks of a text, without having any value itself.

/// What a variable of an environment carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carries {
    /// Nothing that is protected.
    Nothing,
    /// What every process of the program's tree may have: `children: same`.
    OfTree,
    /// What the program alone may have: `children: none`.
    OfProgram,
}

/// Recognises the variables that `getenv` delivers, wherever they appear.
pub trait Protected {
    /// What a `NAME=value` carries: by its name, or by a protected value in it.
    fn carries(&self, variable: &[u8]) -> Carries;

    /// The name of a variable whose value is in this text.
    fn named_in(&self, text: &[u8]) -> Option<&str>;
}
