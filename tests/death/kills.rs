//! SIGKILL at random moments of hushpipe's life.
//!
//! `HUSHPIPE_TEST_ROUNDS` says how many kills, and `HUSHPIPE_TEST_SEED` which: a failed test prints
//! its seed. A kill that came when the moment was over already, or found nobody, is made again: how
//! long each moment lasts on this machine is learnt on the way.

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Bao, Hushpipe, Output, Place, Running, children, is_alive, wait_until, walk};
use crate::systemd::FakeSystemd;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Hushpipe,
    Program,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    Launch,
    Rotation,
    Rollback,
    Stop,
}

const VICTIMS: [Victim; 3] = [Victim::Hushpipe, Victim::Program, Victim::Both];
const MOMENTS: [Moment; 4] = [
    Moment::Launch,
    Moment::Rotation,
    Moment::Rollback,
    Moment::Stop,
];

/// Where the value comes from; all have the same.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Store {
    Directory,
    Command,
    Sealed,
    /// A real OpenBao.
    Vault,
}

const STORES: [Store; 4] = [
    Store::Directory,
    Store::Command,
    Store::Sealed,
    Store::Vault,
];

impl Store {
    /// What the manifest adds to the secret `token`, and how its deliveries call the value.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            // A command prints one value, and has no keys.
            Self::Command => ("", "token"),
            Self::Directory | Self::Sealed => (", key: token", "token"),
            Self::Vault => (", path: kv/data/token", "token.value"),
        }
    }
}

/// One life and its end.
#[derive(Debug)]
struct Round {
    number: u64,
    victim: Victim,
    moment: Moment,
    isolation: &'static str,
    on_rotate: &'static str,
    store: Store,
    /// systemd is told of what happens.
    notifies: bool,
    /// The program has left a process behind, and ends before hushpipe does.
    orphan: bool,
    /// How long after the moment began.
    after: Duration,
}

/// When a kill came.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Came {
    /// There was nobody to be killed yet.
    Early,
    InTime,
    /// The moment was over.
    Late,
}

/// When, after a moment began, kills of a kind come in time.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Duration,
    to: Duration,
}

impl Window {
    /// To begin with; `launch` is how long one takes on this machine, as a measure for the rest.
    fn guess(moment: Moment, launch: Duration) -> Self {
        let to = match moment {
            Moment::Launch => launch,
            Moment::Rotation => launch / 4,
            // The bad value is verified for 100 ms.
            Moment::Rollback => launch / 4 + Duration::from_millis(100),
            Moment::Stop => launch / 40,
        };
        Self {
            from: Duration::ZERO,
            to,
        }
    }

    /// It becomes narrower where a kill missed, and wider where one did not: nothing of the moment is
    /// left out for long.
    fn learn(&mut self, after: Duration, came: Came) {
        let least = Duration::from_micros(50);
        match came {
            Came::Early => {
                self.from = (self.from + after) / 2;
                self.to = self.to * 5 / 4;
            }
            Came::InTime => {
                self.from = self.from * 9 / 10;
                self.to = self.to * 11 / 10;
            }
            Came::Late => {
                self.from = self.from * 4 / 5;
                self.to = (self.to + after) / 2;
            }
        }
        self.to = self.to.max(self.from + least);
    }
}

/// Numbers that look random (splitmix64), the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn new_seed() -> u64 {
    let mut bytes = [0; 4];
    let random = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    random.expect("the kernel has random bytes");
    u32::from_ne_bytes(bytes).into()
}

impl Round {
    fn first() -> Self {
        let mut random = Random(0);
        let window = Window::guess(Moment::Launch, Duration::ZERO);
        Self {
            notifies: true,
            ..Self::new(0, 0, &mut random, window)
        }
    }

    /// Of each victim at each moment as many as of the others.
    fn new(number: u64, kind: usize, random: &mut Random, window: Window) -> Self {
        let width = window.to.saturating_sub(window.from).as_micros() as u64;
        let (victim, moment) = (VICTIMS[kind % VICTIMS.len()], MOMENTS[kind / VICTIMS.len()]);
        // At these moments no store has to tell of a change at once.
        let any_store = matches!(moment, Moment::Launch | Moment::Stop);
        let stores: &[Store] = if any_store { &STORES } else { &STORES[..1] };
        Self {
            number,
            victim,
            moment,
            store: random.of(stores),
            notifies: random.of(&[false, true]),
            // Where hushpipe is killed, nobody is left to end it.
            orphan: victim == Victim::Program && random.of(&[false, true]),
            isolation: random.of(&["shared", "private"]),
            on_rotate: random.of(&["signal, signal: HUP", "restart"]),
            after: window.from + Duration::from_micros(random.below(width + 1)),
        }
    }

