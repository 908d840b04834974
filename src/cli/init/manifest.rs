//! The manifests that `hushpipe init` writes.

use std::fmt::Write as _;
use std::path::Path;

use super::project::below;
use crate::app::envfile::{Taken, Takeover};

/// A text as a YAML scalar: JSON's strings are YAML's, but for characters that YAML does not print.
fn scalar(text: &str) -> String {
    let mut out = String::new();
    for c in serde_json::Value::from(text).to_string().chars() {
        if matches!(c, '\u{7f}'..='\u{9f}' | '\u{feff}') {
            add(&mut out, &format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// A text that has no variables in it.
fn literal(text: &str) -> String {
    scalar(&text.replace("${", "$${"))
}

fn path_scalar(path: &Path) -> String {
    literal(&path.to_string_lossy())
}

/// The manifest of a project without anything yet.
pub fn example(store: &Path, identity: &Path) -> String {
    format!(
        r#"# Which secrets, from which store, delivered how, to which program.
# `hushpipe check` tells whether a run would start; `hushpipe run` starts it.
version: 1
service: example

stores:
  local:
    type: sealed                    # a directory of age files, one a version
    path: {store}
    identity_file: {identity}
  # HashiCorp Vault or OpenBao, with secrets such as {{ store: bao, path: database/creds/app }}:
  # bao: {{ type: vault, address: "https://bao.internal:8200", auth: {{ method: token }} }}

secrets:
  greeting: {{ store: local, key: example/greeting }}   # hushpipe secret set example/greeting

deliver:
  - file: greeting                  # {{{{ files }}}}/greeting, which the program alone sees
    secret: greeting
  # Other ways, and one for programs that read nothing but environment variables:
  # - {{ file: app.conf, content: "greeting={{{{ greeting }}}}\n" }}
  # - {{ getenv: GREETING, secret: greeting }}

run:
  command: [cat, "{{{{ files }}}}/greeting"]   # or: hushpipe run -- cat "{{{{ files }}}}/greeting"
"#,
        store = path_scalar(store),
        identity = path_scalar(identity),
    )
}

/// A line of `secrets:`.
fn secret(name: &str, key: &str) -> String {
    format!("  {name}: {{ store: local, key: {} }}\n", literal(key))
}

/// Whether a manifest has a secret, on a line as `init` writes it.
pub fn has_secret(manifest: &str, name: &str, key: &str) -> bool {
    manifest.contains(&secret(name, key))
}

/// What the manifest of a project with .env files has in it.
pub struct OfEnvFiles<'a> {
    /// The service's name.
    pub service: &'a str,
    /// The store's path.
    pub store: &'a Path,
    /// The identity file's path.
    pub identity: &'a Path,
    /// The files.
    pub takeover: &'a Takeover,
    /// For each of them: it is gone, and a link leads its loader to what is delivered.
    pub links: &'a [bool],
    /// The project's directory, which links are relative to.
    pub directory: &'a Path,
    /// The program and its arguments, with spaces between; none where it is not known.
    pub command: Option<&'static str>,
    /// Variables that the program is not to inherit.
    pub unset: &'a [String],
}

impl OfEnvFiles<'_> {
    /// The manifest.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# What the .env files of this project had, from a sealed store.\n\
             # `hushpipe check` tells whether a run would start; `hushpipe run` starts it.\n\
             version: 1\n\
             service: {service}\n\n\
             stores:\n  local:\n    type: sealed                    \
             # a directory of age files, one a version\n    \
             path: {store}\n    identity_file: {identity}\n",
            service = scalar(self.service),
            store = path_scalar(self.store),
            identity = path_scalar(self.identity),
        );
        self.secrets(&mut text);
        self.deliveries(&mut text);
        self.run(&mut text);
        text
    }

    fn secrets(&self, text: &mut String) {
        if self.takeover.secrets().next().is_none() {
            return;
        }
        text.push_str(
            "\nsecrets:                            # to change one: hushpipe secret set KEY\n",
        );
        for (name, key) in self.takeover.secrets() {
            add(text, &secret(name, key));
        }
        if self.takeover.written().next().is_some() {
            text.push_str(
                "  # Values whose lines loaders read in different ways. A file has the line as it was\n  \
                 # written for as long as the secret has the value that is sealed with it here:\n",
            );
        }
        for (name, key) in self.takeover.written() {
            let key = literal(key);
            add(
                text,
                &format!("  {name}: {{ store: local, key: {key}, format: json }}\n"),
            );
        }
    }

    fn deliveries(&self, text: &mut String) {
        add(
            text,
            "\n# The program alone sees these files, below {{ files }}. A link leads there while it runs.\n",
        );
        add(text, "deliver:\n");
        for (index, taken) in self.takeover.files().iter().enumerate() {
            let gone = self.links.get(index).copied().unwrap_or_default();
            add(text, &Self::delivery(taken));
            add(text, &self.link(taken, gone));
        }
    }

    /// The line of a link; without it being one, where the file is still there.
    pub fn link(&self, taken: &Taken, gone: bool) -> String {
        let path = taken.file().path();
        let below = below(path, self.directory);
        let path = below.or_else(|| std::path::absolute(path).ok());
        let link = path_scalar(&path.unwrap_or_default());
        if gone {
            format!("    link: {link}\n")
        } else {
            format!("    # link: {link}   # once that file is gone\n")
        }
    }

    fn delivery(taken: &Taken) -> String {
        let path = literal(&taken.file().name());
        // The indentation is told where YAML would take the text's own for it.
        let template = &taken.lines().template;
        let indent = if template.starts_with([' ', '\t', '\n']) {
            "2"
        } else {
            ""
        };
        let chomp = if template.ends_with('\n') { "" } else { "-" };
        let mut text = format!("  - file: {path}\n    content: |{indent}{chomp}\n");
        for line in template.lines() {
            let indent = if line.is_empty() { "" } else { "      " };
            add(&mut text, &format!("{indent}{line}\n"));
        }
        text
    }

    /// Whether a manifest delivers the files already: an earlier init wrote it, whatever was changed in
    /// other places since.
    pub fn is_in(&self, manifest: &str) -> bool {
        let has = |(name, key)| has_secret(manifest, name, key);
        let mut files = self.takeover.files().iter();
        self.takeover.secrets().all(has)
            && files.all(|taken| manifest.contains(&Self::delivery(taken)))
    }

    fn run(&self, text: &mut String) {
        add(text, "\nrun:\n");
        match self.command {
            None => add(
                text,
                "  # command: [your, program]      # or: hushpipe run -- your program\n",
            ),
            Some(command) => {
                let words = command.replace(' ', ", ");
                add(text, &format!("  command: [{words}]\n"));
            }
        }
        let path = self.loader_path();
        if self.unset.is_empty() && path.is_none() {
            return;
        }
        add(text, "  env:\n");
        if !self.unset.is_empty() {
            let names = self.unset.join(", ");
            add(
                text,
                &format!("    unset: [{names}]  # no program starts with a sealed value in one\n"),
            );
        }
        if let Some(path) = path {
            let path = scalar(&path);
            add(
                text,
                &format!("    set: {{ DOTENV_CONFIG_PATH: {path} }}\n"),
            );
        }
    }

    /// Nearly always there is one file, or the first is the common one. A variable holds no template,
    /// nor what looks like one.
    fn loader_path(&self) -> Option<String> {
        let first = self.takeover.files().first()?;
        let name = first.file().name();
        let is_template = ["{{", "{%", "{#"].iter().any(|open| name.contains(open));
        (!is_template).then(|| format!("{{{{ files }}}}/{}", name.replace("${", "$${")))
    }
}

fn add(text: &mut String, more: &str) {
    text.write_str(more)
        .expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Overrides, parse};

    #[test]
    fn the_starting_manifest_has_no_faults() {
        for (store, identity) in [
            ("secrets", "/home/a/identity.txt"),
            (
                "/srv/with space: and # \"quotes\" {{ x }} ${HOME} \n\u{85}\u{7f}",
                "~/.config/hushpipe/identity.txt",
            ),
        ] {
            let text = example(Path::new(store), Path::new(identity));
            let name = Path::new("/srv/hushpipe.yaml");
            let home = |name: &str| (name == "HOME").then(|| "/home/a".to_owned());
            let plan = parse(name, &text, &Overrides::default(), &home);
            let plan = plan.map_err(|error| error.render(false)).unwrap();
            assert_eq!(plan.deliveries.len(), 1);
            let with_vault = text.replace("# bao: {", "bao: {");
            let plan = parse(name, &with_vault, &Overrides::default(), &home);
            assert_eq!(
                plan.map_err(|error| error.render(false))
                    .unwrap()
                    .stores
                    .len(),
                2
            );
        }
    }
}
