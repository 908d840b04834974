//! hushpipe-approval(7): who approves what, who can write where, and what is trusted.

use roff::{Roff, roman};

use super::page::Page;
use super::text::{NO_DATE, ascii, item, paragraphs, see_also, unjustified, verbatim};

const WHAT: [&str; 8] = [
    "A policy with @approval(\"2 of sre within 8h\") forbids until two people of the group sre approved the \
     launch. The launch writes a request into the site's approvals.directory, reports its id, and waits for \
     as long as approvals.wait says; then it ends with 77. The request stays: the next start of the same \
     launch finds it, with the approvals that it has by then. `hushpipe approval request` writes one ahead of \
     the launch, for as many launches (--uses) and as long (--expires) as it says.",
    "A request is good for one launch and no other: it names service, host, environment and user; the reason, \
     if the launch gives one, and whether it is an emergency (--break-glass); the \
     manifest's path, digest and signer; the program and its interpreter with their digests, argv[0], all \
     arguments, and the working directory; mode and isolation; each secret with its store and deliveries; and \
     the digest of all policies. It names the variables of hushpipe's environment that the launch depends on, \
     with a digest of their values: those of the manifest's ${NAME}, those that it leaves out for the \
     environment to say, those such as LD_PRELOAD that run.env.inherit names, proxies and authorities of \
     requests over the network, where a store's tool finds its files (HOME), and a PATH that is not the \
     system's. context.manifest.variables in hushpipe-policy(7) has all of them.",
    "A unit starts in / (WorkingDirectory=), with RUNTIME_DIRECTORY= and PATH= of its own: request its start as it \
     will be, such as by systemd-run -p WorkingDirectory=/ -p RuntimeDirectory=billing -P hushpipe approval \
     request -m /etc/hushpipe/billing.yaml. A launch that misses a signed request by little says in what.",
    "An approval is a signature of the request's file by OpenSSH (ssh-keygen -Y, namespace \
     approval@hushpipe). Whose count, approvals.signers says: a file of allowed signers, see ssh-keygen(1). The \
     principal there is the person; policy's groups are those of entities.json and the host's unix groups. Keys \
     are ssh-ed25519, ecdsa-sha2-nistp256 and -nistp384, RSA of 3072 to 8192 bits, and keys in hardware (sk-*), \
     which must have been touched; certificates count by a cert-authority line. ecdsa-sha2-nistp521 is refused.",
    "One person with several names or keys counts once: names that share a key are one person, and so are \
     alice and alice@example.com. Two names with two keys are two people, whoever holds them: approvals.signers \
     has to be right about that. Nobody approves their own request: not who is named in it, nor who starts the \
     launch.",
    "An approval that a launch used holds for its rotations and restarts while it runs, for the same secrets \
     and as long as the policies do not change; after that they need approvals of their own. It lifts nothing \
     for commands.",
    "A signature has no time, so an approval is as old as its request. An approval that was seen expired once \
     stays expired, and one that was used at a later time than the clock has now does not count.",
    "Requests are kept for 30 days after they expired. hushpipe removes older ones before it writes another, and \
     `hushpipe approval prune` on request: each user's own, and root all.",
];

const WHERE: [(&str, &str); 5] = [
    (
        "approvals.signers",
        "Only root may write it, and it decides whose signatures count. Each line must be right, or none counts.",
    ),
    (
        "DIRECTORY",
        "Of root, 0755, or of the user whose launches need approvals. hushpipe makes it; where users launch \
         before root does, root makes it: install -d DIRECTORY; install -d -m 1777 DIRECTORY/requests \
         DIRECTORY/uses.",
    ),
    (
        "DIRECTORY/requests",
        "Sticky (1777): everybody may add files and nobody can change those of others. chgrp and chmod 1770 let a \
         group alone add them. ID.json is a request, and counts for launches of the user whose file it is. \
         ID.json.sig and ID.json.NAME.sig (`hushpipe approve`: the user and the start of the key's fingerprint) are signatures: whoever put them there, they count if they verify. \
         Anything else is passed over, and so are more than 64 signatures of one request by one user.",
    ),
    (
        "DIRECTORY/uses/UID",
        "0700, of the user whose launches they are: one file for each request, one line for each use, on the disk \
         before anything is delivered. A line that a crash cut short counts as a use. Removing the file gives the \
         uses back: uses bind launches of root, and of users whom nobody logs in as. `pruned` says up to when \
         records were removed.",
    ),
    (
        "hushpipe.yaml.sig",
        "A manifest's signature (namespace manifest@hushpipe), where the site has manifests.signers. The bytes that \
         are verified are those that are read. Missing, foreign or stale: 77.",
    ),
];