    /// Whether the kill found whom it was for, before the moment was over.
    fn came(&self, killed: Option<i32>, output: &Output) -> Came {
        if self.victim == Victim::Program && killed.is_none() {
            return match self.moment {
                Moment::Launch => Came::Early,
                _ => Came::Late,
            };
        }
        if self.is_within(output) {
            Came::InTime
        } else {
            Came::Late
        }
    }

    fn is_within(&self, output: &Output) -> bool {
        let told = if self.on_rotate == "restart" {
            // The first is of the launch.
            output.stdout().matches("ready\n").count().saturating_sub(1)
        } else {
            output.stdout().matches("told\n").count()
        };
        match self.moment {
            Moment::Launch => !output.stdout().contains("ready\n"),
            Moment::Rotation => told < 1,
            // Of the bad one, and then of the one before it.
            Moment::Rollback => told < 2,
            Moment::Stop => {
                let by_kill = Some(Signal::SIGKILL as i32);
                output.status.signal() == by_kill || output.status.code() == Some(137)
            }
        }
    }
}

/// Sixteen KiB of one word: half of it, or two of them, are seen.
fn value(number: u64) -> String {
    format!("{number:08}").repeat(2048)
}

/// What all rounds share: the directory in memory where shared files are, and who looks at it.
struct Scene {
    memory: TempDir,
    reader: Reader,
    systemd: FakeSystemd,
    bao: Bao,
    /// OpenBao, for the manifest.
    vault: String,
    /// What is in the place between two lives, but for the versions of the sealed store.
    there: Vec<String>,
}

fn beside_the_store(place: &Place) -> Vec<String> {
    let mut entries = place.entries();
    entries.retain(|entry| !entry.starts_with("store/"));
    entries
}

impl Scene {
    /// The first life, which ends by itself.
    fn new() -> (Self, Hushpipe, Duration) {
        let hushpipe = Hushpipe::new()
            .file("secrets/token", value(0))
            .sealed(&[])
            .controlled()
            .manifest("");
        let memory = tempfile::Builder::new()
            .prefix("hushpipe-test-")
            .tempdir_in("/dev/shm")
            .expect("/dev/shm is there");
        let place = hushpipe.place();
        let systemd = FakeSystemd::listen(place.join("notify"));
        let bao = Bao::start();
        let vault = bao.store_by_approle(place);
        let scene = Self {
            bao,
            vault,
            reader: Reader::start(memory.path().join("run")),
            there: beside_the_store(place),
            memory,
            systemd,
        };
        let started = Instant::now();
        let hushpipe = scene.live_well(hushpipe, &Round::first());
        (scene, hushpipe, started.elapsed())
    }

    fn prepare(&self, hushpipe: Hushpipe, round: &Round, on_rotate: &str) -> Hushpipe {
        let memory = self.memory.path().display();
        let (store, isolation) = (self.store(round.store), round.isolation);
        let (key, value) = round.store.names();
        self.stock(hushpipe.place(), round.store);
        // More than a pipe takes at once.
        let long = format!("{{{{ {value} }}}}").repeat(5);
        let text = format!(
            "version: 1\nservice: t\n\
             stores:\n  s: {store}\n\
             secrets:\n  token: {{ store: s{key} }}\n\
             deliver:\n\
             \x20 - {{ file: \"{memory}/run/one\", secret: {value} }}\n\
             \x20 - {{ file: \"{memory}/run/two\", content: \"{{{{ {value} }}}}\" }}\n\
             \x20 - {{ fifo: \"{memory}/run/fifo\", secret: {value} }}\n\
             \x20 - {{ file: \"{memory}/deep/er/three\", secret: {value} }}\n\
             \x20 - {{ credentials: [{value}], directory: \"{memory}/credentials\" }}\n\
             \x20 - {{ fd: 7, as: memfd, secret: {value} }}\n\
             \x20 - {{ fd: 8, as: pipe, content: \"{long}\" }}\n\
             isolation: {isolation}\n\
             on_rotate: {{ do: {on_rotate}, settle: 0s, rollback: true, \
             verify: {{ command: [test, \"!\", -e, \"{{place}}/bad\"], within: 100ms }} }}\n"
        );
        let hushpipe = hushpipe.controlled().manifest(&text);
        let hushpipe = if round.notifies {
            hushpipe.env("NOTIFY_SOCKET", self.systemd.name())
        } else {
            hushpipe
        };
        hushpipe.args(["run", "--", "{probe}"])
    }

