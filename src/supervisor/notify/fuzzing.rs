//! For tests/fuzz: what a program says to systemd.

use super::conversation::Conversation;

/// Messages with a NUL between them, rotations in between where one is empty: what goes on to systemd
/// is what the program said, but never who its main process is or who else may speak; and systemd is
/// told no end of a rotation that it was not told the beginning of.
pub fn notify(data: &[u8]) {
    let mut conversation = Conversation::default();
    let (mut rotating, mut reloading) = (false, false);
    for (index, message) in data.split(|byte| *byte == 0).take(64).enumerate() {
        if message.is_empty() {
            if rotating {
                let ready = conversation.rotation_ends();
                assert!(ready.is_none() || reloading);
                reloading = false;
            } else {
                reloading = conversation.rotation_begins(7).is_some();
            }
            rotating = !rotating;
            continue;
        }
        let heard = conversation.hear(message, index % 3 != 2, 7);
        assert!(heard.main.is_none_or(|main| main > 0));
        let Some(relay) = heard.relay else { continue };
        for field in relay.split(|byte| *byte == b'\n') {
            let said = message.split(|byte| *byte == b'\n').any(|one| one == field);
            assert!(said || field == b"MONOTONIC_USEC=7");
            assert!(
                !(reloading && field == b"READY=1"),
                "the rotation is not over"
            );
            let name = field.split(|byte| *byte == b'=').next().unwrap_or_default();
            for kept in ["MAINPID", "MAINPIDFD", "MAINPIDFDID", "NOTIFYACCESS"] {
                assert!(name != kept.as_bytes(), "{kept} is passed on");
            }
        }
    }
}
