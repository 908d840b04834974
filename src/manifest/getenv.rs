//! `getenv` deliveries: which names a variable can have, and what they exclude.

use super::build::Builder;
use super::deliver::Taken;
use super::fault::{Fault, Span, quote};
use super::records::{GetenvDelivery, Manifest};
use crate::model::{Children, DeliveryKind, Mode};

/// What the dynamic loader and the C library act on (ld.so(8)), and what hushpipe sets.
const RESERVED: [&str; 6] = [
    "PATH",
    "GLIBC_TUNABLES",
    "CREDENTIALS_DIRECTORY",
    "NOTIFY_SOCKET",
    "LISTEN_PID",
    "PROGRAM_PID",
];

/// Whether a variable of this name can be delivered: else what is wrong, and what to do.
pub fn check_variable(name: &str) -> Result<(), (String, &'static str)> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !name.bytes().all(is_word)
        || !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
    {
        return Err((
            format!("invalid variable name {}", quote(name)),
            "use letters, digits and `_`, and no digit first, as in DATABASE_URL",
        ));
    }
    let reserved = RESERVED.contains(&name)
        || ["LD_", "HUSHPIPE_", "MALLOC_"]
            .iter()
            .any(|start| name.starts_with(start));
    if reserved {
        return Err((
            format!("{} cannot be delivered by getenv", quote(name)),
            "the dynamic loader, the C library or hushpipe reads it; use another name",
        ));
    }
    Ok(())
}

impl Builder<'_> {
    /// One of them.
    pub fn getenv(&mut self, getenv: &GetenvDelivery, taken: &mut Taken) -> Option<DeliveryKind> {
        let (name, span) = (getenv.name.get()?.0.clone(), getenv.name.span);
        if !self.variable_fits(&name, span) {
            return None;
        }
        if let Some(first) = taken.variables.get(&name) {
            let message = format!("duplicate delivery to the variable {}", quote(&name));
            let fault = Fault::new(span, message, "give one of them another name");
            self.faults.push(fault.related(*first, "first here"));
        } else {
            taken.variables.insert(name.clone(), span);
        }
        let children = getenv.children.get().copied();
        Some(DeliveryKind::Getenv {
            name,
            children: children.unwrap_or(Children::None),
        })
    }

    fn variable_fits(&mut self, name: &str, span: Span) -> bool {
        let Err((message, help)) = check_variable(name) else {
            return true;
        };
        self.fault(span, message, help);
        false
    }

    /// What cannot be had together with a `getenv` delivery.
    pub fn getenv_fits(&mut self, manifest: &Manifest, taken: &Taken, mode: Mode) {
        let Some(first) = taken.variables.values().min().copied() else {
            return;
        };
        if mode == Mode::Exec {
            let why = "hushpipe does not remain to keep it from child processes";
            self.not_in_exec(first, "getenv", why);
        }
        let Some(run) = manifest.run.get() else {
            return;
        };
        if run.no_new_privs.get() == Some(&false) {
            let message = "getenv sets no_new_privs, and `no_new_privs` is false";
            let help = "remove `no_new_privs: false`, or deliver by `file` or `fd`: sudo and other \
                        setuid programs cannot be supervised";
            let fault = Fault::new(run.no_new_privs.span, message, help);
            self.faults.push(fault.related(first, "the delivery"));
        }
        let set = run.env.get().and_then(|env| env.set.get());
        for (span, name, _) in set.map_or(&[][..], |table| &table.0) {
            if let Some(delivery) = taken.variables.get(&name.0) {
                let message = format!("{} is both set and delivered by getenv", quote(&name.0));
                let fault = Fault::new(*span, message, "keep one of the two");
                self.faults.push(fault.related(*delivery, "delivered here"));
            }
        }
    }
}
