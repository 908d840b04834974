//! The lines of a .env file as a template that writes them again, so that each loader reads what it
//! read before. Loaders differ on quotes, backslashes, `#`, `$`, white space and line ends: what one
//! of the filter's forms does not give byte for byte is sealed as it was written, beside its value.

use super::super::sealed::SealedError;
use super::file::EnvFile;
use super::named::Named;
use super::settle::{after, is_comment};
use crate::delivery::dotenv::{self, Quotes, Style};
use crate::secret::SecretBytes;
use crate::stores::format::Entry;

/// The lines of a file as a template.
#[derive(Debug, Default)]
pub struct Lines {
    /// The template, for a `content:` of the manifest.
    pub template: String,
    /// Variables that are delivered as they were written until their value changes.
    pub as_written: Vec<String>,
}

/// Forms of the filter, the one that says least first. None of them has `expand=true`: a loader would
/// expand a `$` of the next value as well, which is not meant so.
const FORMS: [(&str, Style); 3] = [
    ("dotenv", style(None)),
    ("dotenv(quotes='single')", style(Some(Quotes::Single))),
    ("dotenv(quotes='double')", style(Some(Quotes::Double))),
];

const fn style(quotes: Option<Quotes>) -> Style {
    Style {
        expand: false,
        quotes,
    }
}

const MARK: &[u8] = b"\xef\xbb\xbf";

impl EnvFile {
    /// The form of the filter that writes an entry as it is; `None`: no form does.
    fn form(&self, entry: &Entry) -> Result<Option<&'static str>, SealedError> {
        let all = self.bytes.expose();
        let value = str::from_utf8(entry.value.expose())
            .map_err(|_| self.unusable(entry, "is not UTF-8 text, and cannot be in a .env file"))?;
        if value.contains('\0') {
            return Err(self.unusable(entry, "has a NUL, and cannot be in a .env file"));
        }
        if !is_comment(entry, all) {
            return Ok(None);
        }
        let written = &all[entry.written.clone()];
        let is_same =
            |style: Style| dotenv::write(value, style).is_ok_and(|text| text.as_bytes() == written);
        let mut forms = FORMS.into_iter();
        let form = forms.find(|(_, style)| !entry.expands && is_same(*style));
        Ok(form.map(|(form, _)| form))
    }

    /// The record of an entry that no form writes: its value, and the text up to the next entry.
    /// Comments are in it, as a quote that a loader takes for an opening one reaches over them.
    pub(super) fn record(&self, index: usize) -> Result<Option<SecretBytes>, SealedError> {
        let entry = &self.entries[index];
        if self.form(entry)?.is_some() {
            return Ok(None);
        }
        let all = self.bytes.expose();
        let text = &all[entry.written.start..self.end_of_text(index)];
        let utf8 = |bytes| str::from_utf8(bytes).map_err(|_| self.unusable(entry, NOT_UTF8));
        let record = serde_json::json!({
            "value": utf8(entry.value.expose())?,
            "text": utf8(text.strip_suffix(b"\n").unwrap_or(text))?,
        });
        Ok(Some(SecretBytes::new(record.to_string().into_bytes())))
    }

    fn end_of_text(&self, index: usize) -> usize {
        let next = self.entries.get(index + 1);
        next.map_or(self.bytes.len(), |next| next.lead.start)
    }

    /// Its lines, in their order, with a template's expression for each sealed value. Fails for what
    /// no template can write.
    pub(super) fn lines(&self, sealed: &[Option<Named>]) -> Result<Lines, SealedError> {
        let mut lines = Lines::default();
        let all = self.bytes.expose();
        if all.starts_with(MARK) {
            lines.template.push_str(r#"{{ "\ufeff" }}"#);
            if self
                .entries
                .first()
                .is_none_or(|entry| entry.lead.start != MARK.len())
            {
                // Some loaders take the mark for a part of the line: it was a line of its own.
                lines.template.push_str("#\n");
            }
        }
        let mut end = 0;
        for (index, (entry, named)) in self.entries.iter().zip(sealed).enumerate() {
            let before = self.escaped(entry, &all[entry.lead.clone()])?;
            lines.template.push_str(&before);
            end = match named {
                Some(named) => self.sealed_value(index, named, &mut lines)?,
                None => self.readable_value(entry, &mut lines.template)?,
            };
            lines.template.push('\n');
        }
        if end == all.len() && !all.ends_with(b"\n") {
            lines.template.pop();
        }
        Ok(lines)
    }

    /// Writes the expression of a value; gives the end of what it stands for.
    fn sealed_value(
        &self,
        index: usize,
        named: &Named,
        lines: &mut Lines,
    ) -> Result<usize, SealedError> {
        let entry = &self.entries[index];
        let name = &named.name;
        let Some(written) = &named.written else {
            let form = self.form(entry)?.unwrap_or("dotenv");
            let expression = format!("{{{{ {name} | {form} }}}}");
            lines.template.push_str(&expression);
            self.push_line_end(entry, &mut lines.template);
            return Ok(entry.end);
        };
        let expression = format!("{{{{ {name} | dotenv(written={}) }}}}", written.name);
        lines.template.push_str(&expression);
        lines.as_written.push(entry.name.clone());
        Ok(self.end_of_text(index))
    }

    /// As it stands in the file, with what is special to templates and manifests escaped.
    fn readable_value(&self, entry: &Entry, template: &mut String) -> Result<usize, SealedError> {
        let all = self.bytes.expose();
        if is_comment(entry, all) {
            template.push_str(&self.escaped(entry, &all[entry.written.clone()])?);
            self.push_line_end(entry, template);
        } else {
            let text = &all[entry.written.start..entry.end];
            template.push_str(&self.escaped(entry, text)?);
        }
        Ok(entry.end)
    }

    /// The carriage return at the end of a line: shells take it for a part of the value. Not where a
    /// comment was in between.
    fn push_line_end(&self, entry: &Entry, template: &mut String) {
        let all = self.bytes.expose();
        let is_cr = all[..entry.end].ends_with(b"\r") && entry.written.end < entry.end;
        if is_cr && after(entry, all).trim_ascii().is_empty() {
            template.push_str(CR);
        }
    }

    fn escaped(&self, entry: &Entry, written: &[u8]) -> Result<String, SealedError> {
        let text = str::from_utf8(written).unwrap_or("\0");
        if text
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
        {
            return Err(self.unusable(entry, "cannot be written in a manifest: seal it instead"));
        }
        let special = ["{{", "{%", "{#"].iter().any(|open| text.contains(open));
        if special && text.contains("endraw") {
            return Err(self.unusable(entry, "cannot be written in a template: seal it instead"));
        }
        let text = text.replace("${", "$${");
        if !special {
            return Ok(text.replace('\r', CR));
        }
        let text = text.replace('\r', &format!("{{% endraw %}}{CR}{{% raw %}}"));
        Ok(format!("{{% raw %}}{text}{{% endraw %}}"))
    }
}

/// A carriage return, which a YAML block cannot hold.
const CR: &str = r#"{{ "\r" }}"#;

const NOT_UTF8: &str = "has text after it that is not UTF-8, and cannot be sealed with it";
