//! The paths that a manifest can hold: of this host, of the program, of stores.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::decode::{Decode, Decoder, or_variable};
use super::fault::Fault;
use super::tree::Node;
use crate::model::private_key::{has_private_key, has_token};

const BRACES: &str = "a variable of the environment is written with braces, as in ${HOME}/x";

/// What a text is that was written, or is in a variable, in place of a path. It is in no message.
fn in_place_of(text: &str) -> Option<&'static str> {
    match text {
        _ if has_private_key(text) => Some("an identity"),
        _ if has_token(text) => Some("a token"),
        _ => None,
    }
}

/// A path of this host: absolute, from `~/`, or relative to the manifest's directory.
#[derive(Clone, Debug)]
pub struct HostPath(pub PathBuf);

impl Decode for HostPath {
    const WANTED: &'static str = "a path";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let text = to.text(node, Self::WANTED)?;
        if let Some(what) = in_place_of(&text) {
            let fault = Fault::new(
                node.span,
                format!("this is {what}, not the path of a file with one"),
                "write it to a file of mode 0600, and name that",
            );
            to.faults.push(fault.hiding());
            return None;
        }
        // Asked for where it counts alone: what was read of the environment is part of an approval.
        let (base, environment) = (to.base, to.environment);
        to.parsed(node, Self::WANTED, |text| match text.strip_prefix('~') {
            _ if text.is_empty() => Err("it is empty"),
            _ if text.starts_with('$') => Err(BRACES),
            Some(rest) if rest.is_empty() || rest.starts_with('/') => environment("HOME")
                .filter(|home| home.starts_with('/'))
                .map(|home| Self(Path::new(&home).join(rest.trim_start_matches('/'))))
                .ok_or("`~` needs the variable HOME, and it is not set to an absolute path"),
            Some(_) => Err("`~user` is not expanded, only `~/`"),
            None => Ok(Self(base.join(text).components().collect())),
        })
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number"], "minLength": 1 })
    }
}

/// A path that the program sees: absolute and normal.
#[derive(Clone, Debug)]
pub struct ProgramPath(pub PathBuf);

impl Decode for ProgramPath {
    const WANTED: &'static str = "an absolute path such as /run/app/token";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| {
            if text.starts_with('$') {
                return Err(BRACES);
            }
            absolute(text).map(Self)
        })
    }

    fn schema() -> Value {
        or_variable(&json!({ "type": "string", "pattern": "^/" }))
    }
}

/// Where something is delivered: absolute, or relative to a directory that hushpipe chooses.
#[derive(Clone, Debug)]
pub struct DeliveryPath(pub PathBuf);

impl Decode for DeliveryPath {
    const WANTED: &'static str = "a path such as token, or /run/app/token";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| {
            if text.starts_with('$') {
                Err(BRACES)
            } else if text.is_empty() {
                Err("it is empty")
            } else if text == "~" || text.starts_with("~/") {
                Err("hushpipe covers no home: deliver `file: NAME`, with `link: ~/NAME` beside it")
            } else if text.starts_with('/') {
                absolute(text).map(Self)
            } else {
                absolute(&format!("/{text}"))?;
                Ok(Self(PathBuf::from(text)))
            }
        })
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number"], "minLength": 1 })
    }
}

/// A path that is absolute and normal.
pub(super) fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    if !text.starts_with('/') {
        return Err("it is not absolute");
    }
    if text.chars().any(char::is_control) {
        return Err("it has control characters");
    }
    let odd = |part: &str| matches!(part, "" | "." | "..");
    if text.len() > 1 && text[1..].split('/').any(odd) {
        return Err("it has an empty part, `.` or `..`");
    }
    Ok(PathBuf::from(text))
}

/// The name of a secret in a store: a relative path.
#[derive(Clone, Debug)]
pub struct StoreKey(pub String);

impl Decode for StoreKey {
    const WANTED: &'static str = "a relative path such as stripe/token";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| {
            let normal = |part| matches!(part, Component::Normal(_));
            if text.is_empty() {
                Err("it is empty")
            } else if text.starts_with('/') {
                Err("it is absolute")
            } else if text.chars().any(char::is_control) {
                Err("it has control characters")
            } else if text.split('/').any(|part| matches!(part, "" | "." | ".."))
                || !Path::new(text).components().all(normal)
            {
                Err("it has an empty part, `.` or `..`")
            } else {
                Ok(Self(text.to_owned()))
            }
        })
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number"], "minLength": 1 })
    }
}

/// A path of a vault's API, without `/v1/` and without a slash at either end.
#[derive(Clone, Debug)]
pub struct ApiPath(pub String);

impl Decode for ApiPath {
    const WANTED: &'static str = "a path of the API such as database/creds/app";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| {
            let text = text.strip_prefix('/').unwrap_or(text);
            api_path(text).map(|()| Self(text.to_owned()))
        })
    }

    fn schema() -> Value {
        or_variable(&json!({ "type": "string", "pattern": "^[^?#]+$" }))
    }
}

/// Where a secrets engine is mounted; the slash that vaults show at its end may be there.
#[derive(Clone, Debug)]
pub struct Mount(pub String);

impl Decode for Mount {
    const WANTED: &'static str = "the path of a mount such as kv";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| mount(text).map(Self))
    }

    fn schema() -> Value {
        or_variable(&json!({ "type": "string", "pattern": "^[^?#]+$" }))
    }
}

/// Where an auth method is mounted, without `auth/`.
#[derive(Clone, Debug)]
pub struct LoginMount(pub String);

impl Decode for LoginMount {
    const WANTED: &'static str = "the path of an auth method such as approle";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| match mount(text) {
            Ok(path) if path == "auth" || path.starts_with("auth/") => {
                Err("`auth/` is put before it: leave it out")
            }
            path => path.map(Self),
        })
    }

    fn schema() -> Value {
        or_variable(&json!({ "type": "string", "pattern": "^[^?#]+$" }))
    }
}

fn mount(text: &str) -> Result<String, &'static str> {
    let text = text.strip_prefix('/').unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    api_path(text).map(|()| text.to_owned())
}

/// What can stand in a URL after `/v1/`, one part after the other.
pub fn api_path(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err("it is empty")
    } else if text.chars().any(char::is_control) {
        Err("it has control characters")
    } else if text.contains(['?', '#']) {
        Err("it has a `?` or `#`: see `version` and `parameters`")
    } else if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        Err("it has an empty part, `.` or `..`")
    } else if text == "v1" || text.starts_with("v1/") {
        Err("`v1/` is put before it: leave it out")
    } else {
        Ok(())
    }
}
