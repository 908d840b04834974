//! Deliveries: what each carries, and that no two are in each other's way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::build::{Builder, Known};
use super::decode::Spanned;
use super::fault::{Fault, Span};
use super::paths::{DeliveryPath, HostPath};
use super::records::{Deliver, FdDelivery, FifoDelivery, FileDelivery, Manifest};
use super::values::{Content, Word};
use super::{surroundings, template};
use crate::model::template::Template;
use crate::model::{
    Channel, Delivery, DeliveryKind, FdKind, FileMode, FileSpec, InheritedFd, Isolation, Mode,
    OwnerSpec, SecretRef,
};

/// The kernel's highest file descriptor (`fs.nr_open`) as it is by default.
const HIGHEST_FD: u64 = 1_048_575;

/// What deliveries take for themselves.
#[derive(Default)]
pub struct Taken {
    fds: Vec<(i32, Span)>,
    paths: Vec<(PathBuf, Span)>,
    links: Vec<(PathBuf, Span)>,
    stdin: Option<Span>,
    /// By `getenv:`.
    pub variables: BTreeMap<String, Span>,
    /// Where credentials are delivered.
    pub credentials: Option<Span>,
}

impl Builder<'_> {
    /// All deliveries, in order.
    pub fn deliveries(&mut self, manifest: &Manifest, known: &Known, mode: Mode) -> Vec<Delivery> {
        let mut taken = Taken::default();
        let mut deliveries = Vec::new();
        self.choose_files(manifest);
        for item in manifest.deliver.get().map_or(&[][..], |list| &list.0) {
            let Some(deliver) = item.get() else { continue };
            self.fits_mode(manifest, deliver, mode);
            match deliver {
                Deliver::Credentials(credentials) => {
                    let directory = self.credentials_directory(credentials);
                    let all = self.credentials(credentials, directory, known, &mut taken);
                    deliveries.extend(all);
                }
                one => deliveries.extend(self.delivery(one, known, &mut taken)),
            }
        }
        self.separate_paths(&taken.paths);
        self.links_apart(&taken.links, &taken.paths);
        self.getenv_fits(manifest, &taken, mode);
        deliveries
    }

    fn delivery(
        &mut self,
        deliver: &Deliver,
        known: &Known,
        taken: &mut Taken,
    ) -> Option<Delivery> {
        let (at, secret, content) = parts(deliver)?;
        let channel = self.channel(at, secret, content, known);
        if let Some(content) = content.get() {
            self.bare_insertions(content, path_of(deliver));
        }
        let kind = self.kind(deliver, taken);
        Some(Delivery {
            at: self.place(at),
            kind: kind?,
            channel: channel?,
        })
    }

    fn channel(
        &mut self,
        at: Span,
        secret: &Spanned<SecretRef>,
        content: &Spanned<Content>,
        known: &Known,
    ) -> Option<Channel> {
        if let Some(reference) = secret.get() {
            self.delivered(reference, secret.span, known);
        }
        let template = content.get().map(|content| self.template(content, known));
        match (secret.key, content.key) {
            (Some(_), None) => secret.get().cloned().map(Channel::Secret),
            (None, Some(_)) => template.map(Channel::Template),
            (Some(first), Some(second)) => {
                let message = "`secret` and `content` exclude each other";
                let help =
                    "keep `secret: NAME` for the value as it is, or `content` for a template";
                let fault = Fault::new(second.max(first), message, help);
                self.faults
                    .push(fault.related(first.min(second), "this as well"));
                None
            }
            (None, None) => {
                let help = "add `secret: NAME`, or `content:` with a template";
                self.fault(at, "this delivery has neither `secret` nor `content`", help);
                None
            }
        }
    }

    fn template(&mut self, content: &Content, known: &Known) -> Template {
        let mut names = BTreeSet::new();
        for (name, span) in template::names(content, self.source, &mut self.faults) {
            match SecretRef::parse(&name) {
                Ok(reference) => {
                    let unknown = !known.names.contains(&reference.secret);
                    match template::subscript(&content.text, &name).filter(|_| unknown) {
                        Some(written) => {
                            let message = format!("unknown secret `{}`", reference.secret);
                            let help = format!("a field with `-` in its name is written {written}");
                            self.fault(span, message, help);
                        }
                        None => self.reference(&reference, span, known),
                    }
                    names.insert(reference);
                }
                Err(error) => {
                    let help = "a template uses the names under `secrets`";
                    self.fault(span, format!("invalid secret name `{name}`: {error}"), help);
                }
            }
        }
        Template::new(content.text.clone(), names)
    }

    /// Warns of values that can change the text around them.
    fn bare_insertions(&mut self, content: &Content, path: Option<&Path>) {
        let text = &content.written.text;
        let (bare, outside) = template::bare(text);
        for insertion in bare {
            let Some(reader) = surroundings::reader(path, text, &outside, &insertion.range) else {
                continue;
            };
            let span = content.written.locate(self.source, insertion.range);
            let quotes = if reader.quoted {
                " without the quotes around it"
            } else {
                ""
            };
            let message = format!(
                "a value inserted without a filter can change the text around it, here {}: write \
                 {{{{ {expression} | {} }}}}{quotes}, or {{{{ {expression} | raw }}}} if that is meant",
                reader.what,
                reader.filter,
                expression = insertion.expression,
            );
            self.warn(span, &message);
        }
    }

    fn kind(&mut self, deliver: &Deliver, taken: &mut Taken) -> Option<DeliveryKind> {
        match deliver {
            Deliver::File(file) => self.file(file, taken).map(DeliveryKind::File),
            Deliver::Fifo(fifo) => self.fifo(fifo, taken),
            Deliver::Fd(fd) => self.fd(fd, taken),
            Deliver::Stdin(stdin) => {
                if !*stdin.stdin.get()? {
                    let help = "write `stdin: true`, or remove the delivery";
                    self.fault(stdin.stdin.span, "`stdin: false` delivers nothing", help);
                    return None;
                }
                let span = stdin.stdin.key?;
                self.stdin(span, taken);
                Some(DeliveryKind::Stdin)
            }
            Deliver::Getenv(getenv) => self.getenv(getenv, taken),
            // Several deliveries: `Builder::credentials`.
            Deliver::Credentials(_) => None,
        }
    }

    fn stdin(&mut self, span: Span, taken: &mut Taken) {
        if let Some(first) = taken.stdin {
            let help = "a program has one standard input: put both into one `content`";
            let fault = Fault::new(span, "duplicate delivery to standard input", help);
            self.faults.push(fault.related(first, "first here"));
        }
        taken.stdin.get_or_insert(span);
    }

    fn file(&mut self, file: &FileDelivery, taken: &mut Taken) -> Option<FileSpec> {
        let named = (&file.path, &file.link);
        self.path(named, &file.mode, (&file.owner, &file.group), taken)
    }

    fn fifo(&mut self, fifo: &FifoDelivery, taken: &mut Taken) -> Option<DeliveryKind> {
        if fifo.max_reads.get() == Some(&0) {
            let help = "write 1 or more, or remove it";
            self.fault(fifo.max_reads.span, "`max_reads: 0` allows no read", help);
        }
        let named = (&fifo.path, &fifo.link);
        let file = self.path(named, &fifo.mode, (&fifo.owner, &fifo.group), taken)?;
        let max_reads = fifo.max_reads.get().copied();
        Some(DeliveryKind::Fifo { file, max_reads })
    }

    fn path(
        &mut self,
        (path, link): (&Spanned<DeliveryPath>, &Spanned<HostPath>),
        mode: &Spanned<FileMode>,
        (user, group): (&Spanned<Word>, &Spanned<Word>),
        taken: &mut Taken,
    ) -> Option<FileSpec> {
        let target = self.placed(path.get()?)?;
        self.take_path(&target, path.span, taken);
        let at = self.link(link);
        taken.links.extend(at.clone().map(|at| (at, link.span)));
        Some(FileSpec {
            path: target,
            mode: *mode.get()?,
            owner: owner(user, group),
            link: at,
        })
    }

    /// No two deliveries have one path.
    pub fn take_path(&mut self, path: &Path, span: Span, taken: &mut Taken) {
        let fits = self.path_fits(path, span);
        if let Some((_, first)) = taken.paths.iter().find(|(other, _)| *other == path) {
            let message = "duplicate delivery path";
            let fault = Fault::new(span, message, "give one of them another path");
            self.faults.push(fault.related(*first, "first here"));
        } else if fits {
            taken.paths.push((path.to_owned(), span));
        }
    }

    /// hushpipe needs a directory of its own, and names that start with `..` for itself.
    fn path_fits(&mut self, path: &Path, span: Span) -> bool {
        if path.parent().is_none_or(|parent| parent == Path::new("/")) {
            let message = "a file cannot be delivered into the root directory itself";
            let help = "give it a directory of its own, such as /run/secrets/NAME";
            self.fault(span, message, help);
            return false;
        }
        let own = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b"..");
        let reserved = path.file_name().is_some_and(own);
        if reserved {
            let message = "names that start with `..` are reserved for hushpipe";
            self.fault(span, message, "give the file another name");
        }
        !reserved
    }

    /// A file cannot be a directory of another one, and a delivery directory cannot lie within
    /// another: each is mounted as a whole.
    fn separate_paths(&mut self, paths: &[(PathBuf, Span)]) {
        let files: BTreeMap<&Path, Span> = paths.iter().map(|(path, at)| (&**path, *at)).collect();
        let parents = paths.iter().rev();
        let directories: BTreeMap<&Path, Span> = parents
            .filter_map(|(path, at)| Some((path.parent()?, *at)))
            .collect();
        for (path, span) in paths {
            let above = |known: &BTreeMap<&Path, Span>, path: &Path| {
                path.ancestors()
                    .skip(1)
                    .find_map(|above| known.get(above).copied())
            };
            let fault = if let Some(file) = above(&files, path) {
                let message = "this path lies below another one, which is a file itself";
                let help = "give one of them another path";
                Fault::new(*span, message, help).related(file, "the file")
            } else if let Some(outer) = path.parent().and_then(|parent| above(&directories, parent))
            {
                let message = "the directory of this file lies within that of another delivery";
                let help = "use one directory for both, or two that do not contain each other";
                Fault::new(*span, message, help).related(outer, "the other one")
            } else {
                continue;
            };
            self.faults.push(fault);
        }
    }

    fn fd(&mut self, fd: &FdDelivery, taken: &mut Taken) -> Option<DeliveryKind> {
        let number = *fd.number.get()?;
        let span = fd.number.span;
        if let Some(message) = standard_fd(number) {
            let help = if number == 0 {
                "use `stdin: true`"
            } else {
                "use a number from 3 on"
            };
            self.fault(span, message, help);
            return None;
        }
        if number > HIGHEST_FD {
            let message = format!("{number} is beyond {HIGHEST_FD}, the highest that Linux has");
            self.fault(span, message, "use a small number from 3 on");
            return None;
        }
        let number = i32::try_from(number).ok()?;
        if let Some((_, first)) = taken.fds.iter().find(|(other, _)| *other == number) {
            let message = format!("duplicate delivery to file descriptor {number}");
            let fault = Fault::new(span, message, "give one of them another number");
            self.faults.push(fault.related(*first, "first here"));
        } else {
            taken.fds.push((number, span));
        }
        let kind: FdKind = *fd.kind.get()?;
        Some(DeliveryKind::Fd {
            number,
            kind,
            mode: *fd.mode.get()?,
            owner: owner(&fd.owner, &fd.group),
        })
    }

    /// What the program inherits and what is delivered to it have numbers of their own.
    pub fn descriptors_apart(&mut self, manifest: &Manifest, deliveries: &[Delivery]) {
        let fds = manifest.run.get().and_then(|run| run.fds.get());
        let inherited = fds.and_then(|fds| fds.inherit.get());
        for item in inherited.map_or(&[][..], |list| &list.0) {
            let Some(InheritedFd::Number(inherited)) = item.get().map(|fd| &fd.0) else {
                continue;
            };
            let taken = |one: &&Delivery| match one.kind {
                DeliveryKind::Fd { number, .. } => number == *inherited,
                _ => false,
            };
            if deliveries.iter().any(|one| taken(&one)) {
                let message = format!("file descriptor {inherited} is a delivery already");
                self.fault(item.span, message, "deliver at another number");
            }
        }
    }

    fn fits_mode(&mut self, manifest: &Manifest, deliver: &Deliver, mode: Mode) {
        if mode != Mode::Exec {
            return;
        }
        if let Deliver::File(FileDelivery { link, .. }) = deliver
            && let Some(span) = link.key
        {
            self.not_in_exec(span, "a link", "hushpipe does not remain to remove it");
        }
        match deliver {
            Deliver::Fifo(fifo) => {
                let span = fifo.path.key.unwrap_or(fifo.at);
                self.not_in_exec(span, "a fifo", "hushpipe does not remain to fill it");
            }
            Deliver::File(_) | Deliver::Credentials(_)
                if manifest.isolation.get() == Some(&Isolation::Shared) =>
            {
                let span = manifest.isolation.span;
                let why = "hushpipe does not remain to remove the files";
                self.not_in_exec(span, "files with `isolation: shared`", why);
            }
            _ => {}
        }
    }
}

