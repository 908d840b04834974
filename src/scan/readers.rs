//! Files of known programs: where each keeps its passwords is known, so that every value there counts.

use super::rule::{Severity, Span};
use super::{filter, manifests};

/// How a file says its secrets.
enum How {
    /// `key SEPARATOR value`, a line each.
    Lines(&'static [&'static str], &'static [u8]),
    /// `"key": "value"`
    Json(&'static [&'static str]),
    /// `<key>value</key>`, `key="value"`
    Xml(&'static [&'static str]),
    /// Everything in it.
    Whole,
    /// In a way of its own.
    Code(fn(&[u8]) -> Vec<Span>),
}

/// A file of a known program.
pub struct Reader {
    /// The rule's id.
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// How much harm it can do.
    pub severity: Severity,
    /// Ends of paths, in lower case: whole names, or with `*` any end.
    names: &'static [&'static str],
    how: How,
}

const fn reader(
    id: &'static str,
    title: &'static str,
    names: &'static [&'static str],
    how: How,
) -> Reader {
    Reader {
        id,
        title,
        severity: Severity::High,
        names,
        how,
    }
}

/// All of them, by the manual of each program.
pub const READERS: &[Reader] = &[
    reader(
        "netrc",
        "password in .netrc",
        &[".netrc", "_netrc"],
        How::Code(netrc),
    ),
    reader(
        "pgpass",
        "password in .pgpass",
        &[".pgpass", "pgpass.conf"],
        How::Code(pgpass),
    ),
    reader(
        "npmrc",
        "credential in .npmrc",
        &[".npmrc", "npmrc"],
        How::Lines(&["_authtoken", "_auth", "_password"], b"="),
    ),
    reader(
        "yarnrc",
        "credential in .yarnrc.yml",
        &[".yarnrc.yml"],
        How::Lines(&["npmauthtoken", "npmauthident"], b":"),
    ),
    reader(
        "pypirc",
        "password in .pypirc",
        &[".pypirc"],
        How::Lines(&["password"], b"=:"),
    ),
    reader(
        "docker-config",
        "registry credential of Docker",
        &[
            ".docker/config.json",
            ".dockercfg",
            ".dockerconfigjson",
            "docker/config.json",
            "containers/auth.json",
        ],
        How::Json(&["auth", "identitytoken", "registrytoken", "password"]),
    ),
    reader(
        "git-credentials",
        "password of git's credential store",
        &[".git-credentials", "git/credentials"],
        How::Code(addresses),
    ),
    reader(
        "wp-config",
        "secret of WordPress",
        &["wp-config.php"],
        How::Code(wordpress),
    ),
    reader(
        "s3cfg",
        "key in .s3cfg",
        &[".s3cfg", "s3cfg"],
        How::Lines(&["secret_key", "gpg_passphrase", "access_token"], b"="),
    ),
    reader(
        "aws-credentials",
        "AWS secret access key",
        &[".aws/credentials", ".aws/config"],
        How::Lines(&["aws_secret_access_key", "aws_session_token"], b"="),
    ),
    reader(
        "boto",
        "key in .boto",
        &[".boto", "boto.cfg"],
        How::Lines(
            &[
                "aws_secret_access_key",
                "gs_secret_access_key",
                "gs_oauth2_refresh_token",
            ],
            b"=",
        ),
    ),
    reader(
        "shadow",
        "password hash of a user",
        &[
            "etc/shadow",
            "etc/shadow-",
            "etc/gshadow",
            "shadow",
            "shadow.bak",
        ],
        How::Code(hashes),
    ),
    reader(
        "htpasswd",
        "password hash of a web server",
        &[".htpasswd", "htpasswd", "*.htpasswd", "htpasswd.users"],
        How::Code(hashes),
    ),
    reader(
        "rails-master-key",
        "Rails master key",
        &[
            "config/master.key",
            "credentials/production.key",
            "credentials/staging.key",
        ],
        How::Whole,
    ),
    reader(
        "rails-secrets",
        "Rails secret",
        &["config/secrets.yml", "config/credentials.yml"],
        How::Lines(&["secret_key_base"], b":"),
    ),
    reader(
        "jetbrains",
        "password in settings of a JetBrains IDE",
        &[
            "webservers.xml",
            "datasources.local.xml",
            "datasources.xml",
            ".idea/workspace.xml",
            ".idea/deployment.xml",
            "proxy.settings.xml",
        ],
        How::Xml(&["password", "passphrase", "proxy_password", "proxypassword"]),
    ),
    reader(
        "filezilla",
        "password in settings of FileZilla",
        &[
            "sitemanager.xml",
            "recentservers.xml",
            "filezilla.xml",
            "filezilla server.xml",
        ],
        How::Xml(&["pass"]),
    ),
    reader(
        "dbeaver-credentials",
        "credentials of DBeaver, under its published key",
        &["credentials-config.json"],
        How::Whole,
    ),
    reader(
        "dbeaver",
        "password in settings of DBeaver",
        &["data-sources.json", ".dbeaver-data-sources.xml"],
        How::Json(&["password"]),
    ),
    reader(
        "robo3t",
        "password in settings of Robo 3T",
        &["robo3t.json", "robomongo.json"],
        How::Json(&[
            "userpassword",
            "userpasswordencrypted",
            "sshuserpassword",
            "sshpassphrase",
            "sslpemkeypassphrase",
        ]),
    ),
    reader(
        "mysql-options",
        "password in an option file of MySQL",
        &[".my.cnf", "my.cnf", "debian.cnf"],
        How::Lines(&["password", "pass"], b"="),
    ),
    reader(
        "kubeconfig",
        "credential in a kubeconfig",
        &[".kube/config", "*.kubeconfig", "kubeconfig"],
        How::Lines(&["token", "client-key-data", "password"], b":"),
    ),
    reader(
        "terraform-credentials",
        "token of Terraform",
        &[".terraformrc", "terraform.rc"],
        How::Lines(&["token"], b"="),
    ),
    reader(
        "terraform-credentials",
        "token of Terraform",
        &["credentials.tfrc.json"],
        How::Json(&["token"]),
    ),
    reader(
        "gh-hosts",
        "token of gh",
        &["gh/hosts.yml", ".config/hub"],
        How::Lines(&["oauth_token"], b":"),
    ),
    reader(
        "vault-token-file",
        "token of Vault",
        &[".vault-token"],
        How::Whole,
    ),
    reader(
        "gcloud-credentials",
        "credential of gcloud",
        &[
            "application_default_credentials.json",
            "legacy_credentials/adc.json",
        ],
        How::Json(&["refresh_token", "client_secret"]),
    ),
    reader(
        "azure-cache",
        "token of the Azure command line",
        &[
            "accesstokens.json",
            "msal_token_cache.json",
            "service_principal_entries.json",
        ],
        How::Json(&["accesstoken", "refreshtoken", "secret", "client_secret"]),
    ),
    reader(
        "cargo-credentials",
        "token of cargo",
        &[".cargo/credentials", ".cargo/credentials.toml"],
        How::Lines(&["token"], b"="),
    ),
    reader(
        "gem-credentials",
        "key of RubyGems",
        &[".gem/credentials"],
        How::Lines(&["rubygems_api_key"], b":"),
    ),
    reader(
        "maven-settings",
        "password in settings of Maven",
        &[
            ".m2/settings.xml",
            "settings-security.xml",
            "maven/settings.xml",
        ],
        How::Xml(&["password", "passphrase", "master"]),
    ),
    reader(
        "rclone",
        "credential of rclone",
        &["rclone.conf"],
        How::Lines(
            &[
                "pass",
                "password",
                "password2",
                "secret_access_key",
                "client_secret",
                "token",
                "key",
            ],
            b"=",
        ),
    ),
    reader(
        "composer-auth",
        "credential of Composer",
        &["composer/auth.json", ".composer/auth.json"],
        How::Json(&["password", "github.com", "gitlab.com", "token"]),
    ),
    reader(
        "mail-password",
        "password of a mail account",
        &[".msmtprc", "msmtprc", ".fetchmailrc", ".mbsyncrc"],
        How::Lines(&["password", "pass"], b" \t"),
    ),
    reader(
        "mail-password",
        "password of a mail relay",
        &["ssmtp.conf"],
        How::Lines(&["authpass"], b"="),
    ),
    reader(
        "sasl-password",
        "password of a mail relay",
        &[
            "sasl_passwd",
            "sasl/passwd",
            "passwd.client",
            "smarthost_passwd",
        ],
        How::Code(last_field),
    ),
    reader(
        "redis-password",
        "password of Redis",
        &["redis.conf", "sentinel.conf", "*.redis.conf"],
        How::Lines(&["requirepass", "masterauth"], b" \t"),
    ),
    reader(
        "ldap-password",
        "password of LDAP",
        &["slapd.conf", "nslcd.conf", "ldap.conf", "sssd.conf"],
        How::Lines(&["rootpw", "bindpw", "ldap_default_authtok"], b" \t="),
    ),
    reader(
        "ldap-password",
        "password of LDAP",
        &["ldap.secret", "pam_ldap.secret", "libnss-ldap.secret"],
        How::Whole,
    ),
    reader(
        "wifi-password",
        "password of a network",
        &["wpa_supplicant.conf", "*.nmconnection"],
        How::Lines(&["psk", "password", "wep-key0"], b"="),
    ),
    reader(
        "rabbitmq-password",
        "password of RabbitMQ",
        &["rabbitmq.conf"],
        How::Lines(&["default_pass"], b"="),
    ),
    reader(
        "rabbitmq-definitions",
        "password hash of RabbitMQ",
        &["definitions.json"],
        How::Json(&["password_hash", "password"]),
    ),
    reader(
        "erlang-cookie",
        "cookie of an Erlang cluster",
        &[".erlang.cookie"],
        How::Whole,
    ),
    reader(
        "cifs-credentials",
        "password of a network share",
        &[
            ".smbcredentials",
            "smbcredentials",
            ".cifs",
            "cifs-credentials",
        ],
        How::Lines(&["password"], b"="),
    ),
    reader(
        "haproxy-userlist",
        "password of a user of HAProxy",
        &["haproxy.cfg"],
        How::Code(haproxy),
    ),
    reader(
        "chap-secrets",
        "secret of PPP",
        &["chap-secrets", "pap-secrets"],
        How::Code(third_word),
    ),
    reader(
        "bitcoin",
        "password of a Bitcoin node",
        &["bitcoin.conf"],
        How::Lines(&["rpcpassword"], b"="),
    ),
    reader(
        "curlrc",
        "password in .curlrc",
        &[".curlrc", "_curlrc"],
        How::Code(curlrc),
    ),
    reader(
        "kubernetes-secret",
        "value of a Secret of Kubernetes",
        &["*.yaml", "*.yml", "*.json"],
        How::Code(manifests::kubernetes),
    ),
    reader(
        "systemd-credential",
        "credential in a unit of systemd",
        &["*.service", "*.socket", "*.conf", "*.container"],
        How::Code(manifests::unit),
    ),
];

