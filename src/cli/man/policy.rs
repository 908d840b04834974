//! hushpipe-policy(7): facts, annotations, and examples that a test runs.

use roff::{Roff, bold, roman};

use super::page::Page;
use super::text::{NO_DATE, ascii, see_also, unjustified, verbatim};

const RULES: [&str; 7] = [
    "The site of a host (hushpipe-site.yaml(5)) can name a directory of policies. hushpipe then decides on \
     each secret before it asks a store: at launch, at every rotation, at each hushpipe secret that reads or \
     changes values (get, set, generate, edit, cp, mv, rm, rollback, import, export, merge, rekey) and hushpipe add, at \
     check --values and scan --known, at init if it moves values into a store that is there, and at each \
     command to a running launcher. secret list, history and verify read no value, and are not judged; with --accept-store they are a change.",
    "Policies are written in Cedar (https://docs.cedarpolicy.com), in files *.cedar; entities.json says who \
     is in which role or group. The directory holds nothing else, belongs to root, and nobody else can \
     write to it. At most 1,000 files, 10,000 policies and 10 MiB are read.",
    "What no policy permits is denied. A forbid wins over every permit. An error while a policy is \
     evaluated, such as an overflow, denies. The order of policies does not matter. A condition is at most 160 \
     levels deep: a bracket is 4, and a chain of || or && one for each. Write long lists as \
     [\"a\", \"b\"].contains(resource.name).",
    "Policies are validated against a schema when they are loaded; `hushpipe policy schema` prints it. A \
     wrong name or type is an error, and nothing is started. If the directory changes, hushpipe reads it \
     again before the next decision; if it cannot be read then, the last good policies stay in force, \
     hushpipe reports it once, and `hushpipe status` is unhealthy until it can be read again.",
    "Policies that root's launches have checked are kept in /var/cache/hushpipe, under a digest of their \
     texts, and are neither parsed nor validated again. Launches by other users read what is there; without \
     it they are slower. Conditions that compare attributes with texts, such as resource.owner == \"payments\", \
     cost least when they come first.",
    "Text that is not known is empty, so no attribute needs `has`. Labels are tags: \
     resource.hasTag(\"pci\") && resource.getTag(\"pci\") == \"yes\". Those of the site are \
     context.site's.",
    "A policy binds where hushpipe has the credentials and the program does not: units of root, entrypoints, \
     run.user. Who can read the credentials can ask the store without hushpipe; the store's own policy is \
     for that.",
];

const LIMITS: [&str; 16] = [
    "A launcher reads policies again, and the site only when it starts: after a change of site.yaml, such as \
     from observe to enforce, restart what runs.",
    "Each decision reads the directory as it is at that moment. To change several files at once, write a new \
     directory, and have a symbolic link policy.d lead to it by one rename(2); to change one, rename a new file \
     into its place. A file that is being written may be empty, and an empty file forbids nothing.",
    "A signature of a manifest says nothing of where it lies and which version it is: a copy in another \
     directory is signed too, where relative paths lead elsewhere, and so is an older one. Write absolute \
     paths, and pin context.manifest.path and .sha256 where that matters; valid-before= of a signer ends old \
     ones.",
    "An approval at launch lifts the same policies at rotations and restarts while that launcher runs, \
     for the same secrets and as long as the policies stay as they are. It lifts nothing for commands.",
    "Approvals are for launches only: a command that only lacks an approval is denied.",
    "The groups of who sends a command to a running launcher are those that its process had when it \
     connected (SO_PEERGROUPS), and those in /etc/group. A group that /etc/group does not name, such as one \
     of LDAP, is its number. principal.interactive is false there.",
    "In a container with a cgroup namespace of its own (cgroup_namespaces(7)), context.unit, .container and \
     .pod are empty: a permit that wants them denies, and a forbid on them does not hold.",
    "An ordinary user who runs hushpipe can hide the site from it in a user namespace \
     (user_namespaces(7)), or run another program in its place. A site binds what root starts.",
    "On a host with policies, variables such as LD_PRELOAD, BASH_ENV or PYTHONPATH are not inherited unless \
     the manifest names them in run.env.inherit; hushpipe says which it left out. PATH, HOME, other \
     variables and standard input are the caller's; context.manifest.variables has a PATH that is not the \
     system's. A store's tool, and what on_rotate and verify run, are no facts: give them by whole paths.",
    "Where the site wants manifests signed, run -- CMD does not replace a signed run.command.",
    "The commands of on_rotate and verify are not judged: context.program is the service's program.",
    "What policies said when a launch asked for approvals does not count for long: hushpipe decides again once \
     it has them, and if policies changed while values were fetched, before it delivers them. A program that \
     runs keeps what it has until the next rotation.",
    "A script runs the programs that its PATH finds. context.program.pinned is false if others than root can \
     change a directory of that PATH, or an interpreter; set PATH in run.env.set if the caller's has such \
     directories. A binary that starts others by name is not looked at for that.",
    "--break-glass always writes a warning, whatever -q says, an alert (authpriv.alert) to the host's syslog if \
     there is one, and a record if the site has an audit log. A container often has no syslog.",
    "hushpipe secret with --store DIR reads no manifest: context.manifest.path is empty, and so are the \
     resource's owner, classification and labels. A site that wants signed manifests refuses it. `governed:` \
     of the site says for a store's directory, by whatever path it is reached, which classification and owner \
     count. Whoever copies, moves or hard-links files of a store elsewhere, or mounts an overlay of it, and can \
     open them, is bound by neither.",
    "What a manifest says of itself and its secrets (owner, classification, labels) binds only where manifests \
     are signed, or where root alone can write them.",
];

