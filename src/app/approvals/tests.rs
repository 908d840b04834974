//! Approvals from the request to the last use, in a directory, with kills in between.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::ledger::Ledger;
use super::place::Place;
use super::*;
use crate::app::event_loop::runtime;
use crate::approval::tests::check::launch;
use crate::model::rounds;
use crate::sys::held;

/// A site's approvals, with an Ed25519 key of alice and one of bob.
struct Fixture {
    place: tempfile::TempDir,
    approvals: Approvals,
    need: Need,
}

fn keygen(arguments: &[&str]) {
    let output = Command::new("ssh-keygen")
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("ssh-keygen is installed (tests/install)");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn is_sre(person: &str, group: &str) -> bool {
    group == "sre" && ["alice", "bob"].contains(&person)
}

impl Fixture {
    fn new(wait: Duration) -> Self {
        let place = tempfile::tempdir().unwrap();
        let path = place.path();
        let mut signers = String::new();
        for name in ["alice", "bob"] {
            let key = path.join(name);
            keygen(&["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
            let public = fs::read_to_string(path.join(format!("{name}.pub"))).unwrap();
            signers += name;
            signers += " ";
            signers += &public;
        }
        fs::write(path.join("approvers"), signers).unwrap();
        let approvals = Approvals::new(&ApprovalSpec {
            signers: path.join("approvers"),
            directory: path.join("var/approvals"),
            wait,
        });
        Self {
            need: need(),
            approvals,
            place,
        }
    }

    fn directory(&self) -> PathBuf {
        self.place.path().join("var/approvals")
    }

    /// As `ssh-keygen -Y sign` by hand.
    fn sign(&self, request: &str, by: &str) {
        let file = self.directory().join(format!("requests/{request}.json"));
        let key = self.place.path().join(by);
        let (key, file) = (key.to_str().unwrap(), file.to_str().unwrap());
        keygen(&[
            "-q",
            "-Y",
            "sign",
            "-n",
            "approval@hushpipe",
            "-f",
            key,
            file,
        ]);
        fs::rename(format!("{file}.sig"), format!("{file}.{by}.sig")).unwrap();
    }

    fn obtain(&self) -> Result<Granted, ApprovalsError> {
        let obtained = self.approvals.obtain(&self.need, &is_sre, &());
        runtime().unwrap().block_on(obtained)
    }

    fn waiting(&self) -> Waiting {
        match self.obtain().unwrap_err() {
            ApprovalsError::Waiting(waiting) => *waiting,
            other => panic!("{other}"),
        }
    }
}

fn need() -> Need {
    Need {
        launch: launch(),
        wanted: BTreeSet::from([Wanted {
            policy: "two".into(),
            needed: 2,
            group: "sre".into(),
            within: Duration::from_hours(8),
        }]),
        requesters: vec!["carol".into()],
    }
}

#[test]
fn a_launch_asks_once_and_is_approved_once() {
    let fixture = Fixture::new(Duration::ZERO);
    let first = fixture.waiting();
    let id = first.request.to_string();
    // The next start names the same request.
    assert_eq!(fixture.waiting().request, first.request);
    fixture.sign(&id, "alice");
    assert_eq!(fixture.waiting().approvers, ["alice"]);
    fixture.sign(&id, "bob");
    let granted = fixture.obtain().unwrap();
    let spent = fixture.approvals.spend(&granted, &is_sre, &()).unwrap();
    assert_eq!(spent[0].people, ["alice", "bob"]);
    assert_eq!((&*spent[0].policy, &spent[0].request), ("two", &id));
    // It was good for one launch, also for who obtained it before.
    let error = fixture.approvals.spend(&granted, &is_sre, &()).unwrap_err();
    assert!(error.to_string().contains("used up"), "{error}");
    assert_eq!(error.exit().code(), 77);
    assert_ne!(fixture.waiting().request, first.request);
}

#[test]
fn a_launch_that_waits_goes_on_once_it_is_approved() {
    struct Signs<'a>(&'a Fixture, RefCell<Vec<String>>);
    impl Observer for Signs<'_> {
        fn observe(&self, event: &Event) {
            if let Event::ApprovalRequested { request, .. } = event {
                self.0.sign(request, "bob");
                self.0.sign(request, "alice");
            }
            self.1.borrow_mut().push(event.message());
        }
    }
    let fixture = Fixture::new(Duration::from_secs(30));
    let observer = Signs(&fixture, RefCell::default());
    let obtained = fixture.approvals.obtain(&fixture.need, &is_sre, &observer);
    let granted = runtime().unwrap().block_on(obtained).unwrap();
    let told = observer.1.borrow();
    assert!(
        told[0].contains(&format!("hushpipe approve {}", granted.request)),
        "{told:?}"
    );
}

#[test]
fn files_of_others_in_the_directory_do_no_harm() {
    let fixture = Fixture::new(Duration::ZERO);
    let id = fixture.waiting().request.to_string();
    let requests = fixture.directory().join("requests");
    let mode = fs::metadata(&requests).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o1777);
    let request = requests.join(format!("{id}.json"));
    assert_eq!(
        fs::metadata(&request).unwrap().permissions().mode() & 0o777,
        0o644
    );
    std::os::unix::fs::symlink("/etc/passwd", requests.join(format!("{id}.json.x.sig"))).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        requests.join(format!("{id}.json.fifo.sig")),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o666),
        0,
    )
    .unwrap();
    fs::write(
        requests.join(format!("{id}.json.\u{1b}[2J.sig")),
        "\u{1b}[2J",
    )
    .unwrap();
    fs::write(
        requests.join(format!("{}.json", "0".repeat(32))),
        vec![b'x'; 10_000_000],
    )
    .unwrap();
    fs::write(requests.join("something else"), "").unwrap();
    // Another name for the same request.
    fs::copy(&request, requests.join(format!("{}.json", "1".repeat(32)))).unwrap();
    let waiting = fixture.waiting();
    assert_eq!(waiting.request.to_string(), id);
    let notes = waiting.notes().concat();
    assert!(
        waiting.errors.len() == 4 && !notes.contains('\u{1b}'),
        "{notes}"
    );
    fixture.sign(&id, "alice");
    fixture.sign(&id, "bob");
    assert!(fixture.obtain().is_ok());
    let all = fixture.approvals.all(&is_sre).unwrap();
    let broken = all.iter().filter(|shown| shown.request.is_err()).count();
    assert_eq!((all.len(), broken), (3, 2));
    // What belongs to another user is no request of this one's, whatever it says.
    if crate::sys::filesystem::effective_uid() == 0 {
        std::os::unix::fs::chown(&request, Some(65534), None).unwrap();
        assert_ne!(fixture.waiting().request.to_string(), id);
    }
}

