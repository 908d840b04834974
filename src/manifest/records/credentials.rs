//! `deliver: - credentials:`

use std::fmt;

use serde_json::{Value, json};

use crate::manifest::collections::{Key, List, Table};
use crate::manifest::decode::{Decode, Decoder, Spanned, record};
use crate::manifest::fault::Span;
use crate::manifest::paths::DeliveryPath;
use crate::manifest::tree::{Data, Node};
use crate::model::SecretRef;

record! {
    /// Files in the program's $CREDENTIALS_DIRECTORY, as systemd gives them to services.
    CredentialsDelivery("a credentials delivery") {
        /// Secrets or fields, each in a file of its name; or names of files, each with a secret.
        required secrets "credentials": Credentials;
        /// The directory that holds $CREDENTIALS_DIRECTORY; a relative one is beside that of files with
        /// relative paths. Default: credentials.
        optional directory "directory": DeliveryPath;
    } elsewhere {}
}

/// What is delivered, by its name there.
#[derive(Clone, Debug)]
pub struct Credentials(pub Vec<Credential>);

/// One of them.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Where its name stands.
    pub at: Span,
    /// The file's name.
    pub name: CredentialName,
    /// What is in it.
    pub secret: Spanned<SecretRef>,
}

/// The name of a credential: a file name of printable ASCII without `:`, as systemd.exec(5) has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialName(pub String);

impl Key for CredentialName {
    const KEY: &'static str = "a name such as db-password";
    const PATTERN: &'static str = "^[!-.0-9;-~]([ -.0-9;-~]{0,253}[!-.0-9;-~])?$";

    fn parse_key(text: &str) -> Result<Self, impl fmt::Display> {
        let fits = |c: char| (' '..='~').contains(&c) && !matches!(c, '/' | ':');
        if text.is_empty() || text.len() > 255 || text.trim() != text {
            Err("it is empty, has spaces around it, or more than 255 characters".to_owned())
        } else if text.starts_with("..") || text == "." {
            Err("`.` and names that start with `..` are none".to_owned())
        } else if !text.chars().all(fits) {
            Err("a credential's name is printable ASCII without `/` and `:`".to_owned())
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl Decode for Credentials {
    const WANTED: &'static str = "a list of secrets such as [db.password, token]";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        if matches!(node.data, Data::Mapping(_)) {
            let table = Table::<CredentialName, SecretRef>::decode(node, to)?.0;
            let named = table.into_iter();
            let all = named.map(|(at, name, secret)| Credential { at, name, secret });
            return Some(Self(all.collect()));
        }
        if !matches!(node.data, Data::Sequence(_)) {
            to.unexpected(node, Self::WANTED);
            return None;
        }
        let mut all = Vec::new();
        for secret in List::<SecretRef>::decode(node, to)?.0 {
            let Some(reference) = secret.get() else {
                continue;
            };
            match CredentialName::parse_key(&reference.to_string()) {
                Ok(name) => all.push(Credential {
                    at: secret.span,
                    name,
                    secret,
                }),
                Err(error) => {
                    let message = format!("no file can have this name: {error}");
                    to.fault(secret.span, message, "give it another: { NAME: SECRET }");
                }
            }
        }
        Some(Self(all))
    }

    fn schema() -> Value {
        let mut list = List::<SecretRef>::schema();
        let mut table = Table::<CredentialName, SecretRef>::schema();
        list["minItems"] = json!(1);
        table["minProperties"] = json!(1);
        json!({ "oneOf": [list, table] })
    }
}