    /// For the manifest.
    fn store(&self, store: Store) -> &str {
        match store {
            Store::Directory => "{ type: directory, path: \"{place}/secrets\" }",
            Store::Command => "{ type: command, run: [cat, \"{place}/secrets/token\"] }",
            Store::Sealed => {
                "{ type: sealed, path: \"{place}/store\", identity_file: \"{place}/identity.txt\" }"
            }
            Store::Vault => &self.vault,
        }
    }

    /// The file of the directory store is what others get.
    fn stock(&self, place: &Place, store: Store) {
        let value = || place.read("secrets/token");
        match store {
            Store::Directory | Store::Command => {}
            Store::Sealed => place.seal("token", &value()),
            Store::Vault => {
                self.bao.kv_put("token", &json!({ "value": value() }));
            }
        }
    }

    /// A life that ends by itself finds nothing of the dead one, and leaves nothing.
    fn live_well(&self, hushpipe: Hushpipe, round: &Round) -> Hushpipe {
        // The socket holds ten messages.
        self.systemd.rest();
        let file = |name: &str| self.memory.path().join(name);
        let hushpipe = self.prepare(hushpipe, round, "signal, signal: HUP");
        let credential = format!("credentials/{}", round.store.names().1);
        let files = ["run/one", "deep/er/three", &credential];
        let words = files.map(|name| ["cat".into(), file(name)]);
        let output = hushpipe.args(words.concat()).run().success();
        let expected = output.place().read("secrets/token").repeat(files.len());
        assert!(
            output.stdout() == expected,
            "another value than the store's"
        );
        let left = walk(self.memory.path());
        assert!(left.is_empty(), "in memory: {left:?}");
        let left = beside_the_store(output.place());
        assert_eq!(left, self.there, "in the place");
        output.again()
    }

    /// A life that does not; and when the kill came.
    fn die(&self, hushpipe: Hushpipe, round: &Round) -> (Hushpipe, Came) {
        let hushpipe = self.prepare(hushpipe, round, round.on_rotate);
        let orphan: &[&str] = if round.orphan { &["orphan"] } else { &[] };
        let running = hushpipe
            .args(orphan.iter().copied())
            .args(["on", "TERM", "exit:0", "on", "HUP", "say:told", "serve"])
            .spawn();
        if round.moment != Moment::Launch {
            running.wait_for_line("ready");
            self.reader.look_through(running.program());
        }
        begin(&running, round);
        thread::sleep(round.after);
        let killed = strike(&running, round.victim);
        let output = end(running, round.victim, killed);
        let came = round.came(killed, &output);
        self.reader.look_through(0);
        if matches!(round.victim, Victim::Program) {
            let left = walk(self.memory.path());
            assert!(
                left.is_empty(),
                "it ended well, and left in memory: {left:?}"
            );
        }
        let ended = wait_until(|| output.place().processes().is_empty().then_some(()));
        let left = output.place().processes();
        assert!(ended.is_some(), "still there: {left:?}");
        fs::remove_file(output.place().join("bad")).ok();
        (output.again(), came)
    }
}

fn begin(running: &Running, round: &Round) {
    let place = running.place();
    let change = || place.replace("secrets/token", value(round.number));
    match round.moment {
        Moment::Launch => {}
        Moment::Rotation => change(),
        Moment::Rollback => {
            place.write("bad", "");
            change();
        }
        Moment::Stop => running.signal(Signal::SIGTERM),
    }
}

/// Gives the program that was killed: there may be none yet, or none any more.
fn strike(running: &Running, victim: Victim) -> Option<i32> {
    let program = children(running.pid()).first().copied();
    let program = program.filter(|_| !matches!(victim, Victim::Hushpipe));
    if !matches!(victim, Victim::Program) {
        running.signal(Signal::SIGKILL);
    }
    // It may have ended just now.
    program.filter(|&pid| kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok())
}

/// Who was not killed ends too, or serves another program: then it is asked to end.
fn end(mut running: Running, victim: Victim, killed: Option<i32>) -> Output {
    if matches!(victim, Victim::Program) {
        let serves = |hushpipe: i32| {
            let others = children(hushpipe).into_iter();
            let mut others = others.filter(|pid| Some(*pid) != killed && is_alive(*pid));
            killed.is_none() || others.next().is_some()
        };
        let pid = running.pid();
        let settled = wait_until(|| (!running.is_running() || serves(pid)).then_some(()));
        assert!(
            settled.is_some(),
            "neither ended nor served: {}",
            running.stderr()
        );
        if running.is_running() {
            running.signal(Signal::SIGTERM);
        }
    }
    running.wait()
}

