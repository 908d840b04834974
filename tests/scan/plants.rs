//! Secrets and decoys in the places where people have them, made anew by a seed: each in a file of its own, so
//! that a finding is right or wrong by its path.

use std::fmt::Write as _;

/// A file with a secret in it, or with something that looks like one.
pub struct Plant {
    /// Its path in the tree.
    pub path: String,
    /// What is in it.
    pub text: String,
    /// Whether there is a secret in it.
    pub is_secret: bool,
}

/// xorshift64*: the same seed, the same plants.
pub struct Random(u64);

impl Random {
    /// By a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, most: usize) -> usize {
        ((self.next() >> 33) as usize) % most
    }

    fn of(&mut self, alphabet: &str, length: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..length)
            .map(|_| letters[self.below(letters.len())])
            .collect()
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const HEX: &str = "0123456789abcdef";

/// Words of passwords that people make.
const WORDS: [&str; 20] = [
    "sunny", "Tiger", "copper", "Window", "river", "Falcon", "garden", "Marble", "coffee",
    "Planet", "silver", "Ocean", "winter", "Dragon", "purple", "Hammer", "forest", "Candle",
    "bridge", "Rocket",
];

/// What a name for a secret is, in settings.
const NAMES: [&str; 12] = [
    "DB_PASSWORD",
    "POSTGRES_PASSWORD",
    "API_KEY",
    "SECRET_KEY",
    "JWT_SECRET",
    "SMTP_PASSWORD",
    "AUTH_TOKEN",
    "REDIS_PASSWORD",
    "ENCRYPTION_KEY",
    "ADMIN_PASSWORD",
    "CLIENT_SECRET",
    "ACCESS_TOKEN",
];

/// A password: of a generator, of a person, hexadecimal or base62.
fn password(random: &mut Random) -> String {
    match random.below(4) {
        0 => random.of(&format!("{BASE62}!-_"), 16) + "7a",
        1 => {
            format!(
                "{}{}{}{}",
                random.pick(&WORDS),
                random.pick(&["-", "!", "_", "."]),
                random.pick(&WORDS),
                10 + random.below(9900)
            ) + "!"
        }
        2 => random.of(HEX, 32),
        _ => format!("{}{}", random.of(BASE62, 23), random.below(10)),
    }
}

/// CRC-32 (ITU-T V.42), in base62: as GitHub and npm put it behind 30 characters.
fn with_checksum(prefix: &str, random: &mut Random) -> String {
    let body = random.of(BASE62, 30);
    let mut crc = u32::MAX;
    for byte in body.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    let mut number = !crc;
    let letters: Vec<char> = BASE62.chars().collect();
    let mut check = Vec::new();
    for _ in 0..6 {
        check.push(letters[(number % 62) as usize]);
        number /= 62;
    }
    format!("{prefix}{body}{}", check.iter().rev().collect::<String>())
}

/// A token of a vendor.
fn token(random: &mut Random) -> String {
    match random.below(16) {
        0 => with_checksum("ghp_", random),
        1 => with_checksum("npm_", random),
        2 => with_checksum("ghs_", random),
        3 => format!(
            "xoxb-{}-{}",
            random.of("123456789", 12),
            random.of(BASE62, 24)
        ),
        4 => format!("sk_live_{}", random.of(BASE62, 24)),
        5 => format!("AKIA{}", random.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        6 => format!("AIza{}", random.of(BASE62, 35)),
        7 => format!("glpat-{}", random.of(BASE62, 20)),
        8 => format!("hvs.{}", random.of(BASE62, 90)),
        9 => format!("dop_v1_{}", random.of(HEX, 64)),
        10 => format!("SG.{}.{}", random.of(BASE62, 22), random.of(BASE62, 43)),
        11 => format!("shpat_{}", random.of(HEX, 32)),
        12 => format!("GOCSPX-{}", random.of(BASE62, 28)),
        13 => format!("dckr_pat_{}", random.of(BASE62, 27)),
        14 => format!("{}:AA{}", random.of("123456789", 9), random.of(BASE62, 33)),
        _ => format!(
            "hf_{}",
            random.of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 34)
        ),
    }
}

fn pem(random: &mut Random) -> String {
    let lines: Vec<String> = (0..6).map(|_| random.of(BASE64, 64)).collect();
    let kind = random.pick(&["", "RSA ", "EC ", "OPENSSH "]);
    format!(
        "-----BEGIN {kind}PRIVATE KEY-----\n{}\n-----END {kind}PRIVATE KEY-----\n",
        lines.join("\n")
    )
}

