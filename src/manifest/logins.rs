//! The variables that this manifest's stores log in with: they reach neither the program's environment
//! nor the text of what is run.

use super::build::Builder;
use super::collections::List;
use super::decode::Decoder;
use super::fault::{Span, quote};
use super::interpolate::variables;
use super::records::{Env, Inherit, Manifest, Store};
use super::tree::{Data, Node};
use super::values::EnvName;
use crate::model::EnvInherit;
use crate::model::credentials::{IDENTITIES, is_login, is_of_manager, is_own, is_secret};

/// What hushpipe logs in with to a vault that has no `auth:`.
const TOKENS: [&str; 2] = ["VAULT_TOKEN", "BAO_TOKEN"];

/// Sections whose text reaches the program, or what runs beside it.
const RUN: [&str; 3] = ["run", "on_rotate", "deliver"];

/// Refuses `${NAME}` of what a store's `env:` names wherever it would be run. Credentials that are known
/// by their names are refused in the whole manifest, as it is read.
pub fn refuse(root: &Node<'_>, to: &mut Decoder<'_>) {
    let names = of_commands(root);
    let Data::Mapping(sections) = &root.data else {
        return;
    };
    for section in sections {
        if RUN.contains(&section.key.as_ref()) {
            look(&section.value, &names, to);
        }
    }
}

/// What the `env:` of the stores names, as it is written.
fn of_commands(root: &Node<'_>) -> Vec<String> {
    let under = |node: &Node<'_>, key: &str| -> Option<usize> {
        let Data::Mapping(entries) = &node.data else {
            return None;
        };
        entries.iter().position(|entry| entry.key == key)
    };
    let mut names = Vec::new();
    let (Data::Mapping(sections), Some(stores)) = (&root.data, under(root, "stores")) else {
        return names;
    };
    let Data::Mapping(stores) = &sections[stores].value.data else {
        return names;
    };
    for store in stores {
        let (Data::Mapping(keys), Some(env)) = (&store.value.data, under(&store.value, "env"))
        else {
            continue;
        };
        let Data::Sequence(items) = &keys[env].value.data else {
            continue;
        };
        names.extend(items.iter().filter_map(|item| match &item.data {
            Data::Scalar { text, .. } if is_login(text) => Some(text.to_string()),
            _ => None,
        }));
    }
    names
}

fn look(node: &Node<'_>, names: &[String], to: &mut Decoder<'_>) {
    match &node.data {
        Data::Mapping(entries) => entries
            .iter()
            .for_each(|entry| look(&entry.value, names, to)),
        Data::Sequence(items) => items.iter().for_each(|item| look(item, names, to)),
        Data::Scalar { text, .. } => {
            for (name, range) in variables(text) {
                if names.iter().any(|known| known == name) && !is_secret(name.as_bytes()) {
                    let span = to.locate(node, range);
                    let message =
                        format!("{name} is what a store logs in with: it cannot be put here");
                    let help = "the program could fetch every secret of the store with it; deliver what \
                                it needs, or remove the variable from the store's `env`";
                    to.fault(span, message, help);
                }
            }
        }
    }
}

impl Builder<'_> {
    /// Each variable that a store logs in with, and the store.
    pub fn logins(manifest: &Manifest) -> Vec<(String, String)> {
        let stores = manifest.stores.get().map_or(&[][..], |table| &table.0);
        let mut logins = Vec::new();
        for (_, name, store) in stores {
            let variables = match store.get() {
                Some(Store::Command(command)) => {
                    command.env.get().map_or_else(Vec::new, List::values)
                }
                Some(Store::Vault(vault)) if !vault.auth.is_present() => {
                    TOKENS.map(|name| EnvName(name.to_owned())).to_vec()
                }
                _ => Vec::new(),
            };
            let variables = variables
                .into_iter()
                .filter(|variable| is_login(&variable.0));
            logins.extend(variables.map(|variable| (variable.0, name.to_string())));
        }
        logins
    }

    /// What `run.env.inherit` means: what it names goes on, unless a store of this manifest logs in
    /// with it.
    pub fn inherits(&mut self, env: &Env, logins: &[(String, String)]) -> EnvInherit {
        let named = match env.inherit.get() {
            None | Some(Inherit::All) => return EnvInherit::All,
            Some(Inherit::None) => return EnvInherit::None,
            Some(Inherit::Only(named)) => named,
        };
        let mut names = Vec::with_capacity(named.len());
        let mut all = false;
        for (span, name) in named {
            if name.0 == "all" {
                all = true;
            } else if self.may_inherit(&name.0, *span, logins) {
                names.push(name.0.clone());
            }
        }
        if all {
            EnvInherit::AllAnd(names)
        } else {
            EnvInherit::Only(names)
        }
    }

    fn may_inherit(&mut self, name: &str, span: Span, logins: &[(String, String)]) -> bool {
        let why = if is_own(name.as_bytes()) {
            "it is hushpipe's own".to_owned()
        } else if let Some((_, store)) = logins.iter().find(|(login, _)| login == name) {
            format!("the store {} logs in with it", quote(store))
        } else if is_of_manager(name.as_bytes()) {
            "it is a credential of a secret manager".to_owned()
        } else {
            return true;
        };
        let message = format!("the program cannot inherit {name}: {why}");
        let help = "the program could fetch every secret with it; remove it here, or give the program a \
                    credential of its own under another name";
        self.fault(span, message, help);
        false
    }

    /// Half of an identity is worse than none.
    pub fn whole_identities(&mut self, env: &Env, has: &dyn Fn(&str) -> bool) {
        let at = env.inherit.key.or(env.set.key).unwrap_or(env.at);
        for identity in IDENTITIES {
            let (given, missing): (Vec<&str>, Vec<&str>) =
                identity.iter().partition(|name| has(name));
            if !given.is_empty() && !missing.is_empty() {
                self.warn(
                    at,
                    &format!(
                        "the program gets {} without {}: half of an identity",
                        given.join(" and "),
                        missing.join(" and ")
                    ),
                );
            }
        }
    }
}
