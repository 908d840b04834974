//! Events as lines on stderr: text for people, JSON for machines.

use serde_json::{Value, json};

use super::Sink;
use crate::model::printable::printable;
use crate::model::{Envelope, Event, Level, Topic};
use crate::sys::stderr;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `hushpipe: …`
    Text,
    /// One object a line.
    Json,
}

/// The log on stderr.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    format: Format,
    least: Level,
}

impl Log {
    /// Writes events of this level and of those before it.
    pub const fn new(format: Format, least: Level) -> Self {
        Self { format, least }
    }
}

impl Sink for Log {
    fn take(&self, envelope: &Envelope<'_>) {
        if envelope.event.level() > self.least && !envelope.event.is_alert() {
            return;
        }
        let is_repeated = self.format == Format::Text && envelope.event.is_said_elsewhere();
        if is_repeated && self.least < Level::Debug {
            return;
        }
        let dropped = stderr::dropped();
        if dropped > 0 {
            let event = Event::Weaker {
                about: Topic::Log,
                message: format!(
                    "{dropped} messages were dropped: whatever reads hushpipe's standard error had \
                     stopped reading"
                ),
            };
            self.write(&Envelope {
                event: &event,
                ..*envelope
            });
        }
        self.write(envelope);
    }
}

impl Log {
    /// Never waits for whoever reads it.
    fn write(self, envelope: &Envelope<'_>) {
        let line = match self.format {
            Format::Text => text(envelope.event),
            Format::Json => format!("{}\n", object(envelope)),
        };
        stderr::write(line.as_bytes());
    }
}

fn text(event: &Event) -> String {
    let (level, message) = (event.level(), event.message());
    let message = printable(&message);
    match level {
        Level::Error | Level::Warning => format!("hushpipe: {}: {message}\n", level.name()),
        Level::Notice | Level::Info | Level::Debug => format!("hushpipe: {message}\n"),
    }
}

fn object(envelope: &Envelope<'_>) -> Value {
    let mut object = serde_json::to_value(envelope).expect("events are plain data");
    object["level"] = json!(envelope.event.level().name());
    object["message"] = json!(envelope.event.message());
    object
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::time::SystemTime;

    use super::*;
    use crate::model::Generation;
    use crate::model::event::samples::samples;

    fn envelope(event: &Event) -> Envelope<'_> {
        Envelope {
            seq: 1,
            time: SystemTime::UNIX_EPOCH,
            launcher: 7,
            service: "app",
            generation: Generation::FIRST,
            event,
        }
    }

    /// Each sample's level, its line of text, and its line of JSON without the envelope.
    #[test]
    fn lines_are_those_of_the_golden_file() {
        let mut lines = String::new();
        for event in samples() {
            let mut object = object(&envelope(&event));
            for key in ["seq", "time", "launcher", "service"] {
                let removed = object.as_object_mut().unwrap().shift_remove(key);
                assert!(removed.is_some(), "{key}");
            }
            let own = serde_json::to_value(&event).unwrap();
            if own.get("generation").is_none() {
                object.as_object_mut().unwrap().shift_remove("generation");
            }
            writeln!(lines, "{:?} {}{object}", event.level(), text(&event)).unwrap();
        }
        let golden = include_str!("log_golden.txt");
        for (line, expected) in lines.lines().zip(golden.lines()) {
            assert_eq!(line, expected);
        }
        assert_eq!(lines, golden);
    }

    #[test]
    fn no_line_has_what_a_terminal_acts_on_or_another_line_in_it() {
        let weaker = Event::Weaker {
            about: Topic::Store,
            message: "of \u{1b}[2Jothers\u{9b}1m\r\nhushpipe: error: forged".to_owned(),
        };
        assert_eq!(
            text(&weaker),
            "hushpipe: warning: of \\u{1b}[2Jothers\\u{9b}1m\\r\\nhushpipe: error: forged\n"
        );
        let object = object(&envelope(&weaker)).to_string();
        assert!(!object.contains(['\u{1b}', '\r', '\n']), "{object}");
    }

    #[test]
    fn an_envelope_says_where_and_when() {
        let object = object(&envelope(&Event::Killed));
        assert_eq!(object["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(
            (&object["seq"], &object["launcher"]),
            (&json!(1), &json!(7))
        );
        assert_eq!(object["service"], "app");
        assert_eq!(object["generation"], 1);
    }
}
