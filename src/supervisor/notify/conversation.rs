//! What the program says to systemd, on its way through hushpipe: sd_notify(3) as a pure machine. It
//! has no socket and no clock.
//!
//! systemd's main process is hushpipe, and stays it. So what would make it another one (`MAINPID`),
//! or would keep hushpipe from speaking (`NOTIFYACCESS`), is taken at its word here and not passed
//! on. Everything else goes on as it is, unknown names as well.

/// How much of the program's process tree is listened to: `NotifyAccess=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    All,
    Program,
    Nobody,
}

/// What the program said last about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Starting,
    Ready,
    Reloading,
}

/// A message and what follows from it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What goes on to systemd; `None`: nothing.
    pub relay: Option<Vec<u8>>,
    /// Whether the descriptors that came with it go on as well; else they are closed.
    pub with_fds: bool,
    /// The names of its fields, for the log; values may be anything.
    pub names: Vec<String>,
    /// `MAINPID=`
    pub main: Option<i32>,
}

/// What systemd was told, and what the program said.
#[derive(Debug)]
pub struct Conversation {
    access: Access,
    /// systemd was told `READY=1`.
    told_ready: bool,
    program: Program,
    /// systemd was told `RELOADING=1` for a rotation.
    rotating: bool,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            access: Access::All,
            told_ready: false,
            program: Program::Starting,
            rotating: false,
        }
    }
}

/// Fields that are hushpipe's to know. `MAINPIDFDID` and `MAINPIDFD` say the same as `MAINPID`.
const KEPT: [&[u8]; 4] = [b"MAINPID", b"MAINPIDFDID", b"MAINPIDFD", b"NOTIFYACCESS"];

impl Conversation {
    /// Takes a message of the program or of one of its descendants. `now` is CLOCK_MONOTONIC in
    /// microseconds.
    pub fn hear(&mut self, message: &[u8], from_program: bool, now: u64) -> Heard {
        let allowed = match self.access {
            Access::All => true,
            Access::Program => from_program,
            Access::Nobody => false,
        };
        if !allowed {
            return Heard::default();
        }
        let mut heard = Heard::default();
        let mut relay: Vec<&[u8]> = Vec::new();
        for field in message.split(|byte| *byte == b'\n') {
            if field.is_empty() {
                continue;
            }
            let (name, value) = parted(field);
            heard.names.push(String::from_utf8_lossy(name).into_owned());
            match name {
                b"MAINPID" => heard.main = number(value),
                b"NOTIFYACCESS" => self.restrict(value),
                b"FDSTORE" | b"BARRIER" if value == b"1" => heard.with_fds = true,
                _ => {}
            }
            if !KEPT.contains(&name) && !self.defers(name, value) {
                relay.push(field);
            }
        }
        heard.relay = self.note(&relay, now);
        heard
    }

    /// Takes note of what is relayed, and completes it: systemd measures `Type=notify-reload` by
    /// `MONOTONIC_USEC`, which programs of before 2023 do not give.
    fn note(&mut self, relay: &[&[u8]], now: u64) -> Option<Vec<u8>> {
        if relay.is_empty() {
            return None;
        }
        let reloads = relay.contains(&b"RELOADING=1".as_slice());
        let timed = relay
            .iter()
            .any(|field| field.starts_with(b"MONOTONIC_USEC="));
        let mut message = relay.join(&b'\n');
        if relay.contains(&b"READY=1".as_slice()) {
            self.program = Program::Ready;
            self.told_ready = true;
        }
        if reloads {
            self.program = Program::Reloading;
            if !timed {
                message.extend_from_slice(format!("\nMONOTONIC_USEC={now}").as_bytes());
            }
        }
        Some(message)
    }

    /// While a rotation is under way, the program's `READY=1` waits for its end.
    fn defers(&mut self, name: &[u8], value: &[u8]) -> bool {
        if !self.rotating || name != b"READY" || value != b"1" {
            return false;
        }
        self.program = Program::Ready;
        true
    }

    fn restrict(&mut self, value: &[u8]) {
        self.access = match value {
            b"all" => Access::All,
            b"main" | b"exec" => Access::Program,
            b"none" => Access::Nobody,
            _ => self.access,
        };
    }

    /// The program was started, or started anew, and has said nothing yet.
    pub const fn begins_anew(&mut self) {
        self.program = Program::Starting;
        self.access = Access::All;
    }

