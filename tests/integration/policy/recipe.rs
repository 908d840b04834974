//! The recipe of hushpipe-policy(7), word for word, in a mount namespace with users and places of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::harness::Place;

/// A section's lines as they are printed, from the page's roff.
fn section(page: &str, heading: &str) -> String {
    let start = page.find(heading).expect("the page has the section");
    let text = &page[start..];
    let from = text.find("\n.nf\n").expect("it has lines as they are") + 5;
    let to = text.find("\n.fi").expect("they end");
    let mut plain = String::new();
    let mut chars = text[from..to].chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('&') => {}
            Some('-') => plain.push('-'),
            Some('e' | '\\') => plain.push('\\'),
            Some('(') => match (chars.next(), chars.next()) {
                (Some('a'), Some('q')) => plain.push('\''),
                (Some('d'), Some('q')) => plain.push('"'),
                other => panic!("{other:?} is not known"),
            },
            other => panic!("\\{other:?} is not known"),
        }
    }
    plain
}

/// What surrounds it: nothing of this host is changed. `apt-get` has hushpipe and OpenSSH already.
const AROUND: &str = r#"set -eu
mount --make-rprivate /
cp -a /etc "$PLACE/etc"
rm -rf "$PLACE/etc/hushpipe"
sed -i '/^ann:/d;/^bob:/d' "$PLACE"/etc/passwd "$PLACE"/etc/shadow "$PLACE"/etc/group "$PLACE"/etc/gshadow
mount --bind "$PLACE/etc" /etc
for place in /run /home /srv /var/lib /usr/local/bin /var/mail; do
    test -d $place && mount -t tmpfs -o mode=0755 tmpfs $place
done
# As a sealed store of root's, or an audit log, leaves it.
mkdir -m 0700 /var/lib/hushpipe
cp "$HUSHPIPE" /usr/local/bin/hushpipe
chmod 0711 /usr/local/bin/hushpipe
printf '#!/bin/sh\necho "apt-get $*"\n' > /usr/local/bin/apt-get
chmod 0755 /usr/local/bin/apt-get
unset HUSHPIPE
export HOME=/srv
cd /srv
exec sh -eu "$PLACE/recipe"
"#;

#[test]
fn two_colleagues_approve_by_the_recipe_of_the_page() {
    let place = Place::new();
    let hushpipe = place.bring(env!("CARGO_BIN_EXE_hushpipe"), "hushpipe");
    let pages = Command::new(&hushpipe)
        .arg("man")
        .arg(place.join("man"))
        .status();
    assert!(pages.expect("it runs").success());
    let page = place.read("man/man7/hushpipe-policy.7");
    place.write("recipe", section(&page, "TWO APPROVALS IN TEN MINUTES"));
    place.write("around", AROUND);
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "sh"])
        .arg(place.join("around"))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("PLACE", place.path())
        .env("HUSHPIPE", &hushpipe)
        .output()
        .expect("unshare is there");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{errors}");
    for part in [
        "exit code 77",
        "needs       2 of sre within 8h, for policy restricted-needs-two",
        "reason      first start",
    ] {
        assert!(said.contains(part), "{part} is not in {said}\n{errors}");
    }
    assert!(said.ends_with("s3cret"), "{said}\n{errors}");
    assert_eq!(said.matches("s3cret").count(), 1, "{said}");
}
