//! The hand-over: deliveries in their places, and a program that is ready to start in them.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::container;
use super::exposed;
use super::failure::{Failure, Failures};
use super::gate::Gate;
use super::host::{self, CREDENTIALS_DIRECTORY, Confinement, Host, of_delivery, of_spawn};
use super::live::Deliveries;
use super::unit::Unit;
use crate::delivery::{
    Feed, Layout, Links, Live, MountPoints, Owner, SharedDirectories, Variables, make_mount_points,
    prepare_fds, prepare_variables,
};
use crate::model::{
    DeliveryKind, Event, Exit, IsolationUsed, Mode, Observer, Plan, Protected, Reason, Receipt,
    Signal, Topic,
};
use crate::secret::SecretBytes;
use crate::supervisor::spawn::{Handover, Launch, SpawnError};
use crate::sys::child::{
    ChildError, Cover, Group, Spec, Staged, StagedHere, TerminalGuard, UserNamespace, stage,
    stage_here,
};
use crate::sys::filesystem;
use crate::sys::mount::{Point, PrivateMount};
use crate::sys::signals::Mask;

/// How often directories are made anew that another launcher has taken away.
const REPLACED: usize = 5;

/// A launch that waits for its last step: a child ([`Staged`]), or this process ([`StagedHere`]).
pub trait Staging: Sized {
    /// Makes it ready, with its private mounts.
    fn stage(spec: Spec) -> Result<Self, ChildError>;
    /// The roots of the private mounts.
    fn directories(&self) -> &[OwnedFd];
    /// Whether they are kept out of swap.
    fn noswap(&self) -> bool;
}

impl Staging for Staged {
    fn stage(spec: Spec) -> Result<Self, ChildError> {
        stage(spec)
    }

    fn directories(&self) -> &[OwnedFd] {
        Self::directories(self)
    }

    fn noswap(&self) -> bool {
        Self::noswap(self)
    }
}

impl Staging for StagedHere {
    fn stage(spec: Spec) -> Result<Self, ChildError> {
        stage_here(spec)
    }

    fn directories(&self) -> &[OwnedFd] {
        Self::directories(self)
    }

    fn noswap(&self) -> bool {
        Self::noswap(self)
    }
}

/// A launch with everything in place.
pub struct Placed<S> {
    /// What starts.
    pub staged: S,
    /// What stays behind it.
    pub live: Deliveries,
    /// What is still to be written into pipes.
    pub feeds: Vec<Feed>,
    /// Recognises what only getenv(3) is to see.
    pub protected: Option<Rc<dyn Protected>>,
}

/// What a hand-over needs.
pub struct Placing<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What is delivered, one for each of the plan's deliveries.
    pub payloads: &'a [SecretBytes],
    /// They are on record.
    pub receipt: &'a Receipt,
    /// Is asked again where files cannot go where it was said that they go; and why this is placed.
    pub gate: (&'a Gate, Reason),
    /// The program's process group.
    pub group: Group,
    /// What is blocked in it.
    pub mask: Mask,
    /// What systemd gave for it.
    pub unit: &'a Unit,
    /// Where events go.
    pub observer: &'a dyn Observer,
}