/// Base64 (RFC 4648).
fn encoded(text: &str) -> String {
    let letters: Vec<char> = BASE64.chars().collect();
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let group = chunk
            .iter()
            .fold(0_u32, |all, byte| all << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = letters[(group >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { letter } else { '=' });
        }
    }
    out
}

/// Paths, and what is written there around `{n}`, a name, and `{v}`, a password.
const PLACES: [(&str, &str); 50] = [
    (".env", "# settings\nPORT=8080\n{n}={v}\nDEBUG=false\n"),
    (".env.production", "export {n}=\"{v}\"\n"),
    (
        "config/settings.ini",
        "[database]\nhost = db\npassword = {v}\n",
    ),
    ("config/app.yaml", "db:\n  host: db\n  password: {v}\n"),
    ("config/app.toml", "[mail]\nsmtp_password = \"{v}\"\n"),
    (
        "config/app.json",
        "{\n  \"host\": \"db\",\n  \"clientSecret\": \"{v}\"\n}\n",
    ),
    (
        "src/main/resources/application.properties",
        "spring.datasource.username=app\nspring.datasource.password={v}\n",
    ),
    (
        "web.config",
        "<configuration><appSettings>\n<add key=\"ApiKey\" value=\"{v}\"/>\n</appSettings></configuration>\n",
    ),
    (
        "config.xml",
        "<server><user>app</user><password>{v}</password></server>\n",
    ),
    (
        "compose.yaml",
        "services:\n  db:\n    image: postgres\n    environment:\n      {n}: {v}\n",
    ),
    (
        "docker-compose.yml",
        "services:\n  db:\n    environment:\n      - {n}={v}\n",
    ),
    ("Dockerfile", "FROM debian\nENV {n}={v}\nCMD [\"app\"]\n"),
    (
        "deploy/deployment.yaml",
        "kind: Deployment\nspec:\n  containers:\n  - env:\n    - name: {n}\n      value: \"{v}\"\n",
    ),
    (
        "deploy/secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\nstringData:\n  password: {v}\n",
    ),
    (
        ".github/workflows/ci.yml",
        "jobs:\n  test:\n    env:\n      {n}: {v}\n    steps: []\n",
    ),
    (".gitlab-ci.yml", "variables:\n  {n}: \"{v}\"\n"),
    ("Jenkinsfile.groovy", "environment {\n  {n} = '{v}'\n}\n"),
    (
        ".circleci/config.yml",
        "jobs:\n  build:\n    environment:\n      {n}: {v}\n",
    ),
    (
        "etc/systemd/system/app.service",
        "[Service]\nEnvironment={n}={v}\nExecStart=/usr/bin/app\n",
    ),
    (
        "etc/systemd/system/app.service.d/10.conf",
        "[Service]\nEnvironment=\"{n}={v}\"\n",
    ),
    ("etc/default/app", "{n}='{v}'\n"),
    ("home/.bash_history", "ls\nexport {n}={v}\ncd\n"),
    (
        "home/.zsh_history",
        ": 1700000000:0;mysql -u root -p{v} app\n",
    ),
    ("root/.bash_history", "cd /srv\nsshpass -p {v} ssh me@db\n"),
    ("home/.profile", "export {n}={v}\n"),
    ("home/.netrc", "machine x.internal login app password {v}\n"),
    ("home/.pgpass", "db:5432:app:app:{v}\n"),
    ("home/.npmrc", "//r.internal/:_authToken={v}\n"),
    ("home/.pypirc", "[pypi]\nusername = app\npassword = {v}\n"),
    ("home/.git-credentials", "https://app:{v}@git.internal\n"),
    ("home/.my.cnf", "[client]\nuser=app\npassword={v}\n"),
    (
        "home/.s3cfg",
        "[default]\naccess_key = x\nsecret_key = {v}\n",
    ),
    (
        "home/.aws/credentials",
        "[default]\naws_secret_access_key = {v}\n",
    ),
    (
        "www/wp-config.php",
        "<?php\ndefine( 'DB_NAME', 'wp' );\ndefine( 'DB_PASSWORD', '{v}' );\n",
    ),
    (
        "sitemanager.xml",
        "<Servers><Server><User>a</User><Pass>{v}</Pass></Server></Servers>\n",
    ),
    (
        ".idea/webServers.xml",
        "<fileTransfer host=\"h\" port=\"22\" password=\"{v}\"/>\n",
    ),
    (
        "robo3t.json",
        "{ \"userName\" : \"a\", \"userPassword\" : \"{v}\" }\n",
    ),
    ("etc/redis/redis.conf", "port 6379\nrequirepass {v}\n"),
    ("etc/postfix/sasl_passwd", "[mx.internal]:587 app:{v}\n"),
    (
        "etc/haproxy/haproxy.cfg",
        "userlist a\n  user app insecure-password {v}\n",
    ),
    ("db/dump.sql", "CREATE USER app IDENTIFIED BY '{v}';\n"),
    ("db/roles.sql", "ALTER ROLE app WITH PASSWORD '{v}';\n"),
    ("src/app.py", "import os\nDB_PASSWORD = \"{v}\"\n"),
    (
        "src/app.js",
        "const apiKey = '{v}';\nmodule.exports = { apiKey };\n",
    ),
    (
        "src/App.java",
        "class App {\n  private static final String PASSWORD = \"{v}\";\n}\n",
    ),
    ("src/app.go", "package main\n\nvar clientSecret = \"{v}\"\n"),
    (
        "src/db.rs",
        "const URL: &str = \"postgres://app:{v}@db.internal/app\";\n",
    ),
    (
        "src/Db.java",
        "String url = \"jdbc:mysql://db/app?user=app&password={v}\";\n",
    ),
    (
        "terraform/main.tf",
        "resource \"db\" \"a\" {\n  password = \"{v}\"\n}\n",
    ),
    (
        "scripts/deploy.sh",
        "#!/bin/sh\ncurl -u app:{v} https://x.internal/deploy\n",
    ),
];

