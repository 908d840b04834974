//! Values that stand in the program's arguments or environment, where other processes read them: no
//! launch then.
//!
//! Compared are the values that are delivered, less the fields that a secret's `public:` names: each
//! without the white space at its ends, its lines, and the strings in it where it is JSON; with every
//! text as it is and with what the text decodes to (see [`mod@texts`]). Values of fewer than
//! [`SHORTEST`] bytes are in places by chance, and so are those of fewer than [`ANYWHERE`] within a
//! longer word.

mod needles;
mod texts;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::failure::{Failure, Failures};
use crate::model::{Exit, Plan, SecretName};
use crate::secret::Value;
use crate::supervisor::spawn::Launch;
use needles::Needle;
pub use needles::needles;
pub use texts::SHORTEST;
use texts::{Filter, Place, Text, texts};

/// Values of so many bytes are found within longer words as well.
const ANYWHERE: usize = 16;

/// Fails for each delivered value that the launch would expose.
pub fn refuse(
    plan: &Plan,
    launch: &Launch,
    values: &BTreeMap<SecretName, Rc<Value>>,
) -> Result<(), Failures> {
    let needles = needles(plan, values);
    if needles.is_empty() {
        return Ok(());
    }
    let texts = texts(launch.argv(), launch.env());
    let filter = Filter::of(&texts);
    let mut found: Vec<Found<'_>> = Vec::new();
    for needle in needles
        .iter()
        .filter(|needle| filter.may_hold(&needle.bytes))
    {
        let finder = memchr::memmem::Finder::new(&*needle.bytes);
        for text in &texts {
            let one = Found {
                secret: needle.secret,
                field: needle.field,
                place: &text.place,
                form: text.form,
            };
            if !found.iter().any(|other| other.is_told_by(&one)) && holds(text, needle, &finder) {
                found.push(one);
            }
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(found.iter().map(|found| found.failure(plan)).collect())
}

/// Whether the text has these bytes, as a part of `NAME=value` or an argument as it is.
pub fn names(launch: &Launch, bytes: &[u8]) -> bool {
    let finder = memchr::memmem::Finder::new(bytes);
    let mut all = launch.argv().iter().chain(launch.env());
    all.any(|text| finder.find(text.as_bytes()).is_some())
}

fn holds(text: &Text<'_>, needle: &Needle<'_>, finder: &memchr::memmem::Finder<'_>) -> bool {
    let bytes = &*needle.bytes;
    finder.find_iter(&text.bytes).any(|start| {
        // A line such as `NODE_ENV=production` is in a variable by chance.
        (needle.whole || start >= text.body)
            && (bytes.len() >= ANYWHERE || text.encoded || is_word(text, start, bytes))
    })
}

/// Whether what stands there is a word, or some, and no part of one. `-pPASSWORD` has two.
fn is_word(text: &Text<'_>, start: usize, bytes: &[u8]) -> bool {
    let joins = |inner: Option<&u8>, outer: Option<&u8>| {
        inner.copied().is_some_and(is_of_word) && outer.copied().is_some_and(is_of_word)
    };
    let before = start.checked_sub(1).and_then(|index| text.bytes.get(index));
    let option = matches!(text.bytes.get(text.body..start), Some([b'-', letter]) if letter.is_ascii_alphabetic());
    (option || !joins(bytes.first(), before))
        && !joins(bytes.last(), text.bytes.get(start + bytes.len()))
}

const fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

struct Found<'a> {
    secret: &'a SecretName,
    field: Option<&'a str>,
    place: &'a Place,
    form: &'static str,
}

impl Found<'_> {
    /// One message says it for all forms and lines of it.
    fn is_told_by(&self, other: &Self) -> bool {
        (self.secret, self.field, self.place) == (other.secret, other.field, other.place)
    }

    fn failure(&self, plan: &Plan) -> Failure {
        let what = match self.field {
            Some(field) => format!("field {field:?} of secret {}", self.secret),
            None => format!("secret {}", self.secret),
        };
        let (place, remove) = match self.place {
            Place::Argument(index) => (
                format!("argument {index} of the program"),
                "remove it from the command".to_owned(),
            ),
            Place::Variable(name) => {
                let shown = name.to_string_lossy();
                let set = plan.run.env.set.contains_key(&*shown);
                let key = if set { "set" } else { "unset" };
                let remove = format!("remove it there (run.env.{key})");
                (format!("the environment variable {shown:?}"), remove)
            }
        };
        let public = match self.field {
            Some(field) => {
                format!(
                    "; if the field is no secret, add `public: [{field}]` to {}",
                    self.secret
                )
            }
            None => String::new(),
        };
        let form = self.form;
        let text = format!(
            "the value of {what} is in {place}{form}, where other processes can read it; {remove} \
             and let the program read it from a delivery{public}"
        );
        Failure::new(Exit::Denied, text)
    }
}

#[cfg(test)]
mod tests;