impl Placing<'_> {
    /// Tries the isolations in order, and puts the first generation into the first that works.
    pub fn place<S: Staging>(&self, host: Host) -> Result<Placed<S>, Failures> {
        if host.layout.is_empty() {
            return self.without_files(host);
        }
        let (order, reason) = (host.order.clone(), host.reason.clone());
        let apart = host.confinement.users().is_some();
        let not_shared = host.not_shared.clone();
        match order.as_slice() {
            [IsolationUsed::Shared, ..] => self.shared(host, reason),
            [IsolationUsed::Private, rest @ ..] => match self.private(host)? {
                Attempt::Placed(placed) => Ok(*placed),
                Attempt::Refused(error) if rest.is_empty() => {
                    Err(vec![refused(&error, not_shared)])
                }
                // The first attempt used the host up: the program is settled again, from the same plan.
                Attempt::Refused(error) => {
                    let mut host = host::settle(self.plan, None, None)?;
                    host.confinement = Confinement::NotNeeded;
                    let (gate, why) = self.gate;
                    gate.elsewhere(self.plan, &host, why, IsolationUsed::Shared)?;
                    self.warn(host.bootstrap.open(&error.cause()).filter(|_| apart));
                    self.shared(host, Some(error.to_string()))
                }
            },
            [] => Err(vec![Failure::new(Exit::Internal, "no isolation to try")]),
        }
    }

    fn without_files<S: Staging>(&self, host: Host) -> Result<Placed<S>, Failures> {
        let Unmounted {
            staged,
            left,
            apart,
        } = self.stage_without_mounts(host)?;
        Ok(Placed {
            staged,
            live: Deliveries::empty().apart(apart),
            feeds: left.feeds,
            protected: left.protected,
        })
    }

    /// Without private files: where hushpipe has no privileges, the program is kept from what hushpipe
    /// reads secrets with all the same, if this host allows it.
    fn stage_without_mounts<S: Staging>(&self, host: Host) -> Result<Unmounted<S>, Failures> {
        let Some(users) = host.confinement.users().cloned() else {
            self.tell_of_own_credentials(&host);
            return self.stage_in_the_open(host.launch, &host.owners);
        };
        let (mounts, covers) = covered(&host)?;
        let private = Private {
            mounts,
            covers,
            users: Some(users),
        };
        let judged = host.launch.judged().cloned();
        let (spec, left) = self.spec(host.launch, &host.owners, Some(private))?;
        match S::stage(spec) {
            Ok(staged) => Ok(Unmounted {
                staged,
                left,
                apart: true,
            }),
            Err(error) if error.isolation_refused() => {
                self.warn(host.bootstrap.open(&error.cause()));
                let launch = host::launch_again(self.plan, &host.layout, judged.as_ref())?;
                self.stage_in_the_open(launch, &host.owners)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn stage_in_the_open<S: Staging>(
        &self,
        launch: Launch,
        owners: &[Owner],
    ) -> Result<Unmounted<S>, Failures> {
        let (spec, left) = self.spec(launch, owners, None)?;
        let staged = S::stage(spec).map_err(failed)?;
        Ok(Unmounted {
            staged,
            left,
            apart: false,
        })
    }

    fn warn(&self, message: Option<String>) {
        if let Some(message) = message {
            self.observer.observe(&Event::Weaker {
                about: Topic::Host,
                message,
            });
        }
    }

    fn private<S: Staging>(&self, mut host: Host) -> Result<Attempt<S>, Failures> {
        let mut tries = 0;
        let (staged, left, points, delivered) = loop {
            let judged = host.launch.judged().cloned();
            let (points, delivered, private) = self.make_private(&host)?;
            let (spec, left) = self.spec(host.launch, &host.owners, Some(private))?;
            match S::stage(spec) {
                Ok(staged) => break (staged, left, points, delivered),
                // A launcher of the same service that ends takes away what this one found there.
                Err(error) if error.was_replaced() && tries < REPLACED => {
                    tries += 1;
                    drop(points);
                    host.launch = host::launch_again(self.plan, &host.layout, judged.as_ref())?;
                }
                Err(error) if error.isolation_refused() => return Ok(Attempt::Refused(error)),
                Err(error) => return Err(failed(error)),
            }
        };
        let directories = clone_all(&staged.directories()[..delivered])?;
        let used = IsolationUsed::Private;
        let live = self.live(
            &host.layout,
            directories,
            host.owners,
            used,
            Box::new(points),
        )?;
        self.report(used, None);
        self.tell_of_daemon();
        if !staged.noswap() && crate::sys::host::swaps().is_some_and(|swaps| !swaps.is_empty()) {
            let message = "private files may be swapped out: the kernel refuses `noswap` for this \
                           tmpfs, and swap is on";
            self.observer.observe(&Event::Weaker {
                about: Topic::Isolation,
                message: message.to_owned(),
            });
        }
        Ok(Attempt::Placed(Box::new(Placed {
            staged,
            live,
            feeds: left.feeds,
            protected: left.protected,
        })))
    }

    /// The directories to mount on, how many are for deliveries, and all that is private.
    fn make_private(&self, host: &Host) -> Result<(MountPoints, usize, Private), Failures> {
        let one = |fault| vec![of_delivery(fault)];
        let mut points = make_mount_points(&host.layout, self.observer).map_err(one)?;
        if self.plan.mode == Mode::Exec {
            points.leave().map_err(one)?;
        }
        let targets = points.points().map_err(one)?;
        let delivered = targets.len();
        let mut mounts = mounts(targets, false);
        let (more, covers) = covered(host)?;
        mounts.extend(more);
        let private = Private {
            mounts,
            covers,
            users: host.users.clone(),
        };
        Ok((points, delivered, private))
    }

    fn shared<S: Staging>(
        &self,
        host: Host,
        reason: Option<String>,
    ) -> Result<Placed<S>, Failures> {
        let shared = SharedDirectories::make(&host.layout, host.owner, self.observer)
            .map_err(|fault| vec![of_delivery(fault)])?;
        let directories = shared
            .directories()
            .map_err(|fault| vec![of_delivery(fault)])?;
        shared
            .admit(&host.layout, host.owner, &host.owners)
            .map_err(|fault| vec![of_delivery(fault)])?;
        let (used, owners) = (IsolationUsed::Shared, host.owners.clone());
        let live = self.live(&host.layout, directories, owners, used, Box::new(shared))?;
        let Unmounted {
            staged,
            left,
            apart,
        } = self.stage_without_mounts(host)?;
        let live = live.apart(apart);
        self.report(used, reason);
        Ok(Placed {
            staged,
            live,
            feeds: left.feeds,
            protected: left.protected,
        })
    }

    /// The spec of the program with its fds, and what is left to feed them.
    fn spec(
        &self,
        launch: Launch,
        owners: &[Owner],
        private: Option<Private>,
    ) -> Result<(Spec, Left), Failures> {
        let exec = self.plan.mode == Mode::Exec;
        self.warn_of_terminal(&launch);
        let fds = prepare_fds(self.plan, self.payloads, owners, exec)
            .map_err(|faults| faults.into_iter().map(of_delivery).collect::<Failures>())?;
        for message in fds.weaker {
            self.observer.observe(&Event::Weaker {
                about: Topic::Delivery,
                message,
            });
        }
        let variables = prepare_variables(self.plan, self.payloads)
            .map_err(|faults| faults.into_iter().map(of_delivery).collect::<Failures>())?;
        let (hidden, protected) = match variables {
            Some(Variables {
                hidden,
                fingerprints,
            }) => (Some(hidden), Some(Rc::new(fingerprints) as _)),
            None => (None, None),
        };
        let apart = private.is_some();
        let private = private.unwrap_or_default();
        let mut handover = Handover {
            fds: fds.fds,
            hidden,
            mounts: private.mounts,
            covers: private.covers,
            apart,
            users: private.users,
            beside: None,
            group: self.group,
            mask: self.mask,
            parent_death: (!exec).then_some(Signal::KILL),
            variables: Vec::new(),
            pid_variables: Vec::new(),
        };
        self.unit.complete(&mut handover)?;
        let spec = launch
            .spec(handover)
            .map_err(|fault| vec![of_spawn(fault)])?;
        let left = Left {
            feeds: fds.feeds,
            protected,
        };
        Ok((spec, left))
    }

    /// A program of another user could type into the terminal of whoever started hushpipe.
    fn warn_of_terminal(&self, launch: &Launch) {
        let (uid, _) = launch.owner();
        let apart = uid != filesystem::effective_uid();
        if let TerminalGuard::Missing(why) = TerminalGuard::new(apart, self.plan.run.no_new_privs) {
            let message = format!(
                "the program could type into this terminal (TIOCSTI): {why}; start it without a \
                 terminal (`setsid hushpipe run ... </dev/null`), or set the sysctl \
                 dev.tty.legacy_tiocsti to 0"
            );
            self.observer.observe(&Event::Weaker {
                about: Topic::Terminal,
                message,
            });
        }
    }

    /// A client that has a daemon open the file itself.
    fn tell_of_daemon(&self) {
        const CLIENTS: [&str; 7] = [
            "docker",
            "docker-compose",
            "nerdctl",
            "ctr",
            "systemctl",
            "systemd-run",
            "machinectl",
        ];
        let command = &self.plan.run.command;
        let client = command
            .first()
            .and_then(|first| Path::new(first).file_name());
        let Some(client) = client.filter(|name| CLIENTS.iter().any(|known| name == known)) else {
            return;
        };
        let shown = self.plan.run.shown();
        let paths = self
            .plan
            .deliveries
            .iter()
            .filter_map(|delivery| match &delivery.kind {
                DeliveryKind::File(file) => Some(file.path.display().to_string()),
                _ => None,
            });
        for path in paths {
            if shown
                .iter()
                .skip(1)
                .any(|argument| argument.contains(&path))
            {
                let message = format!(
                    "{} hands {path} to a daemon, which does not see it: private files are for the \
                     program alone. Deliver it with `isolation: shared`",
                    client.display()
                );
                self.observer.observe(&Event::Weaker {
                    about: Topic::Isolation,
                    message,
                });
            }
        }
    }

    /// Without private mounts, what hushpipe logs in with lies open to a program of the same user.
    fn tell_of_own_credentials(&self, host: &Host) {
        let (uid, _) = host.launch.owner();
        let reads = uid == 0 || uid == filesystem::effective_uid();
        if let Some(own) = own_credentials(host).filter(|_| reads) {
            let message = format!(
                "the program can read what systemd gave hushpipe, in {}: it runs as the same user; \
                 with a file that is delivered by `isolation: private`, it cannot",
                own.display()
            );
            self.observer.observe(&Event::Weaker {
                about: Topic::Isolation,
                message,
            });
        }
    }

    fn live(
        &self,
        layout: &Layout,
        directories: Vec<OwnedFd>,
        owners: Vec<Owner>,
        used: IsolationUsed,
        held: Box<dyn Live>,
    ) -> Result<Deliveries, Failures> {
        let generation = (self.payloads, self.receipt);
        let live = Deliveries::new(layout, directories, owners, (used, held), generation)?;
        let links = Links::make(layout).map_err(|fault| vec![of_delivery(fault)])?;
        Ok(live.with(links))
    }

    fn report(&self, used: IsolationUsed, reason: Option<String>) {
        self.observer.observe(&Event::Isolation { used, reason });
    }
}

/// What a program sees in a mount namespace of its own.
#[derive(Default)]
struct Private {
    mounts: Vec<PrivateMount>,
    covers: Vec<Cover>,
    users: Option<UserNamespace>,
}

/// What a launch leaves to be done, and to be looked for.
struct Left {
    feeds: Vec<Feed>,
    protected: Option<Rc<dyn Protected>>,
}

/// A launch without private files.
struct Unmounted<S> {
    staged: S,
    left: Left,
    /// It has namespaces of its own.
    apart: bool,
}

enum Attempt<S> {
    Placed(Box<Placed<S>>),
    Refused(ChildError),
}

/// Private isolation was asked for, or is all there is, and this host does not allow it.
fn refused(error: &ChildError, not_shared: Option<String>) -> Failure {
    let rest = not_shared.map_or_else(
        || "`isolation: auto` takes shared files where this happens".to_owned(),
        |fault| format!("and shared files, which `isolation: auto` then takes, are not: {fault}"),
    );
    let flag = crate::sys::container::is_container()
        .then(|| container::flags(error, crate::sys::container::confinement()))
        .flatten()
        .map_or_else(String::new, |flags| format!("{flags}; "));
    let text = format!(
        "isolation: private is not possible here: {error}; {flag}{rest}; `hushpipe doctor` tells \
         what this host allows"
    );
    Failure::new(Exit::Os, text)
}

fn failed(error: ChildError) -> Failures {
    vec![of_spawn(SpawnError::from(error))]
}

/// The credentials that systemd gave hushpipe, which are not the program's: with private mounts it
/// sees an empty directory there. To a program that has none of its own they are handed on by naming
/// them in `run.env.set` or in an argument.
fn own_credentials(host: &Host) -> Option<PathBuf> {
    let own = PathBuf::from(std::env::var_os(CREDENTIALS_DIRECTORY)?);
    let apart = |other: &PathBuf| !other.starts_with(&own) && !own.starts_with(other);
    let is_named = || exposed::names(&host.launch, own.as_os_str().as_bytes());
    let is_hidden = own.is_absolute()
        && own.is_dir()
        && host.layout.directories().iter().all(apart)
        && (host.layout.credentials().is_some() || !is_named());
    is_hidden.then_some(own)
}

/// What a program of hushpipe's own user sees empty: what systemd gave hushpipe, and what secrets
/// are read with.
fn covered(host: &Host) -> Result<(Vec<PrivateMount>, Vec<Cover>), Failures> {
    let mut targets: Vec<PathBuf> = own_credentials(host).into_iter().collect();
    let more = host.bootstrap.directories();
    let more: Vec<_> = more
        .filter(|path| !targets.contains(path))
        .cloned()
        .collect();
    targets.extend(more);
    Ok((mounts(points(&targets)?, true), host.bootstrap.covers()))
}

/// What is to be covered, as it is found now.
fn points(paths: &[PathBuf]) -> Result<Vec<Point>, Failures> {
    let point = |path: &PathBuf| {
        Point::of(path).map_err(|error| {
            let advice = match error.raw_os_error() {
                Some(libc::EMFILE) => "; raise the limit of open files (ulimit -n)",
                _ => "",
            };
            let path = path.display();
            let text = format!("cannot cover {path} for the program: {error}{advice}");
            vec![Failure::new(Exit::Os, text)]
        })
    };
    paths.iter().map(point).collect()
}

/// A tmpfs on each directory, of hushpipe's own user: what is at the paths of deliveries is for hushpipe
/// alone to change. Others may pass through it: only the program's own processes can see it, and some of
/// them may run as other users.
fn mounts(points: Vec<Point>, read_only: bool) -> Vec<PrivateMount> {
    let (uid, gid) = (filesystem::effective_uid(), filesystem::effective_gid());
    let mount = |point| PrivateMount {
        point,
        uid,
        gid,
        mode: 0o755,
        read_only,
    };
    points.into_iter().map(mount).collect()
}

fn clone_all(fds: &[OwnedFd]) -> Result<Vec<OwnedFd>, Failures> {
    fds.iter()
        .map(|fd| {
            fd.try_clone()
                .map_err(|error| vec![Failure::new(Exit::Os, error)])
        })
        .collect()
}
