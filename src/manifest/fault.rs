//! Faults of a manifest, each at its place, and how they are shown.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::model::printable::printable;
use crate::model::{Exit, Place};

/// A range of bytes of the manifest's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

impl Span {
    /// One character wide, at a byte; the renderer widens it to the character.
    pub const fn at(start: usize) -> Self {
        Self { start, end: start }
    }

    /// Line and column of its start.
    pub fn place(self, source: &str) -> Place {
        let before = source.get(..self.start).unwrap_or(source);
        let line_start = memchr::memrchr(b'\n', before.as_bytes()).map_or(0, |index| index + 1);
        Place {
            line: memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Another place that has to do with it, and what stands there.
    pub related: Option<(Span, &'static str)>,
    /// A secret stands in its line, by mistake: no fault shows the line.
    pub hides: bool,
}

impl Fault {
    /// A fault at a place, with what to do.
    pub fn new(span: Span, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            help: help.into(),
            related: None,
            hides: false,
        }
    }

    /// The same, with its line kept from every message.
    #[must_use]
    pub const fn hiding(mut self) -> Self {
        self.hides = true;
        self
    }

    /// The same, of a site: what reads YAML speaks of manifests.
    #[must_use]
    pub(super) fn of_site(mut self) -> Self {
        if self.message == "the manifest is empty" {
            "a site has at least `version: 1`".clone_into(&mut self.help);
        }
        self.message = self.message.replace("manifest", "site");
        self.help = self.help.replace("manifest", "site");
        self
    }

    /// The same with another place.
    #[must_use]
    pub fn related(mut self, span: Span, label: &'static str) -> Self {
        self.related = Some((span, label));
        self
    }
}

/// Faults are shown up to this many; the rest is counted.
const SHOWN: usize = 50;

/// Why there is no plan.
#[derive(Debug)]
pub struct ManifestError {
    name: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// It could not be found or read.
    Unreadable {
        exit: Exit,
        message: String,
        help: String,
        source: Option<std::io::Error>,
    },
    /// It was read and is wrong.
    Wrong { source: String, faults: Vec<Fault> },
}

impl ManifestError {
    /// There is no text to show.
    pub(super) fn unreadable(
        name: &Path,
        message: impl Into<String>,
        help: impl Into<String>,
        source: Option<std::io::Error>,
    ) -> Self {
        Self::ended(name, Exit::NoManifest, message, help, source)
    }

    fn ended(
        name: &Path,
        exit: Exit,
        message: impl Into<String>,
        help: impl Into<String>,
        source: Option<std::io::Error>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            cause: Cause::Unreadable {
                exit,
                message: message.into(),
                help: help.into(),
                source,
            },
        }
    }

    /// Who must not say what root runs can change it.
    pub(super) fn distrusted(name: &Path, reason: &str) -> Self {
        let message = format!("root cannot use a manifest that others can change: {reason}");
        let help = "restrict it; or read it, then give it on standard input: -m - <FILE";
        Self::ended(name, Exit::Denied, message, help, None)
    }

    /// The site cannot be used as it is: who can change it, or why it cannot be read.
    pub fn site(
        name: &Path,
        message: impl Into<String>,
        help: impl Into<String>,
        source: Option<std::io::Error>,
    ) -> Self {
        Self::ended(name, Exit::Manifest, message, help, source)
    }

    /// The same, where a site is what was read.
    #[must_use]
    pub(super) fn of_site(mut self) -> Self {
        if let Cause::Wrong { faults, .. } = &mut self.cause {
            *faults = faults.drain(..).map(Fault::of_site).collect();
        }
        self
    }

    /// It can be read, but is no manifest.
    pub(super) fn refused(name: &Path, message: impl Into<String>, help: &str) -> Self {
        Self {
            name: name.to_owned(),
            cause: Cause::Unreadable {
                exit: Exit::Manifest,
                message: message.into(),
                help: help.to_owned(),
                source: None,
            },
        }
    }

    /// The text has faults: shown in its order, each once.
    pub(super) fn wrong(name: &Path, source: &str, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| fault.span.start);
        let mut seen: Vec<Fault> = Vec::with_capacity(faults.len().min(SHOWN));
        for fault in faults {
            let same_place = seen
                .iter()
                .rev()
                .take_while(|other| other.span == fault.span);
            if !same_place.into_iter().any(|other| *other == fault) {
                seen.push(fault);
            }
        }
        Self {
            name: name.to_owned(),
            cause: Cause::Wrong {
                source: source.to_owned(),
                faults: seen,
            },
        }
    }

