//! Texts on topics: `hushpipe help TOPIC` prints them, and each is a manual page.

/// A topic, and its text: paragraphs, lists, indented lines that stay as they are, and headings after `# `.
pub struct Topic {
    /// As `hushpipe help` and, after `hushpipe-`, the page are called.
    pub name: &'static str,
    /// Another name of it.
    pub alias: &'static str,
    /// For whatis(1).
    #[cfg(feature = "man")]
    pub about: &'static str,
    /// All of it.
    pub text: &'static str,
}

/// All of them.
pub const TOPICS: &[Topic] = &[
    Topic {
        name: "getenv",
        alias: "env",
        #[cfg(feature = "man")]
        about: "how programs read their secrets, and variables that only they see",
        text: include_str!("topics/getenv.txt"),
    },
    #[cfg(feature = "man")]
    Topic {
        name: "stores",
        alias: "store",
        about: "where the secrets of hushpipe(1) come from",
        text: include_str!("topics/stores.txt"),
    },
    #[cfg(feature = "man")]
    Topic {
        name: "rotation",
        alias: "rotate-secrets",
        about: "how programs get new values, and what running launchers do on request",
        text: include_str!("topics/rotation.txt"),
    },
    #[cfg(feature = "man")]
    Topic {
        name: "security",
        alias: "isolation",
        about: "what hushpipe(1) protects from, and what not",
        text: include_str!("topics/security.txt"),
    },
    #[cfg(feature = "man")]
    Topic {
        name: "units",
        alias: "services",
        about: "hushpipe(1) in services of systemd",
        text: include_str!("topics/systemd.txt"),
    },
    #[cfg(feature = "man")]
    Topic {
        name: "containers",
        alias: "docker",
        about: "hushpipe(1) in containers",
        text: include_str!("topics/containers.txt"),
    },
];

/// The one of this name.
pub fn find(name: &str) -> Option<&'static Topic> {
    TOPICS
        .iter()
        .find(|topic| topic.name == name || topic.alias == name)
}

impl Topic {
    /// For a terminal.
    pub fn help(&self) -> String {
        let lines = self
            .text
            .lines()
            .map(|line| line.strip_prefix("# ").unwrap_or(line));
        let text: Vec<&str> = lines.collect();
        format!(
            "{}\n\nAlso a manual page: hushpipe man --page hushpipe-{}\n",
            text.join("\n"),
            self.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_broken_by_a_terminal() {
        for topic in TOPICS {
            for line in topic.text.lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", topic.name);
                assert!(!line.contains('\t'), "{}: {line}", topic.name);
            }
        }
    }

    #[test]
    fn names_are_no_commands() {
        use clap::CommandFactory as _;
        let root = super::super::CommandLine::command();
        for topic in TOPICS {
            for name in [topic.name, topic.alias] {
                assert!(root.find_subcommand(name).is_none(), "{name}");
            }
        }
    }
}