impl Reader {
    /// Whether a file is one of its own, by the end of its path in lower case.
    fn is_for(&self, lower: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix('*') {
            Some(end) => lower.ends_with(end),
            None => lower
                .strip_suffix(name)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with(['/', '!'])),
        })
    }

    /// The values in a file of its own.
    fn read(&self, text: &[u8]) -> Vec<Span> {
        let all = match self.how {
            How::Lines(keys, separators) => lines(text)
                .filter_map(|line| after_key(text, line, keys, separators))
                .collect(),
            How::Json(keys) => keys.iter().flat_map(|key| json(text, key)).collect(),
            How::Xml(keys) => keys.iter().flat_map(|key| xml(text, key)).collect(),
            How::Whole => vec![trimmed(
                text,
                Span {
                    start: 0,
                    end: text.len(),
                },
            )],
            How::Code(read) => read(text),
        };
        all.into_iter()
            .filter(|span| is_value(&text[span.start..span.end]))
            .collect()
    }
}

/// Whether some program keeps secrets in files of this name. A manifest may be about anything.
pub fn knows(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let is_manifest =
        |reader: &Reader| matches!(reader.id, "kubernetes-secret" | "systemd-credential");
    let mut readers = READERS.iter().filter(|reader| !is_manifest(reader));
    readers.any(|reader| reader.is_for(&lower))
}