/// A fact, where it comes from, and who could make it say something else.
struct Source {
    names: &'static str,
    from: &'static str,
    liar: &'static str,
}

const SOURCES: [Source; 20] = [
    Source {
        names: "principal.name, .owner, .environment and labels of a Service",
        from: "the manifest; the environment is the site's, if it has one",
        liar: "Whoever can write the manifest, and whoever starts hushpipe where it has ${NAME} there. Pin \
               it by context.manifest, or let the site require signatures, and look at \
               context.manifest.variables.",
    },
    Source {
        names: "principal in Role::\"...\", in Group::\"...\"",
        from: "entities.json; for a Person the host's groups (group(5)) as well",
        liar: "Root, and whoever can write the policy directory or manages the host's groups.",
    },
    Source {
        names: "principal.name, .uid of a Person",
        from: "the real uid of the command, or SO_PEERCRED (unix(7)) of the other end of the control socket",
        liar: "Root; for a command, whoever can make a user namespace (user_namespaces(7)), where anybody is \
               uid 0: want context.in_host_namespaces for what root may.",
    },
    Source {
        names: "principal.interactive, context.terminal",
        from: "isatty(3) of standard input",
        liar: "The caller: script(1) makes a terminal. Good against accidents only.",
    },
    Source {
        names: "resource.name, .store, .store_type, .path, .classification, .owner, .environment and labels",
        from: "the manifest",
        liar: "Whoever can write the manifest, and whoever starts hushpipe where it has ${NAME} there. A \
               forbid on a classification is good against a manifest that \
               leaves it out only together with a permit that wants one, or with signed manifests. Where the \
               site has `governed:` for the store, .classification and .owner are the site's: root could lie, \
               and whoever can copy the store's files to another place.",
    },
    Source {
        names: "resource.age",
        from: "the store: seconds since the version was made that is to be delivered, by created_time of KV \
               version 2, or by the time of the file in a directory or sealed store, which a rekey makes new. \
               At least 1 where it is known; 9223372036854775807, older than anything, if it was made more than 5 \
               minutes in the future by the host's clock; 0 where the store does not say it and at commands, and for stores \
               elsewhere in check without --online and in policy explain. If a policy reads it, hushpipe asks the store for it before it decides (KV version 2: for metadata), and \
               decides again on what it fetched",
        liar: "Whoever can write to the store's directory; the server. Where it may be 0, forbid that as well.",
    },
    Source {
        names: "context.deliveries, .isolation, .mode",
        from: "the plan that hushpipe carries out. deliveries are file, fifo, fd, stdin, getenv and \
               credentials, those of the secret; isolation is private or shared, and empty for a secret that is in \
               no file, fifo or credentials; mode is supervise or exec",
        liar: "Root.",
    },
    Source {
        names: "context.occasion",
        from: "launch, rotation, or the command's name",
        liar: "Root.",
    },
    Source {
        names: "context.program.path, .sha256, .interpreter, .interpreter_sha256, .owner, .mode",
        from: "the descriptor of the file that is executed; mode is in octal, such as \"0755\". Of several \
               interpreters, .interpreter is the last, and .interpreter_sha256 is of the bytes of all in a row. \
               If others than root can change one, .interpreter, .owner and .mode are of the first such",
        liar: "Root. Libraries and configuration that the program reads are not part of it. Whoever starts \
               hushpipe chooses PATH, and so what env(1) finds: want .pinned or pin .interpreter_sha256.",
    },
    Source {
        names: "context.program.argv0",
        from: "the manifest, or run --argv0",
        liar: "Whoever starts hushpipe. Some programs do other things under another name.",
    },
    Source {
        names: "context.program.pinned",
        from: "whether these bytes are those that run: a sealed copy, fs-verity, or files that only root can \
               write; of a script, also whether only root can write its interpreters and the directories of \
               its PATH, and HOME is the one of its user in the host's database; and the manifest lets no \
               inherited variable such as LD_PRELOAD have the program run other code",
        liar: "Root. Variables that nobody knows here may have a program run other code as well: \
               run.env.inherit: none, or a list of names, is sure.",
    },
    Source {
        names: "context.arguments_sha256",
        from: "the arguments after the first, each followed by a NUL byte",
        liar: "Root. A secret in arguments counts as its placeholder.",
    },
    Source {
        names: "context.user, .uid",
        from: "run.user, else hushpipe's own user, by the host's database",
        liar: "Root; without run.user, whoever can make a user namespace.",
    },
    Source {
        names: "context.login_uid",
        from: "/proc/self/loginuid (audit(7)): who logged in, whatever su or sudo did since; -1 for services",
        liar: "Root. Empty of meaning where PAM does not set it.",
    },
    Source {
        names: "context.unit, .container, .pod",
        from: "hushpipe's own cgroup",
        liar: "Root; a user can choose the names of units of the own user manager.",
    },
    Source {
        names: "context.host, .environment, .site",
        from: "uname(2), and the site; the environment is the manifest's where the site has none",
        liar: "Root; without the site's environment, whoever can write the manifest.",
    },
    Source {
        names: "context.in_host_namespaces",
        from: "/proc/self/ns: whether hushpipe is in the kernel's first user, UTS, PID and cgroup namespaces \
               (namespaces(7)). It is false in a container",
        liar: "Root. If it is false, whoever made the namespaces chose context.host, and hides .unit and \
               .container: where policies go by those, forbid what is not in the host's namespaces.",
    },
    Source {
        names: "context.manifest.path, .sha256, .signed_by",
        from: "the manifest's bytes as they were read, and its checked signature",
        liar: "Nobody without the signer's key. They say nothing of ${NAME} in it.",
    },
    Source {
        names: "context.manifest.variables, .variables_sha256",
        from: "the variables of hushpipe's environment that the launch depends on. Those in ${NAME}, also \
               where they are not set. Of these, those that are set: HOME for ~; those of run.env.inherit that \
               have programs run other code; with a vault store, or http in on_rotate or verify, what it \
               leaves out (VAULT_ADDR and the like), HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY in \
               capitals or not, and SSL_CERT_FILE and SSL_CERT_DIR without ca_file; with a sealed store, HUSHPIPE_STATE_DIRECTORY, XDG_STATE_HOME and the option \
               --accept-store; with a command store, its \
               env, HOME, USER, XDG_CONFIG_HOME and XDG_RUNTIME_DIR, unless it runs [/usr/bin/env, -i, ...]; \
               PATH, if the program or such a store gets it and it has other directories than \
               /usr/local/sbin, /usr/local/bin, /usr/sbin, /usr/bin, /sbin, /bin and /snap/bin. The digest is \
               of NAME=VALUE and a NUL byte each, sorted by name",
        liar: "Whoever starts hushpipe chooses the values. Forbid it \
               unless context.manifest.variables.isEmpty(), or pin the digest; `manifests: { variables: refuse }` of \
               the site refuses each signed manifest that has some.",
    },
    Source {
        names: "context.time.hour, .weekday, .unix",
        from: "the host's clock and /etc/localtime, never TZ; UTC without it. Weekday 1 is Monday",
        liar: "Root, and the host's time servers.",
    },
];

