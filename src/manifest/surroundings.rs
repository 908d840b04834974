//! What stands around an insertion in a template, and the filter that writes a value for it.
//!
//! A value without a filter amid other text can add lines, keys and commands to it: whoever sets the
//! value in the store then writes the program's configuration. The file's name says what it is, and
//! else the text around the insertion; where neither does, nothing is said.

use std::ops::Range;
use std::path::Path;

/// How a value is written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// In words: `an INI file`.
    pub what: &'static str,
    /// The filter, with its arguments.
    pub filter: String,
    /// Whether there are quotes around the insertion that the filter writes itself.
    pub quoted: bool,
}

/// Kinds of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Dotenv,
    Ini,
    Json,
    Pg,
    Pgpass,
    Properties,
    Shell,
    Sql,
    Toml,
    Url,
    Xml,
    Yaml,
}

impl Kind {
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Dotenv => ("a .env file", "dotenv"),
            Self::Ini => ("an INI file", "ini"),
            Self::Json => ("JSON", "json"),
            Self::Pg => ("a connection string", "pg"),
            Self::Pgpass => (".pgpass", "pgpass"),
            Self::Properties => ("a .properties file", "properties"),
            Self::Shell => ("a shell script", "shell"),
            Self::Sql => ("SQL", "sql"),
            Self::Toml => ("TOML", "json"),
            Self::Url => ("a URL", "urlencode"),
            Self::Xml => ("XML", "xml"),
            Self::Yaml => ("YAML", "json"),
        }
    }

    /// Whether its filter writes the quotes.
    const fn quotes(self) -> bool {
        !matches!(
            self,
            Self::Url | Self::Xml | Self::Properties | Self::Pgpass
        )
    }

    fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        if name == "pgpass" || name == ".pgpass" {
            return Some(Self::Pgpass);
        }
        if name == ".env" || name.starts_with(".env.") {
            return Some(Self::Dotenv);
        }
        let (_, extension) = name.rsplit_once('.')?;
        Some(match extension {
            "env" | "dotenv" => Self::Dotenv,
            "ini" | "cnf" | "cfg" | "gitconfig" => Self::Ini,
            "json" => Self::Json,
            "pgpass" => Self::Pgpass,
            "properties" => Self::Properties,
            "sh" | "bash" | "ksh" | "zsh" => Self::Shell,
            "sql" => Self::Sql,
            "toml" => Self::Toml,
            "xml" => Self::Xml,
            "yaml" | "yml" => Self::Yaml,
            _ => return None,
        })
    }

    fn of_text(text: &str, place: &Place<'_>) -> Option<Self> {
        let start = text.trim_start();
        let line = place.before.trim_start();
        if start.starts_with("<?xml") || is_xml(place) {
            return Some(Self::Xml);
        }
        let sections = text.lines().any(is_section);
        let is_object =
            start.starts_with('{') && !start.starts_with("{{") && !start.starts_with("{%");
        if is_object || (start.starts_with('[') && !sections) {
            return Some(Self::Json);
        }
        if start.starts_with("#!") && start.lines().next().is_some_and(|line| line.contains("sh"))
            || line.starts_with("export ")
        {
            return Some(Self::Shell);
        }
        if is_sql(line) {
            return Some(Self::Sql);
        }
        if sections {
            return Some(Self::Ini);
        }
        if is_pgpass(place) {
            return Some(Self::Pgpass);
        }
        of_line(line)
    }
}

/// An insertion's line.
struct Place<'t> {
    before: &'t str,
    after: &'t str,
}

impl<'t> Place<'t> {
    fn of(text: &'t str, insertion: &Range<usize>) -> Self {
        let before = &text[..insertion.start];
        let after = &text[insertion.end..];
        Self {
            before: before.rsplit('\n').next().unwrap_or_default(),
            after: after.split('\n').next().unwrap_or_default(),
        }
    }

    /// It has a line of its own.
    fn is_line(&self) -> bool {
        self.before.trim().is_empty() && self.after.trim().is_empty()
    }