/// The values of a file, each with the number of its reader.
pub fn read(path: &str, text: &[u8]) -> Vec<(usize, Span)> {
    let lower = path.to_ascii_lowercase();
    let readers = READERS
        .iter()
        .enumerate()
        .filter(|(_, reader)| reader.is_for(&lower));
    readers
        .flat_map(|(number, reader)| {
            reader
                .read(text)
                .into_iter()
                .map(move |span| (number, span))
        })
        .collect()
}

/// In a place for secrets, whatever is no placeholder is one.
fn is_value(value: &[u8]) -> bool {
    value.len() >= 4
        && !filter::is_placeholder(value)
        && !filter::is_reference(value)
        && !value.starts_with(b"!")
}

fn lines(text: &[u8]) -> impl Iterator<Item = Span> {
    let mut start = 0;
    text.split(|byte| *byte == b'\n').map(move |line| {
        let span = Span {
            start,
            end: start + line.len(),
        };
        start += line.len() + 1;
        trimmed(text, span)
    })
}

/// Without the white space at its ends.
fn trimmed(text: &[u8], span: Span) -> Span {
    let bytes = &text[span.start..span.end];
    let start = span.start + (bytes.len() - bytes.trim_ascii_start().len());
    Span {
        start,
        end: (start + bytes.trim_ascii().len()).min(span.end),
    }
}