/// The path that the program sees, if it sees one.
fn path_of(deliver: &Deliver) -> Option<&Path> {
    match deliver {
        Deliver::File(file) => file.path.get().map(|path| &*path.0),
        Deliver::Fifo(fifo) => fifo.path.get().map(|path| &*path.0),
        _ => None,
    }
}

fn owner(user: &Spanned<Word>, group: &Spanned<Word>) -> OwnerSpec {
    let word = |field: &Spanned<Word>| field.get().map(|word| word.0.clone());
    OwnerSpec {
        user: word(user),
        group: word(group),
    }
}

fn standard_fd(number: u64) -> Option<&'static str> {
    match number {
        0 => Some("file descriptor 0 is standard input, which has a delivery of its own"),
        1 => Some("file descriptor 1 is the program's standard output"),
        2 => Some("file descriptor 2 is the program's standard error"),
        _ => None,
    }
}

fn parts(deliver: &Deliver) -> Option<(Span, &Spanned<SecretRef>, &Spanned<Content>)> {
    Some(match deliver {
        Deliver::File(file) => (
            file.path.key.unwrap_or(file.at),
            &file.secret,
            &file.content,
        ),
        Deliver::Fifo(fifo) => (
            fifo.path.key.unwrap_or(fifo.at),
            &fifo.secret,
            &fifo.content,
        ),
        Deliver::Fd(fd) => (fd.number.key.unwrap_or(fd.at), &fd.secret, &fd.content),
        Deliver::Stdin(stdin) => (
            stdin.stdin.key.unwrap_or(stdin.at),
            &stdin.secret,
            &stdin.content,
        ),
        Deliver::Getenv(getenv) => (
            getenv.name.key.unwrap_or(getenv.at),
            &getenv.secret,
            &getenv.content,
        ),
        Deliver::Credentials(_) => return None,
    })
}
