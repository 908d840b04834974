//! `hushpipe secret generate`, `edit`, `mv`, `cp` and `export`.

use std::ffi::OsString;
use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};

use super::common::{FieldFormat, failure, key, new_key, say, stored, unbuffered};
use super::place::PlaceArgs;
use crate::app::sealed;
use crate::cli::{Failure, Globals, Outcome};
use crate::model::Exit;
use crate::model::query::Action;

/// Arguments of `secret generate`.
#[derive(Args)]
#[command(after_help = "\
The value is never shown. 32 letters and digits have 190 bits.

Examples:
  hushpipe secret generate session/key
  hushpipe secret generate db/password --length 24
  hushpipe secret generate cookie/key --characters hex --length 64")]
pub struct GenerateArgs {
    /// The secret's name
    name: String,
    /// How many characters
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(8..=4096))]
    length: u16,
    /// Which characters
    #[arg(long, value_enum, default_value_t = Characters::Letters)]
    characters: Characters,
}

#[derive(Clone, Copy, ValueEnum)]
enum Characters {
    /// Letters and digits
    Letters,
    /// 0-9 and a-f
    Hex,
    /// Digits
    Digits,
    /// Letters, digits, - and _
    Url,
    /// Letters, digits and punctuation
    Printable,
}

impl Characters {
    fn all(self) -> Vec<u8> {
        let fits: fn(&u8) -> bool = match self {
            Self::Letters => u8::is_ascii_alphanumeric,
            Self::Hex => |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Self::Digits => u8::is_ascii_digit,
            Self::Url => |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Printable => u8::is_ascii_graphic,
        };
        (0..=u8::MAX).filter(fits).collect()
    }
}

/// Stores a random value.
pub fn generate(place: &PlaceArgs, arguments: &GenerateArgs, globals: Globals) -> Outcome {
    let key = new_key(&arguments.name)?;
    let store = place.open_to(Action::Change, &[key.as_str()], globals)?;
    let (length, characters) = (usize::from(arguments.length), arguments.characters.all());
    let version = stored(sealed::generate(&store, &key, length, &characters))?;
    say(globals, &format!("{key}: version {version} is current"))?;
    place.tell_if_undelivered(&key, globals)
}

/// Arguments of `secret edit`.
#[derive(Args)]
#[command(after_help = "\
While the editor runs, the value is in a file in memory, in a directory for you alone. Switch off \
what the editor keeps elsewhere (viminfo, undo files, plugins).

Examples:
  hushpipe secret edit app/config
  EDITOR='vim -ni NONE' hushpipe secret edit app/config")]
pub struct EditArgs {
    /// The secret's name; one that is not there is new
    name: String,
}

/// Has an editor change a value.
pub fn edit(place: &PlaceArgs, arguments: &EditArgs, globals: Globals) -> Outcome {
    let key = new_key(&arguments.name)?;
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
        .unwrap_or_else(|| OsString::from("vi"));
    let store = place.open_to(Action::Reveal, &[key.as_str()], globals)?;
    place.open_to(Action::Change, &[key.as_str()], globals)?;
    match stored(sealed::edit(&store, &key, &editor))? {
        Some(version) => say(globals, &format!("{key}: version {version} is current")),
        None => say(globals, &format!("{key}: nothing was changed")),
    }
}

/// Arguments of `secret mv`.
#[derive(Args)]
#[command(after_help = "\
The new name starts with the current value: older versions go with the old name. Manifests that name \
it are yours to change.

Examples:
  hushpipe secret mv db/password payments/db/password")]
pub struct MoveArgs {
    /// The secret's name
    from: String,
    /// Its new name
    to: String,
}

/// Renames a secret.
pub fn rename(place: &PlaceArgs, arguments: &MoveArgs, globals: Globals) -> Outcome {
    let (from, to) = (key(&arguments.from)?, new_key(&arguments.to)?);
    let store = place.open_to(Action::Change, &[from.as_str(), to.as_str()], globals)?;
    let version = stored(sealed::copy(&store, &from, &to))?;
    stored(store.remove(&from))?;
    say(
        globals,
        &format!("{to}: version {version} is current; {from} was removed"),
    )
}

/// Arguments of `secret cp`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  hushpipe secret cp staging/db production/db")]
pub struct CopyArgs {
    /// The secret's name
    from: String,
    /// The new one
    to: String,
}

/// Copies the current value of a secret.
pub fn copy(place: &PlaceArgs, arguments: &CopyArgs, globals: Globals) -> Outcome {
    let (from, to) = (key(&arguments.from)?, new_key(&arguments.to)?);
    let store = place.open_to(Action::Change, &[from.as_str(), to.as_str()], globals)?;
    let version = stored(sealed::copy(&store, &from, &to))?;
    say(globals, &format!("{to}: version {version} is current"))
}

/// Arguments of `secret export`.
#[derive(Args)]
#[command(after_help = "\
As dotenv, what no variable has in its name is `_`: db/password becomes db_password.

Examples:
  hushpipe secret export --format json | jq keys
  hushpipe secret export > /dev/shm/mine/.env")]
pub struct ExportArgs {
    /// How they are written
    #[arg(long, value_enum, default_value_t = FieldFormat::Dotenv)]
    format: FieldFormat,
    /// Show the values although the output is a terminal
    #[arg(long)]
    reveal: bool,
}

/// Writes all values.
pub fn export(place: &PlaceArgs, arguments: &ExportArgs, globals: Globals) -> Outcome {
    if std::io::stdout().is_terminal() && !arguments.reveal {
        let text =
            "the values would be shown on the terminal: give --reveal, or send them to a program";
        return Err(Failure::text(Exit::Usage, text));
    }
    let store = place.open_to(Action::Reveal, &[], globals)?;
    let as_json = arguments.format == FieldFormat::Json;
    sealed::export(&store, as_json, &mut unbuffered()?).map_err(|error| failure(&error))?;
    Ok(Exit::Ok)
}