const CHOSEN: &str = "The caller chooses context.reason (--reason TEXT) and context.break_glass (--break-glass \
     TEXT). They are for the record, and for policies that want them.";

const ANNOTATIONS: [(&str, &str); 4] = [
    (
        "@id(\"NAME\")",
        "The name of the policy in refusals and in the record. Default: file and line.",
    ),
    (
        "@approval(\"N of GROUP within DURATION\")",
        "On a forbid: N valid approvals by distinct members of GROUP lift it, none of them the requester's \
         and none older than DURATION. See `hushpipe approve`.",
    ),
    (
        "@reason(\"TEXT\")",
        "On a forbid: a reason lifts it. TEXT, if there is any, is shown to whoever has to give one.",
    ),
    (
        "@on_rotation(\"stop\")",
        "On a forbid: if it denies a rotation, hushpipe stops the program. Otherwise the program keeps the \
         secrets that it has.",
    ),
];

/// Run by a test, with [`CASES`].
const POLICIES: &str = r#"// Teams deliver what they own.
@id("own-secrets")
permit (principal, action == Action::"deliver", resource)
when { resource.owner == principal.owner && resource.classification != "" };

// Restricted secrets in production need two colleagues, and private files.
@id("restricted-production-needs-two")
@approval("2 of sre within 8h")
forbid (principal, action == Action::"deliver", resource)
when { resource.classification == "restricted" && context.environment == "production" };