/// A thread that reads both files of whatever generation is there, without a pause.
struct Reader {
    program: Arc<AtomicI32>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Looks>,
}

/// What a reader saw.
#[derive(Default)]
struct Looks {
    whole: usize,
    faults: Vec<String>,
}

impl Reader {
    fn start(directory: PathBuf) -> Self {
        let (program, ended) = (Arc::default(), Arc::default());
        let (through, until): (Arc<AtomicI32>, Arc<AtomicBool>) =
            (Arc::clone(&program), Arc::clone(&ended));
        let below_root = directory.strip_prefix("/").expect("absolute").to_owned();
        let thread = thread::spawn(move || {
            let mut looks = Looks::default();
            while !until.load(Ordering::Relaxed) {
                let pid = through.load(Ordering::Relaxed);
                let root = PathBuf::from(format!("/proc/{pid}/root"));
                looks.look(&directory);
                looks.look(&root.join(&below_root));
            }
            looks
        });
        Self {
            program,
            ended,
            thread,
        }
    }

    /// Private files are seen through their program.
    fn look_through(&self, program: i32) {
        self.program.store(program, Ordering::Relaxed);
    }

    fn finish(self) -> Looks {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

impl Looks {
    fn look(&mut self, directory: &Path) {
        let data = directory.join("..data");
        let Ok(generation) = fs::File::open(&data) else {
            return;
        };
        let below = format!("/proc/self/fd/{}", generation.as_raw_fd());
        let read = |name: &str| fs::read_to_string(format!("{below}/{name}"));
        match (read("one"), read("two")) {
            (Ok(one), Ok(two)) => self.compare(&one, &two),
            // One that is retired in between is not half of one, but gone: nothing leads to it.
            (one, two) if leads_to(&data, &generation) => {
                let (one, two) = (one.map(drop), two.map(drop));
                self.faults.push(format!("half of one: {one:?} {two:?}"));
            }
            _ => {}
        }
    }

    fn compare(&mut self, one: &str, two: &str) {
        let number = one.get(..8).and_then(|word| word.parse().ok());
        if one == two && number.is_some_and(|number| one == value(number)) {
            self.whole += 1;
        } else {
            let (one_is, two_is) = (one.get(..8), two.get(..8));
            let lengths = (one.len(), two.len());
            self.faults
                .push(format!("{one_is:?} {two_is:?} {lengths:?}"));
        }
    }
}

fn leads_to(link: &Path, generation: &fs::File) -> bool {
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    let is = generation.metadata().expect("it is open");
    fs::metadata(link).is_ok_and(|now| same(&now, &is))
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_past_the_next_start() {
    let seed = number("HUSHPIPE_TEST_SEED").unwrap_or_else(new_seed);
    println!("HUSHPIPE_TEST_SEED={seed}");
    let mut random = Random(seed);
    let (scene, mut hushpipe, launch) = Scene::new();
    let mut windows: Vec<Window> = MOMENTS
        .iter()
        .flat_map(|moment| [Window::guess(*moment, launch); VICTIMS.len()])
        .collect();
    let wanted = number("HUSHPIPE_TEST_ROUNDS").unwrap_or(12) as usize;
    let (mut hits, mut number) = (0, 0);
    while hits < wanted {
        number += 1;
        let kind = hits % windows.len();
        let round = Round::new(number, kind, &mut random, windows[kind]);
        let (next, came) = scene.die(hushpipe, &round);
        println!("{came:?}: {round:?}");
        hushpipe = scene.live_well(next, &round);
        windows[kind].learn(round.after, came);
        hits += usize::from(came == Came::InTime);
        assert!(
            number < 10 * wanted as u64 + 100,
            "hardly any kill comes in time"
        );
    }
    println!("{hits} kills came in time, of {number}, in these windows:");
    for (kind, Window { from, to }) in windows.iter().enumerate() {
        let (victim, moment) = (VICTIMS[kind % VICTIMS.len()], MOMENTS[kind / VICTIMS.len()]);
        println!("{victim:?} at {moment:?}: {from:.1?} to {to:.1?}");
    }
    let looks = scene.reader.finish();
    println!("whole generations seen: {}", looks.whole);
    assert!(looks.whole > 0, "nobody looked");
    assert!(looks.faults.is_empty(), "{:?}", looks.faults);
}