/// Without quotes around it, or a comma behind.
fn unquoted(text: &[u8], span: Span) -> Span {
    let bytes = &text[span.start..span.end];
    for quote in [b'"', b'\''] {
        if bytes.len() >= 2
            && bytes[0] == quote
            && let Some(close) = memchr::memchr(quote, &bytes[1..])
        {
            return Span {
                start: span.start + 1,
                end: span.start + 1 + close,
            };
        }
    }
    span
}

/// `key = value`; what comes before the key on its line ends with white space or a colon.
fn after_key(text: &[u8], line: Span, keys: &[&str], separators: &[u8]) -> Option<Span> {
    let bytes = &text[line.start..line.end];
    if bytes.starts_with(b"#") || bytes.starts_with(b";") {
        return None;
    }
    let lower = bytes.to_ascii_lowercase();
    for key in keys {
        for at in memchr::memmem::find_iter(&lower, key.as_bytes()) {
            let end = at + key.len();
            let opens =
                at == 0 || matches!(bytes[at - 1], b':' | b' ' | b'\t' | b'"' | b'.' | b'-');
            let rest = &bytes[end..];
            let gap = rest
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'\t' | b'"'))
                .count();
            let is_spaced = separators.contains(&b' ') && gap > 0;
            let separator = rest.get(gap).is_some_and(|byte| separators.contains(byte));
            if opens && (separator || is_spaced) {
                let start = line.start + end + gap + usize::from(separator);
                return Some(unquoted(
                    text,
                    trimmed(
                        text,
                        Span {
                            start,
                            end: line.end,
                        },
                    ),
                ));
            }
        }
    }
    None
}

/// `"key": "value"`, in any case of letters.
fn json(text: &[u8], key: &str) -> Vec<Span> {
    let lower = text.to_ascii_lowercase();
    let quoted = format!("\"{key}\"");
    let mut found = Vec::new();
    for at in memchr::memmem::find_iter(&lower, quoted.as_bytes()) {
        let mut start = at + quoted.len();
        let skip = |at: usize, set: &[u8]| {
            at + text[at..]
                .iter()
                .take_while(|byte| set.contains(byte))
                .count()
        };
        start = skip(start, b" \t\r\n");
        if text.get(start) != Some(&b':') {
            continue;
        }
        start = skip(start + 1, b" \t\r\n");
        if text.get(start) == Some(&b'"')
            && let Some(length) = memchr::memchr(b'"', &text[start + 1..])
        {
            found.push(Span {
                start: start + 1,
                end: start + 1 + length,
            });
        }
    }
    found
}

