//! Relative paths of deliveries: hushpipe chooses the directory, and `{{ files }}` names it.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::build::Builder;
use super::decode::Spanned;
use super::fault::{Fault, Span, quote};
use super::overrides::Wanted;
use super::paths::{DeliveryPath, HostPath};
use super::records::{Deliver, Manifest};

impl Builder<'_> {
    /// Chooses the directory, where a delivery needs one.
    pub fn choose_files(&mut self, manifest: &Manifest) {
        let deliveries = manifest.deliver.get().map_or(&[][..], |list| &list.0);
        let relative =
            |path: &Spanned<DeliveryPath>| path.get().is_some_and(|path| !path.0.is_absolute());
        let needs = |deliver: &Deliver| match deliver {
            Deliver::File(file) => relative(&file.path),
            Deliver::Fifo(fifo) => relative(&fifo.path),
            Deliver::Credentials(all) => !all.directory.is_present() || relative(&all.directory),
            Deliver::Fd(_) | Deliver::Getenv(_) | Deliver::Stdin(_) => false,
        };
        let Some(service) = manifest.service.get() else {
            self.files_unknown = true;
            return;
        };
        if !deliveries.iter().filter_map(Spanned::get).any(needs) {
            let all_read = deliveries.iter().all(|deliver| match deliver.get() {
                Some(Deliver::File(file)) => file.path.get().is_some(),
                Some(Deliver::Fifo(fifo)) => fifo.path.get().is_some(),
                Some(_) => true,
                None => false,
            });
            self.files_unknown =
                !all_read || manifest.deliver.get().is_none() && manifest.deliver.is_present();
            return;
        }
        let run = manifest.run.get();
        let wanted = Wanted {
            service: file_name(&service.0),
            other_user: run.is_some_and(|run| run.user.is_present()),
        };
        let chosen = match self.overrides.files {
            Some(choose) => choose(&wanted),
            None => wanted.usual(),
        };
        self.warnings.extend(chosen.note);
        self.files = Some(chosen.directory);
    }

    /// Where a delivery is.
    pub fn placed(&self, path: &DeliveryPath) -> Option<PathBuf> {
        if path.0.is_absolute() {
            return Some(path.0.clone());
        }
        Some(self.files_directory()?.join(&path.0))
    }

    fn files_directory(&self) -> Option<PathBuf> {
        self.files.as_ref().map(|holder| holder.join("files"))
    }

    /// A word of the program or its environment, with the directory in it.
    pub fn with_files(&mut self, text: &str, span: Span) -> String {
        let Cow::Owned(named) = replaced(text, "") else {
            return text.to_owned();
        };
        let Some(directory) = self.files_directory() else {
            if !self.files_unknown {
                let message = "`{{ files }}` needs a delivery with a relative path";
                let help = "add one, such as `deliver: [{ file: token, secret: token }]`";
                self.fault(span, message, help);
            }
            return named;
        };
        replaced(text, &directory.to_string_lossy()).into_owned()
    }

    /// As [`Self::with_files`], for a word of the command line: it is left as it is where there is no such
    /// directory.
    pub fn given_with_files(&self, word: &OsStr) -> OsString {
        match (word.to_str(), self.files_directory()) {
            (Some(text), Some(directory)) => {
                OsString::from(replaced(text, &directory.to_string_lossy()).into_owned())
            }
            _ => word.to_owned(),
        }
    }

    /// A link to a delivered file is beside nothing that is delivered, and leads to one file.
    pub fn links_apart(&mut self, links: &[(PathBuf, Span)], paths: &[(PathBuf, Span)]) {
        for (index, (link, span)) in links.iter().enumerate() {
            let beside = |(path, _): &&(PathBuf, Span)| {
                path.parent()
                    .is_some_and(|directory| link.starts_with(directory))
            };
            let fault =
                if let Some((_, first)) = links[..index].iter().find(|(other, _)| other == link) {
                    let message = format!("two links at {}", quote(&link.display().to_string()));
                    Fault::new(*span, message, "give one of them another path")
                        .related(*first, "first here")
                } else if let Some((_, file)) = paths.iter().find(beside) {
                    let message = "this link is within the directory of a delivery";
                    let help = "a link leads to a delivered file from elsewhere, such as ~/.pgpass";
                    Fault::new(*span, message, help).related(*file, "the delivery")
                } else {
                    continue;
                };
            self.faults.push(fault);
        }
    }

    /// Whether a link can be had, and where it is.
    pub fn link(&mut self, link: &Spanned<HostPath>) -> Option<PathBuf> {
        let path = &link.get()?.0;
        let fits = path.is_absolute() && path.file_name().is_some() && !path.ends_with("..");
        if !fits {
            let message = "this path cannot be that of a link";
            self.fault(link.span, message, "write a path such as ~/.pgpass");
            return None;
        }
        Some(path.clone())
    }
}

/// A service's name as a name of files: `a b` and `a/b` are two services.
fn file_name(service: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let written = |c: char| {
        if fits(c) {
            c.to_string()
        } else {
            format!(".{:x}.", u32::from(c))
        }
    };
    service.chars().map(written).collect()
}

/// The text with each `{{ files }}` replaced; borrowed, where there is none.
fn replaced<'t>(text: &'t str, directory: &str) -> Cow<'t, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((start, end)) = next(rest) {
        out.push_str(&rest[..start]);
        out.push_str(directory);
        rest = &rest[end..];
    }
    if rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Where the first one starts and ends.
fn next(text: &str) -> Option<(usize, usize)> {
    text.match_indices("{{").find_map(|(start, _)| {
        let inner = &text[start + 2..];
        let end = inner.find("}}")?;
        (inner[..end].trim() == "files").then_some((start, start + 2 + end + 2))
    })
}

/// Whether text looks as a template does, but for `{{ files }}`.
pub fn has_template(text: &str) -> bool {
    super::values::is_template(&replaced(text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_is_a_name_and_nothing_else() {
        for (text, expected) in [
            ("{{ files }}/token", "/d/token"),
            ("-f{{files}}:{{  files }}", "-f/d:/d"),
            ("{{ file }} {{ files", "{{ file }} {{ files"),
            ("{{ db }}{{ files }}", "{{ db }}/d"),
        ] {
            assert_eq!(replaced(text, "/d"), expected);
        }
        assert!(!has_template("{{ files }}/x") && has_template("{{ files }}{{ db }}"));
    }
}
