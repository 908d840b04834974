//! Settings that let others read secrets: nothing is a value here, and every finding names the setting.

use super::assign::names_secret;
use super::rule::{Severity, Span};

/// A setting that a file may have.
pub struct Setting {
    /// The rule's id.
    pub id: &'static str,
    /// What is wrong.
    pub title: &'static str,
    /// How much harm it can do.
    pub severity: Severity,
}

const fn setting(id: &'static str, title: &'static str, severity: Severity) -> Setting {
    Setting {
        id,
        title,
        severity,
    }
}

/// All of them; [`read`] gives their numbers.
pub const SETTINGS: &[Setting] = &[
    setting(
        "image-secret-variable",
        "an image keeps the values of ENV, ARG and LABEL",
        Severity::Medium,
    ),
    setting(
        "image-env-file",
        "a file of secrets is copied into an image",
        Severity::High,
    ),
    setting(
        "debug-port",
        "a port for debuggers is open",
        Severity::Medium,
    ),
    setting(
        "docker-socket",
        "a privileged container has the socket of Docker: it is root on the host",
        Severity::High,
    ),
    setting(
        "debug-endpoint",
        "an endpoint shows settings or memory of the program",
        Severity::High,
    ),
    setting(
        "world-readable-key",
        "every user of the host can read this private key",
        Severity::High,
    ),
];

/// The number of the rule on keys that every user can read: the mode is not in the text.
pub const READABLE_KEY: usize = 5;

/// Ports of debuggers: Node.js, the JVM, Delve, debugpy, xdebug, gdbserver.
const PORTS: [&str; 7] = ["9229", "5005", "2345", "5678", "9003", "8000/debug", "9222"];

/// Names of files that have secrets.
const SECRET_FILES: [&str; 14] = [
    ".env",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".aws",
    ".ssh",
    "id_rsa",
    "id_ed25519",
    "id_ecdsa",
    "credentials.json",
    "service-account.json",
    ".docker/config.json",
    ".kube/config",
];

/// Whether a name, in lower case, has one of these suffixes.
fn has_suffix(name: &str, suffixes: &[&str]) -> bool {
    let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| suffixes.contains(&suffix))
}

/// The settings in a file, each with its number.
pub fn read(path: &str, text: &[u8]) -> Vec<(usize, Span)> {
    let name = path
        .rsplit(['/', '!'])
        .next()
        .unwrap_or(path)
        .to_ascii_lowercase();
    let is_docker = name.starts_with("dockerfile")
        || has_suffix(&name, &["dockerfile"])
        || name.starts_with("containerfile");
    let is_yaml = has_suffix(&name, &["yml", "yaml"]);
    let is_properties = has_suffix(&name, &["properties"]) || is_yaml;
    let mut found = Vec::new();
    if is_docker {
        dockerfile(text, &mut found);
    }
    if is_yaml {
        containers(text, &mut found);
    }
    if is_properties {
        endpoints(text, &mut found);
    }
    if is_docker || is_yaml || has_suffix(&name, &["sh", "service"]) || name == "package.json" {
        debuggers(text, &mut found);
    }
    found
}

fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split(|byte| *byte == b'\n').filter_map(move |line| {
        let at = start;
        start += line.len() + 1;
        str::from_utf8(line).ok().map(|line| (at, line))
    })
}

fn part(at: usize, line: &str, part: &str) -> Span {
    let offset = part.as_ptr() as usize - line.as_ptr() as usize;
    Span {
        start: at + offset,
        end: at + offset + part.len(),
    }
}

/// `ARG NPM_TOKEN`, `LABEL password=…`, `COPY .env`, `EXPOSE 9229`. The values of ENV are found as values.
fn dockerfile(text: &[u8], found: &mut Vec<(usize, Span)>) {
    for (at, line) in lines(text) {
        let mut words = line.split_whitespace();
        let Some(instruction) = words.next() else {
            continue;
        };
        match instruction.to_ascii_uppercase().as_str() {
            "ARG" | "LABEL" => {
                let names = words.filter_map(|word| word.split('=').next());
                let secret = names.filter(|name| names_secret(name.trim_matches('"').as_bytes()));
                found.extend(secret.map(|name| (0, part(at, line, name))));
            }
            "COPY" | "ADD" => {
                let from_stage = line.contains("--from=");
                let sources: Vec<&str> = words.filter(|word| !word.starts_with("--")).collect();
                let sources = &sources[..sources.len().saturating_sub(1)];
                let secret = sources
                    .iter()
                    .filter(|source| !from_stage && is_secret_file(source));
                found.extend(secret.map(|source| (1, part(at, line, source))));
            }
            "EXPOSE" => {
                let ports = words.filter(|word| PORTS.contains(&word.trim_end_matches("/tcp")));
                found.extend(ports.map(|port| (2, part(at, line, port))));
            }
            _ => {}
        }
    }
}