/// The same places with what is no secret.
const DECOYS: [&str; 26] = [
    "changeme",
    "${DB_PASSWORD}",
    "{{ .Values.password }}",
    "<your-password>",
    "your_password_here",
    "xxxxxxxxxxxx",
    "********",
    "$DB_PASSWORD",
    "password",
    "example-password",
    "null",
    "true",
    "/run/secrets/db_password",
    "vault:secret/data/app#password",
    "CHANGE_ME_PLEASE",
    "op://vault/db/password",
    "%DB_PASSWORD%",
    "postgres",
    "$(cat /run/secrets/db)",
    "aaaaaaaaaaaaaaaa",
    "placeholder",
    "@DB_PASSWORD@",
    "dummy-value",
    "secret",
    "not-a-real-secret",
    "1234567890",
];

/// Files that look as if they had secrets.
const HARMLESS: [(&str, &str); 24] = [
    (
        "package-lock.json",
        "{\"integrity\": \"sha512-{b}==\", \"resolved\": \"https://r.internal/a.tgz\"}\n",
    ),
    (
        "Cargo.lock",
        "[[package]]\nname = \"a\"\nchecksum = \"{h}\"\n",
    ),
    ("go.sum", "example.com/a v1.0.0 h1:{b}=\n"),
    ("src/ids.py", "REQUEST_ID = \"{u}\"\n"),
    ("src/digest.rs", "const SHA256: &str = \"{h}\";\n"),
    (
        "keys/id.pub",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{b} me@host\n",
    ),
    (
        "tls/cert.pem",
        "-----BEGIN CERTIFICATE-----\n{b}\n{b}\n-----END CERTIFICATE-----\n",
    ),
    (
        "tls/key.txt",
        "-----BEGIN PUBLIC KEY-----\n{b}\n-----END PUBLIC KEY-----\n",
    ),
    (
        "src/form.js",
        "const passwordField = document.getElementById('password-field-2');\n",
    ),
    (
        "src/check.py",
        "if password == \"{p}\":\n    raise ValueError\n",
    ),
    (
        "src/token.rs",
        "let token_type = \"Bearer2\";\nlet token = Token2::parse(input)?;\n",
    ),
    (
        "config/i18n.yaml",
        "password_label: Your password\nforgot_password: Forgot your password?\n",
    ),
    (
        "config/names.yaml",
        "secretName: app-db-credentials-2\ntokenUrl: https://x.internal/token\n",
    ),
    (
        "deploy/ref.yaml",
        "env:\n- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef:\n      name: db\n      key: password\n",
    ),
    (
        "compose.yaml",
        "services:\n  db:\n    environment:\n      POSTGRES_PASSWORD_FILE: /run/secrets/db\n",
    ),
    (
        "docs/usage.md",
        "Set `API_KEY=<your key>` and call `login(token)`. A commit: {g}.\n",
    ),
    (
        "docs/url.md",
        "Use postgres://user:password@localhost/db or https://user:pass@example.com/.\n",
    ),
    (
        "style.css",
        "a { background: url(data:image/png;base64,{b}); }\n",
    ),
    (
        "src/image.ts",
        "export const logo = \"data:image/png;base64,{b}\";\n",
    ),
    ("src/uuid.java", "String tokenId = \"{u}\";\n"),
    (
        "db/schema.sql",
        "CREATE TABLE users (password VARCHAR(255) NOT NULL, token CHAR(64));\n",
    ),
    ("Makefile.mk", "COMMIT := {g}\nKEY_FILE := keys/app.pub\n"),
    (
        "notes.txt",
        "The token ghp_{b} has no checksum that fits, and AKIAIOSFODNN7EXAMPLE is from a manual.\n",
    ),
    (
        "home/.bash_history",
        "mysql -u root -p app\nssh me@db1\nexport PATH=$PATH:/opt/bin2\ncurl -u \"$USER:$PASS\" https://x\n",
    ),
];

