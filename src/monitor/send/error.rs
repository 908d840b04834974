//! Why a batch did not arrive.

/// Why not all of a batch arrived.
#[derive(Debug)]
pub struct SendError {
    /// How many of its records are confirmed, from the first on.
    pub confirmed: usize,
    /// For a person.
    pub why: String,
    /// A smaller batch may fit.
    pub is_large: bool,
}

impl SendError {
    /// It stays as large as it is.
    pub fn new(confirmed: usize, why: impl Into<String>) -> Self {
        Self {
            confirmed,
            why: why.into(),
            is_large: false,
        }
    }
}