    /// hushpipe's exit code for it.
    pub const fn exit(&self) -> Exit {
        match self.cause {
            Cause::Unreadable { exit, .. } => exit,
            Cause::Wrong { .. } => Exit::Manifest,
        }
    }

    /// Every fault: its place and message.
    pub fn faults(&self) -> Vec<(Place, &str)> {
        match &self.cause {
            Cause::Unreadable { .. } => Vec::new(),
            Cause::Wrong { source, faults } => faults
                .iter()
                .map(|fault| (fault.span.place(source), fault.message.as_str()))
                .collect(),
        }
    }

    /// Without excerpts: one line a fault; or what could not be read, its cause and what to do.
    pub fn text(&self) -> String {
        let name = self.shown_name();
        match &self.cause {
            Cause::Unreadable {
                message,
                help,
                source,
                ..
            } => {
                let cause = source.as_ref().map(|source| format!(": {source}"));
                format!("{message}{}\n  help: {help}", cause.unwrap_or_default())
            }
            Cause::Wrong { source, faults } => {
                let shown = faults.iter().take(SHOWN);
                let lines: Vec<String> = shown
                    .map(|fault| {
                        let place = fault.span.place(source);
                        format!("{name}:{place}: {} ({})", fault.message, fault.help)
                    })
                    .collect();
                lines.join("\n")
            }
        }
    }

    /// For a terminal: each fault with `file:line:column`, the line, a caret and what to do. Each
    /// starts with `hushpipe: error:`. Ends without a line break.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        match &self.cause {
            Cause::Unreadable { help, .. } => {
                let text = self.text();
                let message = text.lines().next().unwrap_or(&text);
                let first = renderer.render(&[title(message)]);
                format!("{first}\n  help: {help}")
            }
            Cause::Wrong { source, faults } => {
                self.render_faults(&renderer, &harmless(source), faults)
            }
        }
    }

    fn render_faults(&self, renderer: &Renderer, source: &str, faults: &[Fault]) -> String {
        let hidden: Vec<usize> = faults
            .iter()
            .filter(|fault| fault.hides)
            .map(|fault| fault.span.place(source).line)
            .collect();
        let mut blocks: Vec<String> = faults
            .iter()
            .take(SHOWN)
            .map(|fault| renderer.render(&[self.group(source, fault, &hidden)]))
            .collect();
        if faults.len() > 1 {
            let more = match faults.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(", the last {more} not shown"),
            };
            let text = format!("{} has {} faults{more}", self.shown_name(), faults.len());
            blocks.push(
                renderer.render(&[Group::with_title(
                    Level::ERROR
                        .with_name("hushpipe: error")
                        .primary_title(text),
                )]),
            );
        }
        blocks.join("\n\n")
    }

    fn shown_name(&self) -> String {
        shown_name(&self.name)
    }

    fn group<'a>(&self, source: &'a str, fault: &'a Fault, hidden: &[usize]) -> Group<'a> {
        let excerpt = Excerpt::around(source, fault);
        let path = self.shown_name();
        let group = title(&fault.message);
        let hides = hidden.iter().any(|line| excerpt.lines().contains(line));
        let group = if excerpt.text.is_empty() || hides {
            let place = fault.span.place(source);
            let origin = Origin::path(path)
                .line(place.line)
                .char_column(place.column);
            group.element(origin)
        } else {
            let snippet = Snippet::source(excerpt.text)
                .line_start(excerpt.line)
                .path(path)
                .annotations(excerpt.annotations(fault));
            group.element(snippet)
        };
        let help = annotate_snippets::normalize_untrusted_str(&fault.help);
        group.element(Level::HELP.message(help))
    }
}