const LIMITS: [&str; 4] = [
    "Approvals are for launches only: a command to a running launcher, or on a sealed store, that only lacks \
     an approval is refused.",
    "HOME and other variables of the caller that only the program inherits are not part of a request, nor is \
     its standard input. `run.env.inherit: none` takes them out.",
    "Groups of those who approve are the host's, by its whole user database. Groups of who sends a command to \
     a running launcher are those in /etc/group only: the launcher has confined itself and starts no \
     getent(1).",
    "A manifest's words on itself (service, owner, classification) bind only where manifests are signed, or \
     where root alone can write them.",
];

const FORM: &str = "A request is one line of JSON: the keys of each object in the order of their bytes, no blanks, \
     lists sorted, strings with no more escapes than JSON demands, a newline at the end. hushpipe reads no other \
     form, at most 256 KiB, and no unknown keys.";

const EXAMPLE: &str = "\
# /etc/hushpipe/site.yaml
approvals:
  signers: /etc/hushpipe/approvers
  directory: /var/lib/hushpipe/approvals
  wait: 10m

# /etc/hushpipe/approvers
alice@example.com namespaces=\"approval@hushpipe\" ssh-ed25519 AAAA...
*@example.com cert-authority,valid-before=\"20280101Z\" ssh-ed25519 AAAA...

# ahead of a launch, as the user who will launch
$ hushpipe approval request -m /etc/hushpipe/billing.yaml --reason INC-123 --uses 3 --expires 4h

# alice, on the host
$ hushpipe approval list
$ hushpipe approve 3f2a

# the same by hand, and checked
$ ssh-keygen -Y sign -n approval@hushpipe -f ~/.ssh/id_ed25519 ID.json
$ ssh-keygen -Y verify -f /etc/hushpipe/approvers -I alice@example.com \\
    -n approval@hushpipe -s ID.json.sig < ID.json";

/// The page.
pub(super) fn page() -> Page {
    let mut roff = Roff::new();
    let source = concat!("hushpipe ", env!("CARGO_PKG_VERSION"));
    roff.control(
        "TH",
        ["hushpipe-approval", "7", NO_DATE, source, "hushpipe"],
    );
    unjustified(&mut roff);
    roff.control("SH", ["NAME"]);
    roff.text([roman(
        "hushpipe-approval - launches that people approve, and who is trusted with what",
    )]);
    roff.control("SH", ["DESCRIPTION"]);
    paragraphs(&mut roff, &WHAT);
    roff.control("SH", ["WHO CAN WRITE WHERE"]);
    for (place, about) in WHERE {
        item(&mut roff, place, about);
    }
    roff.control("SH", ["LIMITS"]);
    paragraphs(&mut roff, &LIMITS);
    roff.control("SH", ["FORMAT"]);
    roff.text([roman(FORM)]);
    roff.control("SH", ["EXAMPLES"]);
    verbatim(&mut roff, EXAMPLE.lines());
    let pages = [
        ("hushpipe-approve", 1),
        ("hushpipe-approval", 1),
        ("hushpipe-manifest", 1),
        ("ssh-keygen", 1),
    ];
    see_also(&mut roff, &pages);
    Page {
        name: "hushpipe-approval".to_owned(),
        section: 7,
        roff: ascii(&roff.to_roff()),
    }
}
