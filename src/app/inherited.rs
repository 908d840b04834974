//! `run.fds.inherit:` descriptors of hushpipe's caller that the program gets, at their numbers.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use super::failure::{Failure, Failures};
use crate::model::{DeliveryKind, Exit, InheritedFd, Plan};
use crate::supervisor::activation::Activation;
use crate::sys::fd;

/// They stay open in hushpipe, each with its number, for another start.
#[derive(Default)]
pub struct Inherited(Vec<(OwnedFd, RawFd)>);

impl Inherited {
    /// Duplicates, for one start.
    pub fn fds(&self) -> io::Result<Vec<(OwnedFd, RawFd)>> {
        let each = self.0.iter();
        each.map(|(fd, number)| Ok((fd.try_clone()?, *number)))
            .collect()
    }
}

/// Takes over what the plan names. To be called before hushpipe opens anything that stays.
pub fn claim(plan: &Plan, activation: Option<&Activation>) -> Result<Inherited, Failures> {
    let mut taken = Inherited::default();
    let mut failures = Failures::new();
    for named in &plan.run.fds {
        let (numbers, name) = match named {
            InheritedFd::Number(number) => (vec![*number], None),
            InheritedFd::Variable(name) => match numbers_in(name) {
                None => continue,
                Some(numbers) => (numbers, Some(name)),
            },
        };
        let by = name.map_or(String::new(), |name| format!(" in {name}"));
        if numbers.is_empty() {
            let text = format!("run.fds.inherit: there is no file descriptor{by}");
            failures.push(Failure::new(Exit::Os, text));
        }
        for number in numbers {
            if taken.0.iter().any(|(_, other)| *other == number) {
                continue;
            }
            match take(plan, activation, number) {
                Ok(fd) => taken.0.push((fd, number)),
                Err(why) => {
                    let text = format!("run.fds.inherit: file descriptor {number}{by} {why}");
                    failures.push(Failure::new(Exit::Os, text));
                }
            }
        }
    }
    if failures.is_empty() {
        Ok(taken)
    } else {
        Err(failures)
    }
}

fn take(plan: &Plan, activation: Option<&Activation>, number: RawFd) -> Result<OwnedFd, String> {
    let delivered = plan.deliveries.iter().any(|delivery| match delivery.kind {
        DeliveryKind::Fd { number: other, .. } => other == number,
        _ => false,
    });
    if delivered {
        return Err("is a delivery already: deliver at another number".to_owned());
    }
    if activation.is_some_and(|sockets| sockets.numbers().contains(&number)) {
        return Err("is one of systemd's sockets, which the program gets anyway".to_owned());
    }
    match fd::take_one_inherited(number) {
        Ok(Some(fd)) => Ok(fd),
        Ok(None) => Err("is not open: whoever started hushpipe did not pass it".to_owned()),
        Err(error) => Err(format!("cannot be taken over: {error}")),
    }
}

/// The descriptors in a variable of hushpipe's; `None`, where it is not set.
fn numbers_in(name: &str) -> Option<Vec<RawFd>> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
    Some(numbers(&value))
}

/// The descriptors that a variable's text names: `3`, `6;7;` (nginx), `--jobserver-auth=3,4` (make),
/// `127.0.0.1:80=3;[::1]:80=4` (server_starter).
pub fn numbers(value: &OsStr) -> Vec<RawFd> {
    let text = value.to_string_lossy();
    let after = |start: &str| {
        let rest = &text[text.find(start)? + start.len()..];
        rest.split_whitespace().next().map(str::to_owned)
    };
    let list = after("--jobserver-auth=")
        .or_else(|| after("--jobserver-fds="))
        .unwrap_or_else(|| text.clone().into_owned());
    let parts = list.split([',', ';', ' ']).filter(|part| !part.is_empty());
    let numbers = parts.map(|part| {
        let number = part.rsplit_once('=').map_or(part, |(_, number)| number);
        number.parse::<RawFd>().ok().filter(|number| *number >= 0)
    });
    let numbers: Option<Vec<RawFd>> = numbers.collect();
    let numbers = numbers.unwrap_or_default().into_iter();
    numbers.filter(|number| *number > 2).collect()
}

/// Whether a variable of this name tells of descriptors.
pub fn names_descriptors(name: &OsStr) -> bool {
    const KNOWN: [&[u8]; 5] = [
        b"MAKEFLAGS",
        b"MFLAGS",
        b"CARGO_MAKEFLAGS",
        b"NGINX",
        b"SERVER_STARTER_PORT",
    ];
    let name = name.as_bytes();
    let of_fd = name.ends_with(b"FD") || name.ends_with(b"FDS");
    let one_of_many = || {
        let mut parts = name.rsplitn(2, |byte| *byte == b'_');
        let last = parts.next().unwrap_or_default();
        let before = parts.next().unwrap_or_default();
        !last.is_empty() && last.iter().all(u8::is_ascii_digit) && before.ends_with(b"FD")
    };
    KNOWN.contains(&name) || of_fd || one_of_many()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_found_in_the_variables_that_name_them() {
        let numbers = |text: &str| numbers(OsStr::new(text));
        assert_eq!(numbers("3"), [3]);
        assert_eq!(numbers("6;7;"), [6, 7]);
        assert_eq!(numbers(" -j8 --jobserver-auth=3,4 -- X=1"), [3, 4]);
        assert_eq!(numbers("-j --jobserver-fds=5,6"), [5, 6]);
        assert_eq!(numbers("127.0.0.1:80=3;[::1]:80=4"), [3, 4]);
        for none in ["", "x", "3x", "-2", "--jobserver-auth=fifo:/tmp/x", "1"] {
            assert!(numbers(none).is_empty(), "{none}");
        }
        for name in [
            "NODE_CHANNEL_FD",
            "BASH_XTRACEFD",
            "EINHORN_FD_0",
            "MAKEFLAGS",
        ] {
            assert!(names_descriptors(OsStr::new(name)), "{name}");
        }
        for name in ["EINHORN_FD_COUNT", "PORT", "HOME"] {
            assert!(!names_descriptors(OsStr::new(name)), "{name}");
        }
    }
}