    fn is_quoted(&self) -> bool {
        let quotes = ['"', '\''];
        quotes
            .iter()
            .any(|quote| self.before.ends_with(*quote) && self.after.starts_with(*quote))
    }

    /// In a URL: its user and password, or its query.
    fn is_part_of_url(&self) -> bool {
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>');
        let before = self.before.rsplit(ends).next().unwrap_or_default();
        let after = self.after.split(ends).next().unwrap_or_default();
        let Some((_, begun)) = before.split_once("://") else {
            return false;
        };
        let authority = after.split('/').next().unwrap_or_default();
        begun.contains('?') || (!begun.contains('/') && authority.contains('@'))
    }
}

/// The reader of the text around an insertion; `None` where there is no text around it, or none whose
/// rules are known. `outside` is the text of the template without its tags.
pub fn reader(
    path: Option<&Path>,
    text: &str,
    outside: &str,
    insertion: &Range<usize>,
) -> Option<Reader> {
    if outside.trim().is_empty() {
        return None;
    }
    let place = Place::of(text, insertion);
    if place.is_part_of_url() {
        return Some(said(Kind::Url, &place));
    }
    if place.before.contains("://") && !place.before.contains([',', ';', ' ']) {
        // A host or a path in a URL: part of a value that the template's author knows.
        return None;
    }
    let kind = path
        .and_then(Kind::of_name)
        .or_else(|| Kind::of_text(text, &place))?;
    if !place.is_line() {
        return Some(said(kind, &place));
    }
    let width = place.before.len();
    (kind == Kind::Yaml && width > 0).then(|| Reader {
        what: "a block in YAML",
        filter: format!("indent({width})"),
        quoted: false,
    })
}

fn said(kind: Kind, place: &Place<'_>) -> Reader {
    let (what, filter) = kind.words();
    Reader {
        what,
        filter: filter.to_owned(),
        quoted: kind.quotes() && place.is_quoted(),
    }
}

fn is_xml(place: &Place<'_>) -> bool {
    let in_element = place.before.trim_end().ends_with('>') && place.after.contains("</");
    let quoted = place.before.ends_with("=\"") || place.before.ends_with("='");
    let opened = place.before.rfind('<') > place.before.rfind('>');
    in_element || (quoted && opened)
}

/// `[client]`
fn is_section(line: &str) -> bool {
    let inner = line.trim().strip_prefix('[');
    let inner = inner.and_then(|line| line.strip_suffix(']'));
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.: /".contains(c);
    inner.is_some_and(|name| !name.is_empty() && name.chars().all(is_name))
}

fn is_sql(line: &str) -> bool {
    const WORDS: [&str; 9] = [
        "IDENTIFIED BY",
        "CREATE USER",
        "CREATE ROLE",
        "ALTER USER",
        "ALTER ROLE",
        "INSERT INTO",
        "SELECT ",
        "UPDATE ",
        "GRANT ",
    ];
    let line = line.to_ascii_uppercase();
    WORDS.iter().any(|word| line.contains(word))
}

/// `host:port:database:user:password`
fn is_pgpass(place: &Place<'_>) -> bool {
    let colons = |text: &str| text.matches(':').count();
    let all = [place.before, place.after];
    let plain = !all
        .iter()
        .any(|part| part.contains(['=', '"']) || part.contains("://"));
    plain && all.into_iter().map(colons).sum::<usize>() == 4 && !place.before.contains(": ")
}