/// `<key …>value</key>`, `key="value"`, `name="key" value="value"`, in any case of letters.
fn xml(text: &[u8], key: &str) -> Vec<Span> {
    let lower = text.to_ascii_lowercase();
    let mut found = Vec::new();
    for at in memchr::memmem::find_iter(&lower, key.as_bytes()) {
        let end = at + key.len();
        let before = at.checked_sub(1).map(|at| text[at]);
        let span = match (before, text.get(end)) {
            (Some(b'<'), Some(b'>' | b' ')) => {
                memchr::memchr(b'>', &text[end..]).and_then(|open| {
                    let start = end + open + 1;
                    let length = memchr::memchr(b'<', &text[start..])?;
                    Some(Span {
                        start,
                        end: start + length,
                    })
                })
            }
            (Some(b' ' | b'\t' | b'\n'), Some(b'=')) => quoted_after(text, end + 1),
            (Some(b'"'), Some(b'"')) => {
                let rest = &lower[end..lower.len().min(end + 64)];
                memchr::memmem::find(rest, b"value=")
                    .and_then(|value| quoted_after(text, end + value + 6))
            }
            _ => None,
        };
        found.extend(span);
    }
    found
}

fn quoted_after(text: &[u8], at: usize) -> Option<Span> {
    let quote = *text.get(at)?;
    let length =
        matches!(quote, b'"' | b'\'').then(|| memchr::memchr(quote, &text[at + 1..]))??;
    Some(Span {
        start: at + 1,
        end: at + 1 + length,
    })
}

/// Words of a text, by white space.
fn words(text: &[u8], within: Span) -> Vec<Span> {
    let mut found = Vec::new();
    let mut start = within.start;
    for word in text[within.start..within.end].split(u8::is_ascii_whitespace) {
        let end = start + word.len();
        if end > start {
            found.push(Span { start, end });
        }
        start = end + 1;
    }
    found
}

/// `machine … login … password …`: the words after `password`.
fn netrc(text: &[u8]) -> Vec<Span> {
    let words = words(
        text,
        Span {
            start: 0,
            end: text.len(),
        },
    );
    let pairs = words.windows(2);
    let passwords =
        pairs.filter(|pair| matches!(&text[pair[0].start..pair[0].end], b"password" | b"passwd"));
    passwords.map(|pair| unquoted(text, pair[1])).collect()
}

/// `host:port:database:user:password`; a backslash protects a colon.
fn pgpass(text: &[u8]) -> Vec<Span> {
    let field = |line: Span| {
        let bytes = &text[line.start..line.end];
        let colons = (0..bytes.len())
            .filter(|at| bytes[*at] == b':' && (*at == 0 || bytes[at - 1] != b'\\'));
        let fourth = colons.clone().nth(3)?;
        (!bytes.starts_with(b"#")).then_some(Span {
            start: line.start + fourth + 1,
            end: line.end,
        })
    };
    lines(text).filter_map(field).collect()
}

/// `https://user:password@host`, a line each.
fn addresses(text: &[u8]) -> Vec<Span> {
    let password = |line: Span| {
        let bytes = &text[line.start..line.end];
        let scheme = memchr::memmem::find(bytes, b"://")? + 3;
        let at = memchr::memrchr(b'@', bytes)?;
        let colon = scheme + memchr::memchr(b':', bytes.get(scheme..at)?)?;
        Some(Span {
            start: line.start + colon + 1,
            end: line.start + at,
        })
    };
    lines(text).filter_map(password).collect()
}

