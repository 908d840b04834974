//! A Debian with systemd that runs: a container of systemd-nspawn, on an image that `tests/install`
//! made. What is written in it is gone with it.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{children, deadline, wait_until, wait_within};

/// How long a system may take to boot, at least: others may boot beside it.
const BOOT: Duration = Duration::from_secs(90);

/// How often it is looked at: every look is some processes, which the tested ones wait for.
const LOOK_AGAIN: Duration = Duration::from_millis(60);

/// Which systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// systemd 252.
    Bookworm,
    /// systemd 257.
    Trixie,
}

impl Suite {
    /// systemd 252 and, where `tests/run --nightly` has installed it, 257.
    pub fn all() -> &'static [Self] {
        if std::env::var_os("HUSHPIPE_NIGHTLY").is_some() {
            &[Self::Bookworm, Self::Trixie]
        } else {
            &[Self::Bookworm]
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }
}

/// A booted system. Dropped, it is killed, and nothing of it stays.
pub struct Machine {
    name: String,
    suite: Suite,
    nspawn: Child,
    /// Its init, as this system numbers it.
    leader: i32,
    cgroups: Vec<PathBuf>,
}

/// How a command in it ended.
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Machine {
    /// The system that another test has booted and still uses, else a new one: what tests write in
    /// it has names of their own.
    pub fn booted(suite: Suite) -> Arc<Self> {
        // One lock each: both boot at once.
        static RUNNING: [Mutex<Weak<Machine>>; 2] =
            [Mutex::new(Weak::new()), Mutex::new(Weak::new())];
        let place = &RUNNING[suite as usize];
        let mut running = place.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let machine = Arc::new(Self::boot(suite));
            *running = Arc::downgrade(&machine);
            machine
        })
    }

    /// Boots a system with the hushpipe that is tested, its unit and examples, where a package has
    /// them.
    fn boot(suite: Suite) -> Self {
        Self::boot_with(suite, &Self::binds())
    }

    /// The same, for one test alone: it has a site of its own.
    pub fn apart(suite: Suite) -> Self {
        Self::boot_with(suite, &Self::binds())
    }

    fn binds() -> Vec<String> {
        let hushpipe = Path::new(env!("CARGO_BIN_EXE_hushpipe"));
        let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
        let unit = sources.join("packaging/systemd/hushpipe@.service");
        let monitor = sources.join("packaging/systemd/hushpipe-monitor.service");
        vec![
            bind(hushpipe, "/usr/bin/hushpipe"),
            bind(&unit, "/usr/lib/systemd/system/hushpipe@.service"),
            bind(&monitor, "/usr/lib/systemd/system/hushpipe-monitor.service"),
            bind(
                &sources.join("examples"),
                "/usr/share/doc/hushpipe/examples",
            ),
        ]
    }

    /// Boots a system as Debian has it, for one test alone.
    pub fn without_hushpipe(suite: Suite) -> Self {
        Self::boot_with(suite, &[])
    }

    fn boot_with(suite: Suite, binds: &[String]) -> Self {
        let name = unique_name();
        let cgroups = make_cgroups(&name);
        let nspawn = nspawn(suite, &name, &cgroups, binds);
        let leader = wait_until(|| init_of(nspawn.id() as i32));
        let machine = Self {
            name,
            suite,
            leader: leader.expect("systemd-nspawn starts an init"),
            nspawn,
            cgroups,
        };
        machine.until_within(deadline().max(BOOT), "it has booted", || {
            match machine
                .run(&["systemctl", "is-system-running"])
                .stdout
                .trim()
            {
                "running" => Some(()),
                "degraded" => machine.fail(&machine.systemctl("--failed --no-pager")),
                _ => None,
            }
        });
        machine
    }

    /// Which one it is.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Runs a command to its end.
    pub fn run(&self, argv: &[&str]) -> Ended {
        let output = Command::new("nsenter")
            .args(["--all", "--target", &self.leader.to_string(), "--"])
            .args(argv)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .expect("nsenter is there");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Runs a command that must end with 0; gives its output.
    pub fn ok(&self, argv: &[&str]) -> String {
        let ended = self.run(argv);
        if ended.code != Some(0) {
            self.fail(&format!(
                "{argv:?}: {:?}\n{}{}",
                ended.code, ended.stdout, ended.stderr
            ));
        }
        ended.stdout
    }

    /// `systemctl` with these words, which must end with 0.
    pub fn systemctl(&self, words: &str) -> String {
        let argv: Vec<&str> = ["systemctl"].into_iter().chain(words.split(' ')).collect();
        self.ok(&argv)
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        let text = self.ok(&["systemctl", "show", "--value", "--property", name, unit]);
        text.trim_end().to_owned()
    }

    /// What a unit wrote, and systemd about it.
    pub fn journal(&self, unit: &str) -> String {
        self.run(&["journalctl", "--sync"]);
        self.run(&["journalctl", "--no-pager", "--output=cat", "--unit", unit])
            .stdout
    }

    /// Waits until a unit has written this.
    pub fn wait_for_journal(&self, unit: &str, text: &str) {
        self.until(&format!("{text:?} in the journal of {unit}"), || {
            self.journal(unit).contains(text).then_some(())
        });
    }

    /// Waits until a closure gives something.
    pub fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        self.until_within(deadline(), what, look)
    }

    /// The same, for another time than [`deadline`].
    pub fn until_within<T>(
        &self,
        time: Duration,
        what: &str,
        mut look: impl FnMut() -> Option<T>,
    ) -> T {
        let look = || {
            let found = look();
            if found.is_none() {
                thread::sleep(LOOK_AGAIN);
            }
            found
        };
        wait_within(time, look)
            .unwrap_or_else(|| self.fail(&format!("not within {time:?}: {what}")))
    }

    /// Ends the test with what the system has to say.
    pub fn fail(&self, what: &str) -> ! {
        let journal = self
            .run(&["journalctl", "--no-pager", "--output=short-monotonic"])
            .stdout;
        panic!("{:?}: {what}\n--- journal\n{journal}\n---", self.suite)
    }

    /// A path in it, as this system sees it.
    pub fn path(&self, path: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.leader.to_string())
            .join("root")
            .join(&path[1..])
    }

    /// Writes a file, with the directories that it needs, so that nobody sees half of it. Tests on one
    /// system may write the same one.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) {
        let here = self.path(path);
        if let Some(directory) = Path::new(path).parent() {
            self.ok(&["mkdir", "--parents", directory.to_str().expect("UTF-8")]);
        }
        let count = counted();
        let name = here.file_name().expect("a file").to_string_lossy();
        let new = here.with_file_name(format!(".{name}.{count}.new"));
        let mut file = fs::File::create_new(&new).expect("it can be written");
        file.write_all(content.as_ref()).expect("there is room");
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).expect("it is ours");
        fs::rename(new, here).expect("both are in one directory");
    }

    /// Writes a unit or a drop-in below /etc/systemd/system, and has systemd read it.
    pub fn write_unit(&self, name: &str, text: &str) {
        self.write(&format!("/etc/systemd/system/{name}"), text, 0o644);
        self.systemctl("daemon-reload");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With its init, all of it ends; systemd-nspawn then takes away what it made, but no
        // directories in a /run that is no tmpfs.
        kill(Pid::from_raw(self.leader), Signal::SIGKILL).ok();
        if wait_until(|| self.nspawn.try_wait().ok().flatten()).is_none() {
            self.nspawn.kill().ok();
            self.nspawn.wait().ok();
        }
        fs::remove_dir(Path::new("/run/systemd/nspawn/propagate").join(&self.name)).ok();
        for cgroup in &self.cgroups {
            wait_until(|| remove_cgroup(cgroup).then_some(()));
        }
    }
}