    /// hushpipe itself says that the program is ready; gives what systemd is told.
    pub fn declare_ready(&mut self) -> Option<Vec<u8>> {
        self.program = Program::Ready;
        if self.rotating {
            return None;
        }
        self.told_ready = true;
        Some(b"READY=1".to_vec())
    }

    /// A new generation is about to be put in place.
    pub fn rotation_begins(&mut self, now: u64) -> Option<Vec<u8>> {
        if !self.told_ready || std::mem::replace(&mut self.rotating, true) {
            return None;
        }
        Some(format!("RELOADING=1\nMONOTONIC_USEC={now}").into_bytes())
    }

    /// The program has it, or has its old one back. One that is still busy says itself when it is
    /// ready.
    pub fn rotation_ends(&mut self) -> Option<Vec<u8>> {
        let rotated = std::mem::replace(&mut self.rotating, false);
        (rotated && self.program == Program::Ready).then(|| b"READY=1".to_vec())
    }
}

fn parted(field: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', field) {
        Some(at) => (&field[..at], &field[at + 1..]),
        None => (field, b""),
    }
}

fn number(value: &[u8]) -> Option<i32> {
    let number: i32 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (number > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 77;

    fn relayed(conversation: &mut Conversation, message: &str) -> Option<String> {
        let heard = conversation.hear(message.as_bytes(), true, NOW);
        heard.relay.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    fn text(message: Option<Vec<u8>>) -> Option<String> {
        message.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn messages_go_on_as_they_are() {
        let mut conversation = Conversation::default();
        for message in [
            "READY=1",
            "STATUS=fine = really",
            "STOPPING=1",
            "WATCHDOG=1",
            "WATCHDOG=trigger",
            "WATCHDOG_USEC=20000000",
            "EXTEND_TIMEOUT_USEC=1",
            "ERRNO=2",
            "BUSERROR=org.example",
            "EXIT_STATUS=3",
            "FDSTORE=1\nFDNAME=one\nFDPOLL=0",
            "FDSTOREREMOVE=1\nFDNAME=one",
            "BARRIER=1",
            "X_MINE=1",
            "RELOADING=1\nMONOTONIC_USEC=5",
            "READY=1\nSTATUS=two",
        ] {
            assert_eq!(
                relayed(&mut conversation, message).as_deref(),
                Some(message)
            );
        }
        assert_eq!(
            relayed(&mut conversation, "\nREADY=1\n\n").as_deref(),
            Some("READY=1")
        );
        for empty in ["", "\n", "\n\n"] {
            assert_eq!(relayed(&mut conversation, empty), None);
        }
    }

    #[test]
    fn a_reload_without_a_time_gets_one() {
        assert_eq!(
            relayed(&mut Conversation::default(), "RELOADING=1\nSTATUS=x").as_deref(),
            Some("RELOADING=1\nSTATUS=x\nMONOTONIC_USEC=77")
        );
        assert_eq!(
            relayed(&mut Conversation::default(), "RELOADING=0").as_deref(),
            Some("RELOADING=0")
        );
    }

    #[test]
    fn a_main_process_is_told_and_not_passed_on() {
        let mut conversation = Conversation::default();
        let heard = conversation.hear(b"MAINPID=42\nREADY=1\nMAINPIDFDID=9", true, NOW);
        assert_eq!(heard.main, Some(42));
        assert_eq!(heard.relay.unwrap(), b"READY=1");
        assert_eq!(heard.names, ["MAINPID", "READY", "MAINPIDFDID"]);
        for bad in ["0", "-1", "", "x", "99999999999"] {
            let message = format!("MAINPID={bad}");
            let heard = conversation.hear(message.as_bytes(), true, NOW);
            assert_eq!((heard.main, heard.relay), (None, None), "{bad}");
        }
    }

    #[test]
    fn the_program_can_shut_its_children_up_but_not_hushpipe() {
        let mut conversation = Conversation::default();
        assert_eq!(relayed(&mut conversation, "NOTIFYACCESS=main"), None);
        let from_child = conversation.hear(b"STATUS=x", false, NOW);
        assert_eq!(from_child, Heard::default());
        assert!(relayed(&mut conversation, "STATUS=y").is_some());
        assert_eq!(relayed(&mut conversation, "NOTIFYACCESS=none"), None);
        assert_eq!(relayed(&mut conversation, "STATUS=z"), None);
        conversation.begins_anew();
        assert!(conversation.hear(b"STATUS=x", false, NOW).relay.is_some());
    }

    #[test]
    fn descriptors_go_with_what_they_are_for_alone() {
        let mut conversation = Conversation::default();
        let with_fds = |conversation: &mut Conversation, message: &[u8]| {
            conversation.hear(message, true, NOW).with_fds
        };
        assert!(with_fds(&mut conversation, b"FDSTORE=1\nFDNAME=a"));
        assert!(with_fds(&mut conversation, b"BARRIER=1"));
        for other in [b"READY=1".as_slice(), b"FDSTORE=0", b"FDNAME=a", b""] {
            assert!(!with_fds(&mut conversation, other));
        }
    }

    #[test]
    fn a_rotation_is_told_only_of_a_program_that_was_ready() {
        let mut conversation = Conversation::default();
        assert_eq!(conversation.rotation_begins(NOW), None);
        assert_eq!(conversation.rotation_ends(), None);
        relayed(&mut conversation, "READY=1");
        assert_eq!(
            text(conversation.rotation_begins(NOW)).as_deref(),
            Some("RELOADING=1\nMONOTONIC_USEC=77")
        );
        assert_eq!(conversation.rotation_begins(NOW), None);
        assert_eq!(
            text(conversation.rotation_ends()).as_deref(),
            Some("READY=1")
        );
        assert_eq!(conversation.rotation_ends(), None);
    }

    #[test]
    fn the_programs_own_reload_within_a_rotation_ends_with_both() {
        let mut conversation = Conversation::default();
        relayed(&mut conversation, "READY=1");
        conversation.rotation_begins(NOW);
        assert!(relayed(&mut conversation, "RELOADING=1\nMONOTONIC_USEC=5").is_some());
        assert_eq!(
            relayed(&mut conversation, "READY=1\nSTATUS=x").as_deref(),
            Some("STATUS=x")
        );
        assert_eq!(
            text(conversation.rotation_ends()).as_deref(),
            Some("READY=1")
        );

        conversation.rotation_begins(NOW);
        relayed(&mut conversation, "RELOADING=1");
        assert_eq!(conversation.rotation_ends(), None);
        assert_eq!(
            relayed(&mut conversation, "READY=1").as_deref(),
            Some("READY=1")
        );
    }

    #[test]
    fn a_restart_within_a_rotation_waits_for_the_new_program() {
        let mut conversation = Conversation::default();
        relayed(&mut conversation, "READY=1");
        conversation.rotation_begins(NOW);
        conversation.begins_anew();
        assert_eq!(conversation.rotation_ends(), None);
        assert_eq!(
            relayed(&mut conversation, "READY=1").as_deref(),
            Some("READY=1")
        );

        conversation.rotation_begins(NOW);
        conversation.begins_anew();
        assert_eq!(conversation.declare_ready(), None);
        assert_eq!(
            text(conversation.rotation_ends()).as_deref(),
            Some("READY=1")
        );
    }

    #[test]
    fn hushpipe_can_say_it_for_the_program() {
        let mut conversation = Conversation::default();
        assert_eq!(
            text(conversation.declare_ready()).as_deref(),
            Some("READY=1")
        );
        assert!(conversation.rotation_begins(NOW).is_some());
    }

    proptest! {
        /// Whatever a program says, what goes on never names a main process or takes hushpipe's
        /// voice away, and systemd is not left waiting for the end of a rotation.
        #[test]
        fn no_message_gets_between_hushpipe_and_systemd(
            messages in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![
                "READY=1", "RELOADING=1", "MAINPID=1", "NOTIFYACCESS=main", "STATUS=", "=", "x",
                "MAINPIDFD=1", "READY=0", "STOPPING=1", "\u{fffd}=\u{1}",
            ]), 0..5), 0..12),
        ) {
            let mut conversation = Conversation::default();
            let mut reloading = false;
            for (index, message) in messages.iter().enumerate() {
                let heard = conversation.hear(message.join("\n").as_bytes(), true, NOW);
                let own = match index % 4 {
                    1 => conversation.rotation_begins(NOW),
                    3 => conversation.rotation_ends(),
                    _ => None,
                };
                for told in heard.relay.into_iter().chain(own) {
                    for field in told.split(|byte| *byte == b'\n') {
                        prop_assert!(!KEPT.contains(&parted(field).0));
                        prop_assert!(!field.is_empty());
                        reloading = (reloading || field == b"RELOADING=1") && field != b"READY=1";
                    }
                }
            }
            reloading &= conversation.rotation_ends().is_none();
            prop_assert!(!reloading || conversation.program == Program::Reloading);
        }
    }
}