/// So many files with a secret, and as many without.
pub fn plants(seed: u64, each: usize) -> Vec<Plant> {
    let mut random = Random::new(seed);
    let mut all = Vec::with_capacity(2 * each);
    for number in 0..each {
        let (path, text) = secret(number, &mut random);
        all.push(Plant {
            path: format!("s{number}/{path}"),
            text,
            is_secret: true,
        });
        let (path, text) = decoy(number, &mut random);
        all.push(Plant {
            path: format!("d{number}/{path}"),
            text,
            is_secret: false,
        });
    }
    all
}

fn secret(number: usize, random: &mut Random) -> (String, String) {
    match number % 5 {
        // A token of a vendor, in text, code or settings.
        3 => {
            let token = token(random);
            let (path, before, after) = [
                ("notes.md", "it is ", " here"),
                ("src/a.ts", "const t = \"", "\";"),
                ("a.yaml", "value: ", ""),
                ("log.txt", "sent ", "\n"),
            ][random.below(4)];
            (path.to_owned(), format!("{before}{token}{after}\n"))
        }
        4 if number % 10 == 9 => match random.below(3) {
            0 => ("keys/server.key".to_owned(), pem(random)),
            1 => (
                "sa.json".to_owned(),
                format!(
                    "{{\"private_key\": \"{}\"}}\n",
                    pem(random).replace('\n', "\\n")
                ),
            ),
            _ => {
                let value = encoded(&password(random));
                (
                    "k8s/secret.yml".to_owned(),
                    format!("apiVersion: v1\nkind: Secret\ndata:\n  token: {value}\n"),
                )
            }
        },
        _ => {
            let (path, text) = PLACES[random.below(PLACES.len())];
            // A slash or an at sign ends a password in an address, and a colon one in a line of fields.
            let value = password(random);
            (
                path.to_owned(),
                text.replace("{n}", random.pick(&NAMES))
                    .replace("{v}", &value),
            )
        }
    }
}

fn decoy(number: usize, random: &mut Random) -> (String, String) {
    if number.is_multiple_of(2) {
        let (path, text) = PLACES[random.below(PLACES.len())];
        return (
            path.to_owned(),
            text.replace("{n}", random.pick(&NAMES))
                .replace("{v}", random.pick(&DECOYS)),
        );
    }
    let (path, text) = HARMLESS[random.below(HARMLESS.len())];
    let mut uuid = String::new();
    for (index, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        write!(
            uuid,
            "{}{}",
            if index > 0 { "-" } else { "" },
            random.of(HEX, length)
        )
        .expect("writing to a String does not fail");
    }
    let text = text
        .replace("{b}", &random.of(BASE64, 43))
        .replace("{h}", &random.of(HEX, 64))
        .replace("{g}", &random.of(HEX, 40))
        .replace("{p}", &password(random))
        .replace("{u}", &uuid);
    let upper = random.of(UPPER, 1);
    (path.to_owned(), text + "# " + &upper + "\n")
}
