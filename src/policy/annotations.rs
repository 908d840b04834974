//! Annotations that mean something here: what lifts a `forbid`, and what a denial at a rotation does.

use std::time::Duration;

use cedar_policy::Effect;
use serde::{Deserialize, Serialize};

use crate::model::nearest::nearest;
use crate::model::parse_duration;
use crate::model::printable::printable;

/// Known annotations, in the order of the manual.
pub const KNOWN: [&str; 4] = ["id", "approval", "reason", "on_rotation"];

/// What a policy's annotations say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotations {
    /// Lifts it.
    pub approval: Option<Approval>,
    /// Its text, if it wants one; it may be empty.
    pub reason: Option<String>,
    /// A denial at a rotation ends the program.
    pub stop: bool,
}

/// `2 of sre within 8h`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub needed: u32,
    pub group: String,
    pub within: Duration,
}

/// An annotation that is wrong: its name, what is wrong, what to do.
pub struct Wrong {
    pub name: String,
    pub message: String,
    pub help: &'static str,
}

const APPROVAL: &str = "write `N of GROUP within DURATION`, such as \"2 of sre within 8h\"";
const ON_ROTATION: &str =
    "write @on_rotation(\"stop\"), or leave it out: the program then keeps what it has";

/// Reads the annotations of a policy: all that is wrong with them is given.
pub fn read<'a>(
    effect: Effect,
    all: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Annotations, Vec<Wrong>> {
    let mut read = Annotations::default();
    let mut wrong = Vec::new();
    for (name, value) in all {
        let known = KNOWN.contains(&name);
        let done = if known && name != "id" && effect == Effect::Permit {
            Err((
                "is for a forbid: a permit has nothing to lift".to_owned(),
                "write a forbid with this annotation beside the permit",
            ))
        } else {
            read.take(name, value)
        };
        if let Err((message, help)) = done {
            let (name, message) = (name.to_owned(), format!("@{} {message}", printable(name)));
            wrong.push(Wrong {
                name,
                message,
                help,
            });
        }
    }
    if wrong.is_empty() {
        Ok(read)
    } else {
        Err(wrong)
    }
}

type Take = Result<(), (String, &'static str)>;

impl Annotations {
    fn take(&mut self, name: &str, value: &str) -> Take {
        match name {
            "id" => id(value),
            "approval" => {
                self.approval = Some(approval(value).map_err(|message| (message, APPROVAL))?);
                Ok(())
            }
            "reason" => {
                let text = "its text is shown to whoever has to give a reason";
                if value.chars().any(crate::model::printable::acts) {
                    return Err(("has control characters in its text".to_owned(), text));
                }
                self.reason = Some(value.to_owned());
                Ok(())
            }
            "on_rotation" if value == "stop" => {
                self.stop = true;
                Ok(())
            }
            "on_rotation" => Err((unknown(value), ON_ROTATION)),
            other => match nearest(other, KNOWN.into_iter()) {
                Some(near) => Err((
                    format!("is unknown; did you mean @{near}?"),
                    "annotations for people alone have names that are not like hushpipe's own",
                )),
                None => Ok(()),
            },
        }
    }
}

fn unknown(value: &str) -> String {
    format!("has the unknown value `{}`", printable(value))
}

fn id(value: &str) -> Take {
    let fits =
        (1..=200).contains(&value.len()) && !value.chars().any(crate::model::printable::acts);
    if fits {
        return Ok(());
    }
    Err((
        "is empty, too long or has control characters".to_owned(),
        "an id is 1 to 200 bytes of printable text",
    ))
}

/// `N of GROUP within DURATION`, each by one space.
fn approval(value: &str) -> Result<Approval, String> {
    let words: Vec<&str> = value.split(' ').collect();
    let [needed, of, group, within, duration] = words[..] else {
        return Err(unknown(value));
    };
    if of != "of" || within != "within" || group.is_empty() {
        return Err(unknown(value));
    }
    if group
        .chars()
        .any(|c| crate::model::printable::acts(c) || c.is_whitespace())
    {
        return Err(unknown(value));
    }
    let digits = needed.bytes().all(|byte| byte.is_ascii_digit());
    let needed = needed
        .parse()
        .ok()
        .filter(|needed| digits && (1..=100).contains(needed));
    let needed = needed.ok_or("wants 1 to 100 people")?;
    let within =
        parse_duration(duration).map_err(|error| format!("has a bad duration: {error}"))?;
    if within.is_zero() {
        return Err("lets approvals expire at once".to_owned());
    }
    Ok(Approval {
        needed,
        group: group.to_owned(),
        within,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(effect: Effect, name: &str, value: &str) -> String {
        let wrong = read(effect, [(name, value)].into_iter()).err();
        wrong.map_or_else(String::new, |all| all[0].message.clone())
    }

    #[test]
    fn an_approval_is_exactly_what_the_grammar_says() {
        let read = approval("2 of sre within 8h").expect("it is one");
        assert_eq!((read.needed, read.group.as_str()), (2, "sre"));
        assert_eq!(read.within, Duration::from_hours(8));
        for bad in [
            "",
            "2 of sre",
            "2  of sre within 8h",
            "0 of sre within 8h",
            "101 of sre within 8h",
            "+2 of sre within 8h",
            "2 of sre within 8",
            "2 of sre within 0s",
            "two of sre within 8h",
            "2 of sre in 8h",
            "2 of a\u{202e}b within 8h",
            "2 of sre within 8h ",
            "-1 of sre within 8h",
            "99999999999 of sre within 8h",
        ] {
            assert!(approval(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_permit_has_nothing_to_lift_and_a_typo_is_no_comment() {
        for name in ["approval", "reason", "on_rotation"] {
            assert!(wrong(Effect::Permit, name, "stop").contains("is for a forbid"));
        }
        let near = wrong(Effect::Forbid, "aproval", "2 of sre within 8h");
        assert!(near.contains("did you mean @approval?"), "{near}");
        assert_eq!(wrong(Effect::Forbid, "description", "why\nit is"), "");
        assert!(wrong(Effect::Forbid, "on_rotation", "halt").contains("`halt`"));
        assert!(wrong(Effect::Permit, "id", "").contains("is empty"));
        assert!(wrong(Effect::Forbid, "reason", "a\u{1b}[2J").contains("control"));
    }
}