/// By the key before the insertion.
fn of_line(line: &str) -> Option<Kind> {
    if line.ends_with("password=") && (line.contains("host=") || line.contains("dbname=")) {
        return (!line.contains(';')).then_some(Kind::Pg);
    }
    if let Some(item) = line.strip_prefix("- ") {
        return of_line(item).filter(|kind| *kind == Kind::Yaml);
    }
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)));
    let (name, rest) = line.split_at(end?);
    if name.is_empty() {
        return None;
    }
    let after = rest.trim_start();
    if after.starts_with('=') {
        let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        return Some(if name.contains('.') {
            Kind::Properties
        } else if name.chars().all(upper) && rest.starts_with('=') {
            Kind::Dotenv
        } else {
            Kind::Ini
        });
    }
    let value = rest.strip_prefix(": ")?;
    // `Authorization: Bearer …` is a header.
    value
        .trim_start()
        .trim_start_matches(['"', '\''])
        .is_empty()
        .then_some(Kind::Yaml)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The filter for the insertion `@` in a text.
    fn wanted(path: &str, text: &str) -> Option<String> {
        let text = text.replace('@', "{{ v }}").replace('§', "@");
        let start = text.find("{{ v }}").unwrap();
        let outside = text.replace("{{ v }}", "");
        let path = (!path.is_empty()).then(|| Path::new(path));
        let reader = reader(path, &text, &outside, &(start..start + 7))?;
        let quotes = if reader.quoted { " unquoted" } else { "" };
        Some(format!("{}{quotes}", reader.filter))
    }

    #[test]
    fn the_name_of_a_file_says_what_it_is() {
        for (path, text, filter) in [
            ("/run/a/odbc.ini", "DSN=app;PWD=@;Port=5432\n", "ini"),
            ("/run/a/my.cnf", "password=\"@\"\n", "ini unquoted"),
            ("/run/a/config.json", "{\"a\": \"@\"}", "json unquoted"),
            ("/run/a/config.yaml", "a: @\n", "json"),
            ("/run/a/config.yml", "key: |\n  @\n", "indent(2)"),
            ("/run/a/.env", "a=@\n", "dotenv"),
            ("/run/a/app.env", "A=@\n", "dotenv"),
            ("/run/a/.pgpass", "h:1:*:u:@\n", "pgpass"),
            ("/run/a/kafka.properties", "a=b=\"@\"\n", "properties"),
            ("/run/a/server.xml", "<a b=\"@\"/>\n", "xml"),
            ("/run/a/init.sql", "x '@'\n", "sql unquoted"),
            ("/run/a/env.sh", "A=@\n", "shell"),
            ("/run/a/app.toml", "a = \"@\"\n", "json unquoted"),
        ] {
            assert_eq!(wanted(path, text).as_deref(), Some(filter), "{path}");
        }
    }

    #[test]
    fn the_text_around_an_insertion_says_what_it_is() {
        for (text, filter) in [
            ("[client]\npassword=@\n", "ini"),
            ("password = @", "ini"),
            ("PASSWORD=@\n", "dotenv"),
            ("export PASSWORD=@\n", "shell"),
            ("#!/bin/sh\nA=\"@\"\n", "shell unquoted"),
            ("spring.datasource.password=@\n", "properties"),
            ("db:\n  password: @\n", "json"),
            ("- token: \"@\"\n", "json unquoted"),
            ("{ \"a\": @ }", "json"),
            ("[\"@\"]", "json unquoted"),
            ("db:5432:*:app:@\n", "pgpass"),
            ("host=db user=a password=@", "pg"),
            ("ALTER ROLE app PASSWORD '@';", "sql unquoted"),
            ("<Resource password=\"@\"/>", "xml"),
            ("<password>@</password>", "xml"),
            ("postgres://app:@§db/app", "urlencode"),
            ("url: https://h/?token=@", "urlencode"),
        ] {
            assert_eq!(wanted("", text).as_deref(), Some(filter), "{text}");
        }
    }

    #[test]
    fn nothing_is_said_of_whole_values_and_of_text_that_is_not_known() {
        for (path, text) in [
            ("", "@"),
            ("/run/a/config.json", "@\n"),
            ("/run/a/tls.pem", "@\n"),
            ("", "Authorization: Bearer @"),
            ("", "user:@"),
            ("", "https://@/path"),
            ("/run/a/notes.txt", "the token is @\n"),
            ("/run/a/bundle.conf", "# certificates\n@\n"),
        ] {
            assert_eq!(wanted(path, text), None, "{text}");
        }
    }
}