fn nspawn(suite: Suite, name: &str, cgroups: &[PathBuf], binds: &[String]) -> Child {
    let hushpipe = Path::new(env!("CARGO_BIN_EXE_hushpipe"));
    let target = hushpipe.parent().and_then(Path::parent).expect("target");
    let image = target.join("tools/images").join(suite.name());
    assert!(
        image.with_extension("installed").exists(),
        "there is no {}: tests/install makes it",
        image.display()
    );
    Command::new("sh")
        .args(["-c", &enter(cgroups), "sh", "systemd-nspawn", "--quiet"])
        .args(["--boot", "--register=no", "--keep-unit", "--console=pipe"])
        .args(["--volatile=overlay", "--private-network"])
        .arg(format!("--machine={name}"))
        .arg(format!("--directory={}", image.display()))
        .args(binds)
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh is there")
}

fn bind(here: &Path, there: &str) -> String {
    format!("--bind-ro={}:{there}", here.display())
}

/// The child that is the first of a PID namespace: systemd-nspawn has others before.
fn init_of(nspawn: i32) -> Option<i32> {
    children(nspawn).into_iter().find(|child| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        numbers.is_some_and(|numbers| numbers.split_whitespace().skip(1).eq(["1"]))
    })
}

/// A number that nobody else gets.
fn counted() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

fn unique_name() -> String {
    format!("hushpipe-test-{}-{}", std::process::id(), counted())
}

/// Cgroups of the machine's own: systemd-nspawn names those it makes below its own always alike.
fn make_cgroups(name: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc is mounted");
    let own = fs::read_to_string("/proc/self/cgroup").expect("/proc is mounted");
    let hierarchy = |kind: &str, option: &str, line: &str| {
        let mount = mounts.lines().find_map(|mount| {
            let fields: Vec<&str> = mount.split(' ').collect();
            let is_it = fields[2] == kind && fields[3].split(',').any(|each| each == option);
            is_it.then(|| PathBuf::from(fields[1]))
        })?;
        let path = own.lines().find_map(|own| own.split_once(line))?.1;
        Some(mount.join(path.trim_start_matches('/')).join(name))
    };
    let all = [
        hierarchy("cgroup2", "rw", "0::"),
        hierarchy("cgroup", "name=systemd", ":name=systemd:"),
    ];
    let made: Vec<PathBuf> = all.into_iter().flatten().collect();
    for path in &made {
        fs::create_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    made
}

/// A shell script that moves itself there and becomes its arguments.
fn enter(cgroups: &[PathBuf]) -> String {
    let mut script = String::new();
    for path in cgroups {
        write!(script, "echo $$ > {}/cgroup.procs && ", path.display()).expect("to a String");
    }
    script + "exec \"$@\""
}

fn remove_cgroup(path: &Path) -> bool {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_cgroup(&entry.path());
        }
    }
    fs::remove_dir(path).is_ok() || !path.exists()
}
