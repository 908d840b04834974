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
    } elsewhere {
        "verify": "the program cannot be probed after a rotation yet" => "remove it",
        "rollback": "a rotation cannot be taken back yet" => "remove it",
        "splay": "a random delay is not there yet" => "remove it",
        "command": "no command can be run yet" => "remove it",
        "http": "no request can be made yet" => "remove it",
        "restart": "the program cannot be restarted yet" => "remove it",
        "max": "the program cannot be restarted yet" => "remove it",
    }
}