@id("restricted-in-private")
forbid (principal, action == Action::"deliver", resource)
when { resource.classification == "restricted" && context.isolation != "private" };

// Operators control launchers. Who reveals says why, and does it during the day, but in an emergency.
@id("operators")
permit (principal in Group::"sre", action, resource);

@id("reveal-needs-a-reason")
@reason("a ticket, such as INC-123")
forbid (principal, action == Action::"reveal", resource);

@id("reveal-by-day")
forbid (principal, action == Action::"reveal", resource)
unless { context.break_glass || context.time.hour >= 8 && context.time.hour < 18 };"#;

const ENTITIES: &str = r#"[
  { "uid": { "type": "Person", "id": "ann" }, "parents": [{ "type": "Group", "id": "sre" }] },
  { "uid": { "type": "Person", "id": "bob" }, "parents": [{ "type": "Group", "id": "sre" }] }
]"#;

const CASES: &str = r"defaults:
  principal: { name: billing, owner: payments }
  resource: { name: db, owner: payments, classification: restricted }
  context: { environment: production, isolation: private }
cases:
  - name: two colleagues are needed
    query: {}
    decision: pending
    policies: [restricted-production-needs-two]
  - name: nowhere but in private
    query: { context: { isolation: shared } }
    decision: deny
  - name: another team's secret
    query: { resource: { owner: search } }
    decision: deny
    policies: []
    reason: no policy permits it
  - name: a staging host
    query: { context: { environment: staging } }
    decision: allow
    policies: [own-secrets]
  - name: revealed by day without a reason
    query:
      principal: { type: Person, name: ann, owner: null }
      action: reveal
      context: { time: { hour: 9 } }
    decision: pending
    policies: [reveal-needs-a-reason]
    reason: a ticket
  - name: revealed at night
    query:
      principal: { type: Person, name: ann, owner: null }
      action: reveal
      context: { time: { hour: 3 }, reason: INC-7 }
    decision: deny
  - name: revealed at night in an emergency
    query:
      principal: { type: Person, name: ann, owner: null }
      action: reveal
      context: { time: { hour: 3 }, reason: INC-7, break_glass: true }
    decision: allow
    policies: [operators]";

/// Run by a test, word for word.
const WALK: &str = r#"umask 022
apt-get install -y ./hushpipe_*.deb openssh-client

# The policy: a team's services get its secrets; restricted ones once two of sre approved.
mkdir -p /etc/hushpipe/policy.d
cat > /etc/hushpipe/policy.d/main.cedar <<'END'
@id("own-secrets")
permit (principal, action == Action::"deliver", resource)
when { resource.owner == principal.owner };

@id("restricted-needs-two")
@approval("2 of sre within 8h")
forbid (principal, action == Action::"deliver", resource)
when { resource.classification == "restricted" };
END
cat > /etc/hushpipe/policy.d/entities.json <<'END'
[
  { "uid": { "type": "Person", "id": "ann" }, "parents": [{ "type": "Group", "id": "sre" }] },
  { "uid": { "type": "Person", "id": "bob" }, "parents": [{ "type": "Group", "id": "sre" }] }
]
END
hushpipe policy check /etc/hushpipe/policy.d

# Two colleagues, each with a key of their own.
for name in ann bob; do
    useradd --create-home "$name"
    su "$name" -c 'mkdir -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N "" -f ~/.ssh/id_ed25519'
    echo "$name namespaces=\"approval@hushpipe\" $(cat "/home/$name/.ssh/id_ed25519.pub")"
done > /etc/hushpipe/approvers