fn title<'a>(message: &str) -> Group<'a> {
    Group::with_title(
        Level::ERROR
            .with_name("hushpipe: error")
            .primary_title(message.to_owned()),
    )
}

/// The name of a manifest in messages.
pub(super) fn shown_name(name: &Path) -> String {
    if name == Path::new("-") {
        "<stdin>".to_owned()
    } else {
        name.display().to_string()
    }
}

/// The lines that a fault speaks of: the renderer is not given a whole file for one of them.
struct Excerpt<'a> {
    text: &'a str,
    start: usize,
    line: usize,
}

impl<'a> Excerpt<'a> {
    fn around(source: &'a str, fault: &Fault) -> Self {
        let related = fault.related.map_or(fault.span, |(span, _)| span);
        let first = related.start.min(fault.span.start).min(source.len());
        let last = related.start.max(fault.span.start).min(source.len());
        let bytes = source.as_bytes();
        let start = memchr::memrchr(b'\n', &bytes[..first]).map_or(0, |index| index + 1);
        let end = memchr::memchr(b'\n', &bytes[last..]).map_or(source.len(), |index| last + index);
        Self {
            text: &source[start..end],
            start,
            line: memchr::memchr_iter(b'\n', &bytes[..start]).count() + 1,
        }
    }

    /// Their numbers.
    fn lines(&self) -> Range<usize> {
        let breaks = memchr::memchr_iter(b'\n', self.text.as_bytes()).count();
        self.line..self.line + breaks + 1
    }

    fn annotations(&self, fault: &'a Fault) -> Vec<Annotation<'a>> {
        let mut all = vec![AnnotationKind::Primary.span(self.range(fault.span))];
        if let Some((span, label)) = fault.related {
            all.push(AnnotationKind::Context.span(self.range(span)).label(label));
        }
        all
    }

    /// Within the excerpt, within one line, at least one character wide.
    fn range(&self, span: Span) -> Range<usize> {
        let start = span.start.saturating_sub(self.start).min(self.text.len());
        let line_end = memchr::memchr(b'\n', &self.text.as_bytes()[start..])
            .map_or(self.text.len(), |index| start + index);
        let wide = self.text[start..].chars().next().map_or(0, char::len_utf8);
        let end = span.end.saturating_sub(self.start);
        start..end.max(start + wide).min(line_end.max(start))
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Unreadable { message, .. } => f.write_str(message),
            Cause::Wrong { faults, .. } => {
                let faults = faults.len();
                let plural = if faults == 1 { "fault" } else { "faults" };
                write!(f, "{} has {faults} {plural}", self.shown_name())
            }
        }
    }
}

impl std::error::Error for ManifestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Unreadable {
                source: Some(source),
                ..
            } => Some(source),
            _ => None,
        }
    }
}

/// Text of a manifest for a message: in backquotes, without control characters, not too long.
/// Without the control characters that annotate-snippets lets through, C1, which some terminals obey.
/// The dots have as many bytes, so that spans stay what they are.
fn harmless(source: &str) -> Cow<'_, str> {
    let is_c1 = |c: char| ('\u{80}'..='\u{9f}').contains(&c);
    if source.contains(is_c1) {
        Cow::Owned(source.replace(is_c1, "·"))
    } else {
        Cow::Borrowed(source)
    }
}

/// Empty text is a pair of quotes.
pub(super) fn quote(text: &str) -> String {
    if text.is_empty() {
        return "\"\"".to_owned();
    }
    let end = text.char_indices().nth(60).map_or(text.len(), |(at, _)| at);
    let more = if end < text.len() { "…" } else { "" };
    format!("`{}{more}`", printable(&text[..end]))
}
