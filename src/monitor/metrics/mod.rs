//! What the log's records say in numbers, and how that is written.

mod counts;
mod launchers;
mod openmetrics;
mod otlp;

pub use counts::{Id, Metrics, number};
pub use launchers::of_launchers;
pub use openmetrics::{Dialect, text};
pub use otlp::body as otlp_body;