#[test]
fn an_approval_that_was_seen_expired_stays_so() {
    let mut fixture = Fixture::new(Duration::ZERO);
    let lifetime = Lifetime {
        expires: Some(Duration::ZERO),
        uses: 1,
    };
    let request = fixture.approvals.request(&fixture.need, lifetime).unwrap();
    let id = request.id.to_string();
    fixture.sign(&id, "alice");
    fixture.sign(&id, "bob");
    while now() < request.expires {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_ne!(fixture.waiting().request, request.id);
    let ledger = Ledger::open(&fixture.directory()).unwrap().unwrap();
    assert!(ledger.uses(&request.id).unwrap().ended);
    // Others of the same launch are looked at as before, and it is put on record once.
    fixture.need.launch.reason = "another".into();
    fixture.waiting();
    let path = fixture
        .directory()
        .join(format!("uses/{}/{id}", rustix::process::geteuid().as_raw()));
    assert_eq!(fs::read_to_string(path).unwrap().lines().count(), 1);
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let fixture = Fixture::new(Duration::ZERO);
    fixture.waiting();
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(fixture.directory(), open).unwrap();
    let error = fixture.obtain().unwrap_err();
    assert_eq!(error.exit().code(), 78, "{error}");
}

/// What the test below kills: it spends uses and says so, one after the other.
#[test]
fn spends_until_it_is_killed() {
    let Some(directory) = std::env::var_os("HUSHPIPE_TEST_SPENDS") else {
        return;
    };
    let id = RequestId::new([9; 16]);
    let ledger = Ledger::make(Path::new(&directory)).unwrap();
    loop {
        let locked = ledger.lock().unwrap();
        let before = ledger.uses(&id).unwrap().uses;
        locked.spend(&id, now()).unwrap();
        println!("\nspent {before}");
    }
}

#[test]
fn no_kill_gives_a_use_twice() {
    let place = tempfile::tempdir().unwrap();
    let mut delivered = Vec::new();
    let rounds = rounds(40, 200);
    for round in 0..rounds as u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "app::approvals::tests::spends_until_it_is_killed",
                "--exact",
                "--nocapture",
            ])
            .env("HUSHPIPE_TEST_SPENDS", place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut spent =
            || lines.find_map(|line| line.ok()?.strip_prefix("spent ")?.parse::<u32>().ok());
        // It runs; then it is killed somewhere, at a moment that differs from round to round.
        delivered.extend(spent());
        std::thread::sleep(Duration::from_micros(u64::from(round * 7919 % 3000)));
        child.kill().unwrap();
        child.wait().unwrap();
        delivered.extend(std::iter::from_fn(spent));
    }
    let distinct: BTreeSet<u32> = delivered.iter().copied().collect();
    assert_eq!(distinct.len(), delivered.len(), "a use was given twice");
    assert!(delivered.len() >= rounds, "{}", delivered.len());
    let ledger = Ledger::open(place.path()).unwrap().unwrap();
    let uses = ledger.uses(&RequestId::new([9; 16])).unwrap().uses;
    assert!(
        uses as usize >= delivered.len(),
        "{uses} of {}",
        delivered.len()
    );
}

#[test]
fn a_use_that_was_cut_short_counts() {
    let place = tempfile::tempdir().unwrap();
    let ledger = Ledger::make(place.path()).unwrap();
    let id = RequestId::new([9; 16]);
    ledger.lock().unwrap().spend(&id, now()).unwrap();
    let path = place
        .path()
        .join(format!("uses/{}/{id}", rustix::process::geteuid().as_raw()));
    let whole = fs::read(&path).unwrap();
    for length in 1..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(ledger.uses(&id).unwrap().uses, 1, "{length}");
        ledger.lock().unwrap().spend(&id, now()).unwrap();
        assert_eq!(ledger.uses(&id).unwrap().uses, 2, "{length}");
    }
}

#[test]
fn a_killed_writer_leaves_nothing_that_counts() {
    let place = tempfile::tempdir().unwrap();
    let made = Place::make(place.path()).unwrap();
    let requests = fs::File::open(place.path().join("requests")).unwrap();
    held::publish(&requests, ".new-0000".as_ref(), b"half a req").unwrap();
    assert!(made.list().unwrap().is_empty());
}
