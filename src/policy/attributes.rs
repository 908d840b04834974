//! Attributes that a policy can compare with a text or read as a yes or no, by their names in policies:
//! what [`super::guard`] looks at in place of Cedar.

use std::borrow::Cow;

use crate::model::query::{Principal, Query, Resource, Secret, Service};

/// What an attribute is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute<'q> {
    /// A string.
    Text(Cow<'q, str>),
    /// A boolean.
    Flag(bool),
}

/// `None`: the query has no such attribute.
type Get = for<'q> fn(&'q Query) -> Option<Attribute<'q>>;

/// As [`super::request`] makes them for Cedar; a test compares both.
pub const TABLE: &[(&str, Get)] = &[
    ("principal.name", |query| Some(text(query.principal.name()))),
    ("principal.owner", |query| Some(text(&caller(query)?.owner))),
    ("principal.environment", |query| {
        Some(text(&caller(query)?.environment))
    }),
    ("principal.interactive", |query| match &query.principal {
        Principal::Person(person) => Some(Attribute::Flag(person.interactive)),
        Principal::Service(_) => None,
    }),
    ("resource.name", |query| Some(text(query.resource.name()))),
    ("resource.store", |query| Some(text(&secret(query)?.store))),
    ("resource.store_type", |query| {
        Some(text(&secret(query)?.store_type))
    }),
    ("resource.path", |query| Some(text(&secret(query)?.path))),
    ("resource.classification", |query| {
        Some(text(&secret(query)?.classification))
    }),
    ("resource.owner", |query| match &query.resource {
        Resource::Secret(secret) => Some(text(&secret.owner)),
        Resource::Service(service) => Some(text(&service.owner)),
    }),
    ("resource.environment", |query| match &query.resource {
        Resource::Secret(secret) => Some(text(&secret.environment)),
        Resource::Service(service) => Some(text(&service.environment)),
    }),
    ("context.isolation", |query| {
        Some(text(&query.context.isolation))
    }),
    ("context.mode", |query| Some(text(&query.context.mode))),
    ("context.occasion", |query| {
        Some(text(&query.context.occasion))
    }),
    ("context.program.path", |query| {
        Some(text(&query.context.facts.program.path))
    }),
    ("context.program.argv0", |query| {
        Some(text(&query.context.facts.program.argv0))
    }),
    ("context.program.sha256", |query| {
        Some(text(&query.context.facts.program.sha256))
    }),
    ("context.program.pinned", |query| {
        Some(Attribute::Flag(query.context.facts.program.pinned))
    }),
    ("context.program.interpreter", |query| {
        Some(text(&query.context.facts.program.interpreter))
    }),
    ("context.program.interpreter_sha256", |query| {
        Some(text(&query.context.facts.program.interpreter_sha256))
    }),
    ("context.program.mode", |query| {
        let mode = octal(query.context.facts.program.mode);
        Some(Attribute::Text(Cow::Owned(mode)))
    }),
    ("context.arguments_sha256", |query| {
        Some(text(&query.context.facts.arguments_sha256))
    }),
    ("context.user", |query| {
        Some(text(&query.context.facts.user))
    }),
    ("context.unit", |query| {
        Some(text(&query.context.facts.unit))
    }),
    ("context.container", |query| {
        Some(text(&query.context.facts.container))
    }),
    ("context.pod", |query| Some(text(&query.context.facts.pod))),
    ("context.host", |query| {
        Some(text(&query.context.facts.host))
    }),
    ("context.environment", |query| {
        Some(text(&query.context.facts.environment))
    }),
    ("context.manifest.path", |query| {
        Some(text(&query.context.facts.manifest.path))
    }),
    ("context.manifest.sha256", |query| {
        Some(text(&query.context.facts.manifest.sha256))
    }),
    ("context.manifest.variables_sha256", |query| {
        Some(text(&query.context.facts.manifest.variables_sha256))
    }),
    ("context.manifest.signed_by", |query| {
        Some(text(&query.context.facts.manifest.signed_by))
    }),
    ("context.terminal", |query| {
        Some(Attribute::Flag(query.context.facts.terminal))
    }),
    ("context.reason", |query| {
        Some(text(&query.context.facts.reason))
    }),
    ("context.in_host_namespaces", |query| {
        Some(Attribute::Flag(query.context.facts.in_host_namespaces))
    }),
    ("context.break_glass", |query| {
        Some(Attribute::Flag(query.context.facts.break_glass))
    }),
];

/// Where an attribute is in the table.
pub fn place(name: &str) -> Option<u8> {
    let place = TABLE.iter().position(|(one, _)| *one == name)?;
    u8::try_from(place).ok()
}

/// All attributes of a query, in the table's order.
pub fn values(query: &Query) -> Vec<Option<Attribute<'_>>> {
    TABLE.iter().map(|(_, get)| get(query)).collect()
}

/// Permission bits as policies see them.
pub fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

const fn text(text: &str) -> Attribute<'_> {
    Attribute::Text(Cow::Borrowed(text))
}

fn caller(query: &Query) -> Option<&Service> {
    match &query.principal {
        Principal::Service(service) => Some(service),
        Principal::Person(_) => None,
    }
}

fn secret(query: &Query) -> Option<&Secret> {
    match &query.resource {
        Resource::Secret(secret) => Some(secret),
        Resource::Service(_) => None,
    }
}
