//! `on_rotate:`

use std::time::Duration;

use crate::manifest::decode::record;
use crate::manifest::values::RotateDo;
use crate::model::Signal;

record! {
    /// What happens when a secret has a new version.
    OnRotation("a mapping such as { do: signal, signal: HUP }") {
        /// signal: the program gets a signal. nothing: only the files change.
        optional action "do": RotateDo;
        /// The signal. Default: HUP.
        optional signal "signal": Signal;
        /// Changes within it become one generation.
        optional settle "settle": Duration = "2s";
    } later {
        "verify": "the program cannot be probed after a rotation yet",
        "rollback": "a rotation cannot be taken back yet",
        "splay": "a random delay is not there yet",
        "command": "no command can be run yet",
        "http": "no request can be made yet",
        "restart": "the program cannot be restarted yet",
        "max": "the program cannot be restarted yet",
    }
}