# A service with a restricted secret.
mkdir -p /srv/billing/secrets && cd /srv/billing && chmod 0700 secrets
printf s3cret > secrets/db
cat > hushpipe.yaml <<'END'
version: 1
service: billing
owner: payments
stores: { files: { type: directory, path: ./secrets } }
secrets: { db: { store: files, key: db, classification: restricted } }
deliver: [{ file: /run/billing/db, secret: db }]
run: { command: [cat, /run/billing/db] }
END

# From here on every launch on this host is held to the policy.
cat > /etc/hushpipe/site.yaml <<'END'
version: 1
environment: production
policy: { directory: /etc/hushpipe/policy.d }
approvals: { signers: /etc/hushpipe/approvers }
END
hushpipe run || echo "exit code $?"           # 77: nothing is delivered, and a request is written

# Ask with a reason, and have both look at it and approve.
id=$(hushpipe --quiet approval request --reason 'first start')
hushpipe approval show "$id"
su ann -c "hushpipe approve $id --yes"
su bob -c "hushpipe approve $id --yes"
hushpipe run                                  # the value, once: the next start needs approvals again"#;

/// The page.
pub(super) fn page() -> Page {
    let mut roff = Roff::new();
    let source = concat!("hushpipe ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["hushpipe-policy", "7", NO_DATE, source, "hushpipe"]);
    unjustified(&mut roff);
    roff.control("SH", ["NAME"]);
    roff.text([roman(
        "hushpipe-policy - who may have which secret: policies, their facts and annotations",
    )]);
    roff.control("SH", ["DESCRIPTION"]);
    for rule in RULES {
        roff.control("PP", []);
        roff.text([roman(rule)]);
    }
    roff.control("SH", ["FACTS"]);
    for source in SOURCES {
        roff.control("TP", []);
        roff.text([bold(source.names)]);
        roff.text([roman(format!("From {}.", source.from))]);
        roff.control("br", []);
        roff.text([roman(format!("Who could lie: {}", source.liar))]);
    }
    roff.control("PP", []);
    roff.text([roman(CHOSEN)]);
    roff.control("SH", ["LIMITS"]);
    for limit in LIMITS {
        roff.control("PP", []);
        roff.text([roman(limit)]);
    }
    roff.control("SH", ["ANNOTATIONS"]);
    for (name, about) in ANNOTATIONS {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(about)]);
    }
    for (heading, text) in [
        ("POLICIES", POLICIES),
        ("ENTITIES", ENTITIES),
        ("CASES", CASES),
    ] {
        roff.control("SH", [heading]);
        if heading == "CASES" {
            roff.text([roman("For hushpipe policy test, of the policies above:")]);
        }
        verbatim(&mut roff, text.lines());
    }
    roff.control("SH", ["TWO APPROVALS IN TEN MINUTES"]);
    roff.text([roman("On a Debian host, as root:")]);
    verbatim(&mut roff, WALK.lines());
    see_also(
        &mut roff,
        &[
            ("hushpipe", 1),
            ("hushpipe-policy", 1),
            ("hushpipe-approval", 7),
            ("hushpipe.yaml", 5),
            ("hushpipe-site.yaml", 5),
        ],
    );
    Page {
        name: "hushpipe-policy".to_owned(),
        section: 7,
        roff: ascii(&roff.to_roff()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::app::policies::{PolicyDirectory, cases, schema_text};
    use crate::manifest::document;

    #[test]
    fn the_examples_do_what_their_cases_say() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        fs::write(directory.path().join("main.cedar"), POLICIES).expect("it can be written");
        fs::write(directory.path().join("entities.json"), ENTITIES).expect("it can be written");
        let opened = PolicyDirectory::open(directory.path());
        let opened = opened.unwrap_or_else(|failures| panic!("{}", failures[0].error));
        let document = document(Path::new("cases.yaml"), CASES);
        let document = document.unwrap_or_else(|error| panic!("{}", error.text()));
        let cases = cases(document).unwrap_or_else(|errors| panic!("{errors:?}"));
        assert_eq!(cases.len(), 7);
        for case in cases {
            assert_eq!(
                case.check(opened.policies()),
                Vec::<String>::new(),
                "{}",
                case.name
            );
        }
    }

    #[test]
    fn every_attribute_of_the_schema_has_its_source() {
        let said: String = SOURCES.iter().map(|source| source.names).collect();
        let said = format!("{said} {CHOSEN}");
        let attributes = schema_text().lines().filter_map(|line| {
            let (name, _) = line.strip_prefix("  ")?.split_once(": ")?;
            Some(name)
        });
        let missing: Vec<&str> = attributes.filter(|name| !said.contains(name)).collect();
        assert_eq!(missing, Vec::<&str>::new());
    }
}