/// `define('DB_PASSWORD', '…')` and the keys and salts.
fn wordpress(text: &[u8]) -> Vec<Span> {
    const NAMES: [&str; 10] = [
        "DB_PASSWORD",
        "AUTH_KEY",
        "SECURE_AUTH_KEY",
        "LOGGED_IN_KEY",
        "NONCE_KEY",
        "AUTH_SALT",
        "SECURE_AUTH_SALT",
        "LOGGED_IN_SALT",
        "NONCE_SALT",
        "FTP_PASS",
    ];
    let mut found = Vec::new();
    for at in memchr::memmem::find_iter(text, b"define(") {
        let line = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |end| at + end);
        let first = text[at..line]
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\''));
        let Some(name) = first.and_then(|first| quoted_after(text, at + first)) else {
            continue;
        };
        let is_one = NAMES
            .iter()
            .any(|known| known.as_bytes() == &text[name.start..name.end]);
        let rest = text.get(name.end + 1..line).unwrap_or_default();
        let second = rest.iter().position(|byte| matches!(byte, b'"' | b'\''));
        if let (true, Some(second)) = (is_one, second) {
            found.extend(quoted_after(text, name.end + 1 + second));
        }
    }
    found
}

/// `user:hash:…`: crypt(5), Apache's `$apr1$` and `{SHA}`, and DES.
fn hashes(text: &[u8]) -> Vec<Span> {
    let hash = |line: Span| {
        let bytes = &text[line.start..line.end];
        let colon = memchr::memchr(b':', bytes)?;
        let rest = &bytes[colon + 1..];
        let hash = &rest[..memchr::memchr(b':', rest).unwrap_or(rest.len())];
        let is_des = hash.len() == 13
            && hash
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(byte));
        let is_one = filter::is_hash(hash) || is_des;
        let start = line.start + colon + 1;
        is_one.then_some(Span {
            start,
            end: start + hash.len(),
        })
    };
    lines(text).filter_map(hash).collect()
}

/// `[host]:587 user:password`, `host:user:password`.
fn last_field(text: &[u8]) -> Vec<Span> {
    let field = |line: Span| {
        let bytes = &text[line.start..line.end];
        let word = bytes
            .iter()
            .rposition(u8::is_ascii_whitespace)
            .map_or(0, |at| at + 1);
        let colons: Vec<usize> = memchr::memchr_iter(b':', &bytes[word..]).collect();
        let wanted = usize::from(word == 0);
        let colon = word + colons.get(wanted)?;
        (!bytes.starts_with(b"#")).then_some(Span {
            start: line.start + colon + 1,
            end: line.end,
        })
    };
    lines(text).filter_map(field).collect()
}

/// `user NAME password HASH`, `user NAME insecure-password TEXT`, `stats auth NAME:TEXT`.
fn haproxy(text: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    for line in lines(text) {
        let words = words(text, line);
        let word = |index: usize| {
            words
                .get(index)
                .map(|span: &Span| &text[span.start..span.end])
        };
        match (word(0), word(1), word(2)) {
            (Some(b"user"), Some(_), Some(b"password" | b"insecure-password")) => {
                found.extend(words.get(3));
            }
            (Some(b"stats"), Some(b"auth"), Some(pair)) => {
                let colon = memchr::memchr(b':', pair);
                found.extend(colon.map(|colon| Span {
                    start: words[2].start + colon + 1,
                    end: words[2].end,
                }));
            }
            _ => {}
        }
    }
    found
}

/// `client server secret addresses`
fn third_word(text: &[u8]) -> Vec<Span> {
    let third = |line: Span| {
        let words = words(text, line);
        let is_comment = text[line.start..line.end].starts_with(b"#");
        words
            .get(2)
            .filter(|_| !is_comment)
            .map(|span| unquoted(text, *span))
    };
    lines(text).filter_map(third).collect()
}

