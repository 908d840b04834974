//! entities.json: which services are in which roles, which people in which groups. Cedar's own JSON
//! (<https://docs.cedarpolicy.com/auth/entities-syntax.html>), of which uid and parents count: hushpipe
//! has the attributes.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::EntityId;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{File, PolicyError};
use super::uid::{Kind, Uid};
use crate::model::nearest::nearest;
use crate::model::printable::printable;
use crate::model::words::Words;

/// Each entity, and all that it is in, directly or through others.
pub type Closed = BTreeMap<Uid, BTreeSet<Uid>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'t> {
    #[serde(borrow)]
    uid: &'t RawValue,
    #[serde(borrow, default)]
    parents: Vec<&'t RawValue>,
    #[serde(default)]
    attrs: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    tags: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenUid {
    Explicit { __entity: Named },
    Plain(Named),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    r#type: String,
    id: String,
}

/// An entity is in no more than so many others.
const MOST: usize = 1_000;

/// Entities as they are written, with the place of each.
type Direct = BTreeMap<Uid, (usize, Vec<(usize, Uid)>)>;

/// Reads the file; all that is wrong with it is given.
pub fn parse(file: File<'_>) -> Result<Closed, Vec<PolicyError>> {
    let entries: Vec<&RawValue> =
        serde_json::from_str(file.text).map_err(|error| vec![json_error(file, 0, &error)])?;
    let mut errors = Vec::new();
    let mut direct = Direct::new();
    for raw in entries {
        match entry(file, raw, &mut errors) {
            Some((at, uid, _)) if direct.contains_key(&uid) => {
                let message = format!("{} is there twice", printable(&uid.to_string()));
                errors.push(file.error(at, message, "put all its parents into one entry"));
            }
            Some((at, uid, parents)) => {
                direct.insert(uid, (at, parents));
            }
            None => {}
        }
    }
    let mut seen = BTreeSet::new();
    for uid in direct.keys() {
        if let Some((at, circle)) = circle(&direct, uid, &mut seen) {
            let message = format!("a cycle: {}", printable(&circle));
            errors.push(file.error(at, message, "remove one of these parents"));
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut closed = Closed::new();
    for (uid, (at, _)) in &direct {
        let Some(above) = above(&direct, uid) else {
            let name = printable(&uid.to_string());
            let message = format!("{name} is in more than {MOST} others");
            return Err(vec![file.error(
                *at,
                message,
                "remove some of its parents, or theirs",
            )]);
        };
        closed.insert(uid.clone(), above);
    }
    Ok(closed)
}

/// All that an entity is in; `None`: that is too much.
fn above(direct: &Direct, uid: &Uid) -> Option<BTreeSet<Uid>> {
    let mut found = BTreeSet::new();
    let mut todo: Vec<&Uid> = vec![uid];
    while let Some(uid) = todo.pop() {
        let parents = direct.get(uid).map_or(&[][..], |(_, parents)| parents);
        for (_, parent) in parents {
            if found.insert(parent.clone()) {
                todo.push(parent);
            }
        }
        if found.len() > MOST {
            return None;
        }
    }
    Some(found)
}

fn offset(file: File<'_>, raw: &RawValue) -> usize {
    raw.get().as_ptr().addr() - file.text.as_ptr().addr()
}

/// serde_json's line and column count from the start of the text that it was given.
fn json_error(file: File<'_>, base: usize, error: &serde_json::Error) -> PolicyError {
    let text = &file.text[base..];
    let line = error.line().saturating_sub(1);
    let line_start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let at = base + line_start + error.column().saturating_sub(1);
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let help = "write [{\"uid\": {\"type\": \"Person\", \"id\": \"ann\"}, \"parents\": [{\"type\": \"Group\", \"id\": \"sre\"}]}]";
    file.error(at, printable(message), help)
}

type Entry = (usize, Uid, Vec<(usize, Uid)>);

fn entry(file: File<'_>, raw: &RawValue, errors: &mut Vec<PolicyError>) -> Option<Entry> {
    let base = offset(file, raw);
    let written: Written<'_> = match serde_json::from_str(raw.get()) {
        Ok(written) => written,
        Err(error) => {
            errors.push(json_error(file, base, &error));
            return None;
        }
    };
    if !written.attrs.is_empty() || !written.tags.is_empty() {
        errors.push(file.error(
            base,
            "an entity has attributes or tags",
            "remove them: hushpipe fills them with facts",
        ));
    }
    let uid = self::uid(file, written.uid, errors)?;
    let mut parents = Vec::new();
    for raw in written.parents {
        let Some(parent) = self::uid(file, raw, errors) else {
            continue;
        };
        let at = offset(file, raw);
        match uid.kind.parent() {
            Some(kind) if kind == parent.kind => parents.push((at, parent)),
            Some(kind) => errors.push(file.error(
                at,
                format!("a {} cannot be in a {}", uid.kind, parent.kind),
                format!("the parents of a {} are {kind}s", uid.kind),
            )),
            None => errors.push(file.error(
                at,
                format!("a {} has no parents", uid.kind),
                "only services, people, roles and groups have",
            )),
        }
    }
    Some((offset(file, written.uid), uid, parents))
}

fn uid(file: File<'_>, raw: &RawValue, errors: &mut Vec<PolicyError>) -> Option<Uid> {
    let at = offset(file, raw);
    let Ok(WrittenUid::Explicit { __entity: named } | WrittenUid::Plain(named)) =
        serde_json::from_str(raw.get())
    else {
        errors.push(file.error(
            at,
            "this is not the name of an entity",
            "write {\"type\": \"Person\", \"id\": \"ann\"}",
        ));
        return None;
    };
    let table = Kind::TABLE.iter();
    if let Some((_, kind)) = table.clone().find(|(word, _)| *word == named.r#type) {
        return Some(Uid::new(*kind, named.id));
    }
    let near = nearest(&named.r#type, table.map(|(word, _)| *word));
    let help = near.map_or_else(
        || format!("there are {}", Kind::WANTED),
        |near| format!("did you mean {near}?"),
    );
    let message = format!("unknown entity type `{}`", printable(&named.r#type));
    errors.push(file.error(at, message, help));
    None
}

/// A cycle that begins and ends at an entity, with the place of the parent that closes it. What was
/// seen on the way is not looked at again.
fn circle(direct: &Direct, from: &Uid, seen: &mut BTreeSet<Uid>) -> Option<(usize, String)> {
    // Each step of the way, and how many of its parents were gone to.
    let mut way: Vec<(&Uid, usize)> = Vec::new();
    let mut on_way = BTreeSet::new();
    if seen.insert(from.clone()) {
        way.push((from, 0));
        on_way.insert(from);
    }
    while let Some((uid, next)) = way.last_mut() {
        let parents = direct.get(*uid).map_or(&[][..], |(_, parents)| parents);
        let Some((at, parent)) = parents.get(*next) else {
            on_way.remove(*uid);
            way.pop();
            continue;
        };
        *next += 1;
        if on_way.contains(parent)
            && let Some(start) = way.iter().position(|(uid, _)| *uid == parent)
        {
            let names = way[start..].iter().map(|(uid, _)| *uid).chain([parent]);
            let names: Vec<String> = names.map(shown).collect();
            return Some((*at, names.join(" in ")));
        }
        if seen.insert(parent.clone()) {
            way.push((parent, 0));
            on_way.insert(parent);
        }
    }
    None
}

fn shown(uid: &Uid) -> String {
    format!("{}::\"{}\"", uid.kind, EntityId::new(&uid.id).escaped())
}