fn is_secret_file(source: &str) -> bool {
    let source = source.trim_matches(['"', '\'', '[', ',']);
    let name = source.trim_end_matches('/');
    let is_sample = ["example", "sample", "template", "dist"]
        .iter()
        .any(|word| name.contains(word));
    !is_sample
        && SECRET_FILES.iter().any(|known| {
            name == *known
                || name.ends_with(&format!("/{known}"))
                || name.starts_with(".env.") && *known == ".env"
        })
}

/// `privileged: true` with docker.sock mounted, in one service or pod; ports of debuggers.
fn containers(text: &[u8], found: &mut Vec<(usize, Span)>) {
    let privileged = lines(text).find(|(_, line)| {
        matches!(
            line.trim().trim_start_matches("- "),
            "privileged: true" | "privileged: yes"
        )
    });
    let socket = lines(text).find(|(_, line)| {
        line.contains("/var/run/docker.sock") || line.contains("/run/docker.sock")
    });
    if let (Some(_), Some((at, line))) = (privileged, socket) {
        found.push((3, part(at, line, line.trim())));
    }
    for (at, line) in lines(text) {
        let item = line
            .trim()
            .strip_prefix("- ")
            .unwrap_or_default()
            .trim_matches(['"', '\'']);
        let is_mapping = item.contains(':')
            && item
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b":./".contains(&byte));
        let inner = item
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .trim_end_matches("/tcp");
        let is_local = item.starts_with("127.0.0.1:");
        if is_mapping && !is_local && PORTS.contains(&inner) {
            found.push((2, part(at, line, item)));
        }
    }
}

/// Spring Boot's actuator with all of its endpoints.
fn endpoints(text: &[u8], found: &mut Vec<(usize, Span)>) {
    for (at, line) in lines(text) {
        let bare = line.trim().replace(' ', "");
        let is_all =
            bare.starts_with("management.endpoints.web.exposure.include=") && bare.ends_with('*');
        let values = [
            "management.endpoint.env.show-values=always",
            "management.endpoint.heapdump.enabled=true",
        ];
        if is_all || values.contains(&bare.to_ascii_lowercase().as_str()) {
            found.push((4, part(at, line, line.trim())));
        }
    }
}

/// `--inspect=0.0.0.0`, `-agentlib:jdwp=…,address=*:5005`.
fn debuggers(text: &[u8], found: &mut Vec<(usize, Span)>) {
    for (at, line) in lines(text).filter(|(_, line)| !line.trim_start().starts_with('#')) {
        for start in [
            "--inspect=0.0.0.0",
            "--inspect-brk=0.0.0.0",
            "-agentlib:jdwp=",
            "-Xrunjdwp:",
        ] {
            let Some(offset) = line.find(start) else {
                continue;
            };
            let rest = &line[offset..];
            let word = &rest[..rest
                .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\''))
                .unwrap_or(rest.len())];
            let is_open = start.starts_with("--")
                || word.contains("address=*")
                || word.contains("address=0.0.0.0");
            if is_open {
                found.push((2, part(at, line, word)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(path: &str, text: &str) -> Vec<&'static str> {
        read(path, text.as_bytes())
            .into_iter()
            .map(|(number, _)| SETTINGS[number].id)
            .collect()
    }

    #[test]
    fn each_setting_is_seen_and_its_safe_form_is_not() {
        let docker = "FROM a\nARG NPM_TOKEN\nLABEL db.password=x\nCOPY .env /app/.env\nEXPOSE 8080 9229\nENV A=1\nCMD [\"node\", \"--inspect=0.0.0.0:9229\"]\n";
        assert_eq!(
            ids("Dockerfile", docker),
            [
                "image-secret-variable",
                "image-secret-variable",
                "image-env-file",
                "debug-port",
                "debug-port"
            ]
        );
        assert_eq!(
            ids(
                "Dockerfile",
                "ARG VERSION=1\nCOPY .env.example /x\nCOPY --from=b .env /x\nEXPOSE 80\n"
            ),
            [""; 0]
        );
        let compose = "services:\n  a:\n    privileged: true\n    volumes:\n      - /var/run/docker.sock:/var/run/docker.sock\n    ports:\n      - \"5005:5005\"\n      - \"127.0.0.1:9229:9229\"\n";
        assert_eq!(
            ids("compose.yaml", compose),
            ["docker-socket", "debug-port"]
        );
        assert_eq!(
            ids(
                "application.properties",
                "management.endpoints.web.exposure.include=*\n"
            ),
            ["debug-endpoint"]
        );
        assert_eq!(
            ids(
                "run.sh",
                "java -agentlib:jdwp=transport=dt_socket,server=y,address=*:5005 -jar a\n# --inspect=0.0.0.0\n"
            ),
            ["debug-port"]
        );
        assert_eq!(SETTINGS[READABLE_KEY].id, "world-readable-key");
    }
}