/// `user = "name:password"`
fn curlrc(text: &[u8]) -> Vec<Span> {
    let mut found: Vec<Span> = lines(text)
        .filter_map(|line| after_key(text, line, &["user", "-u", "proxy-user"], b"=: \t"))
        .collect();
    found.retain_mut(
        |span| match memchr::memchr(b':', &text[span.start..span.end]) {
            Some(colon) => {
                span.start += colon + 1;
                true
            }
            None => false,
        },
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(path: &str, text: &str) -> Vec<String> {
        let spans = read(path, text.as_bytes()).into_iter();
        spans
            .map(|(_, span)| text[span.start..span.end].to_owned())
            .collect()
    }

    #[test]
    fn each_file_is_read_as_its_program_does() {
        for (path, text) in [
            (
                ".netrc",
                "machine a.test login me\n  password k3yb0ard-Cat\nmachine b login x password \"p\"\n",
            ),
            (".pgpass", "# c\ndb:5432:app:me:k3yb0ard-Cat\n"),
            (
                ".npmrc",
                "registry=https://r.test/\n//r.test/:_authToken=k3yb0ard-Cat\n//s/:_authToken=${NPM_TOKEN}\n",
            ),
            (
                ".pypirc",
                "[pypi]\nusername = me\npassword = k3yb0ard-Cat\n",
            ),
            (
                "home/.docker/config.json",
                "{\"auths\": {\"r.test\": {\"auth\": \"k3yb0ard-Cat\"}}}",
            ),
            (".git-credentials", "https://me:k3yb0ard-Cat@git.test\n"),
            (
                "www/wp-config.php",
                "define( 'DB_PASSWORD', 'k3yb0ard-Cat' );\ndefine('DB_NAME', 'wordpress');\ndefine('AUTH_KEY', 'put your unique phrase here your_');",
            ),
            (".s3cfg", "access_key = a\nsecret_key = k3yb0ard-Cat\n"),
            (
                "sitemanager.xml",
                "<Server><User>a</User><Pass encoding=\"base64\">k3yb0ard-Cat</Pass></Server>",
            ),
            ("robo3t.json", "{\"userPassword\" : \"k3yb0ard-Cat\"}"),
            (
                "x/.idea/webServers.xml",
                "<fileTransfer host=\"h\" password=\"k3yb0ard-Cat\" port=\"22\"/>",
            ),
            (
                "etc/redis/redis.conf",
                "# requirepass foobared\nrequirepass k3yb0ard-Cat\n",
            ),
            ("postfix/sasl_passwd", "[mx.test]:587 me:k3yb0ard-Cat\n"),
            ("exim4/passwd.client", "mx.test:me:k3yb0ard-Cat\n"),
            (
                "haproxy.cfg",
                "userlist a\n  user me insecure-password k3yb0ard-Cat\n",
            ),
            (".my.cnf", "[client]\npassword=\"k3yb0ard-Cat\"\n"),
            (
                "chap-secrets",
                "# client server secret\nme * k3yb0ard-Cat *\n",
            ),
            (".curlrc", "user = \"me:k3yb0ard-Cat\"\n"),
            (
                "home/.kube/config",
                "users:\n- user:\n    token: k3yb0ard-Cat\n",
            ),
            (".gem/credentials", "---\n:rubygems_api_key: k3yb0ard-Cat\n"),
            (".vault-token", "k3yb0ard-Cat\n"),
        ] {
            assert_eq!(values(path, text), ["k3yb0ard-Cat"], "{path}");
        }
        let shadow = "root:$6$saltsalt$Vq8rK2mXw0ZfLs6uYt3nReJ7zQpB4dHc9TgW1xN5:19000:0:99999:7:::\ndaemon:*:1::\n";
        assert_eq!(values("etc/shadow", shadow).len(), 1);
        assert_eq!(
            values(
                ".htpasswd",
                "a:$apr1$x1$Vq8rK2mXw0ZfLs6uYt3nRe\nb:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"
            )
            .len(),
            2
        );
    }

    #[test]
    fn broken_files_are_read_without_fault() {
        for path in READERS.iter().flat_map(|reader| reader.names) {
            for text in [
                "",
                "\n",
                ":",
                "password",
                "password=",
                "\"auth\":",
                "<pass",
                "<pass>",
                "a:b:c:d:",
                "define('",
                "user a password",
                "://:@",
                "\"password\": \"",
            ] {
                let found = read(&path.replace('*', "x"), text.as_bytes());
                assert!(found.len() < 3, "{path}: {text}");
            }
        }
    }
}
